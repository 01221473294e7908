/* call.c: the life of a call. Invariant: a call is in api->calls from call_new to its end; it ends when x is
 * NULL and nothing holds it. */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/mem.h"
#include "metrics.h"

#define ARGS_MAX 24

static void end_if_idle(struct call *c)
{
    if (c->x || c->held)
        return;
    if (c->free_data)
        c->free_data(c->data);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->api->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c);
}

static void on_exchange_gone(struct http_exchange *x, void *user)
{
    struct call *c = user;

    (void)x;
    c->x = NULL;
    call_hold(c);
    if (c->on_gone)
        c->on_gone(c);
    call_drop(c);
}

struct call *call_new(struct api *api, struct http_exchange *x, const struct router_match *match,
                      const struct principal *who)
{
    struct call *c = mem_alloc(sizeof(*c));

    c->api = api;
    c->x = x;
    c->route = match->route;
    c->who = *who;
    memcpy(c->id, match->id, sizeof(c->id));
    c->next = api->calls;
    if (c->next)
        c->next->prev = c;
    api->calls = c;
    http_set_user(x, c, on_exchange_gone);
    return c;
}

void call_hold(struct call *c)
{
    c->held++;
}

void call_drop(struct call *c)
{
    c->held--;
    end_if_idle(c);
}

void call_detach(struct call *c)
{
    c->x = NULL;
    end_if_idle(c);
}

void call_end_all(struct api *api)
{
    while (api->calls) {
        api->calls->x = NULL;
        api->calls->held = 0;
        end_if_idle(api->calls);
    }
}

/* ---- scripts ---- */

static void on_script_reply(void *arg, const redisReply *reply)
{
    struct call *c = arg;
    call_reply_fn *cb = c->on_reply;
    double ms = clock_mono_ms() - c->began_ms;

    c->on_reply = NULL;
    c->redis_ms += ms;
    metrics_redis(c->api->metrics, ms);
    if (c->x)
        cb(c, reply);
    else if (c->on_late)
        c->on_late(c, reply);
    call_drop(c);
}

void call_script(struct call *c, call_reply_fn *cb, enum script s, const char *const argv[])
{
    const char *args[ARGS_MAX];
    size_t lens[ARGS_MAX];
    int n;

    for (n = 0; n < ARGS_MAX && argv[n]; n++) {
        args[n] = argv[n];
        lens[n] = strlen(argv[n]);
    }
    c->on_reply = cb;
    c->began_ms = clock_mono_ms();
    call_hold(c);
    redis_script_argv(c->api->redis, on_script_reply, c, s, n, args, lens);
}

/* ---- replies ---- */

static void add_duration(struct buf *out, const char *name, double ms)
{
    buf_adds(out, name);
    buf_add_fixed(out, ms, 3);
}

static void add_timing(struct call *c)
{
    struct buf text = {0};

    buf_reserve(&text, 160);
    add_duration(&text, "total;dur=", http_age_ms(c->x));
    add_duration(&text, ", validate;dur=", c->validated_ms);
    add_duration(&text, ", redis;dur=", c->redis_ms);
    add_duration(&text, ", wait;dur=", c->waited_ms);
    http_add_header(c->x, "Server-Timing", text.data);
    buf_cleanup(&text);
}

/* Takes the exchange from the call, so that whatever happens inside the reply cannot end it twice. */
static struct http_exchange *take_exchange(struct call *c)
{
    struct http_exchange *x = c->x;

    add_timing(c);
    c->x = NULL;
    return x;
}

void call_reply(struct call *c, int status, struct buf *json)
{
    http_reply_json(take_exchange(c), status, json);
    end_if_idle(c);
}

void call_reply_empty(struct call *c, int status)
{
    http_reply(take_exchange(c), status, NULL, "", 0);
    end_if_idle(c);
}

void call_reply_text(struct call *c, int status, const char *type, const char *text, size_t len)
{
    http_reply(take_exchange(c), status, type, text, len);
    end_if_idle(c);
}

int call_retry_after(enum err e)
{
    switch (e) {
    case ERR_redis_unavailable:
    case ERR_shutting_down:
        return 1;
    case ERR_concurrency_limit:
    case ERR_project_queue_full:
    case ERR_queue_full:
        return 2;
    case ERR_no_worker:
    case ERR_queue_timeout:
        return 5;
    default:
        return 0;
    }
}

void call_error(struct call *c, enum err e, const char *message, const char *details)
{
    int after = call_retry_after(e);
    char text[16];

    if (e == ERR_not_found && !message) /* of what a call looks for, only sessions have this code */
        message = "there is no such session";
    if (after) {
        snprintf(text, sizeof(text), "%d", after);
        http_add_header(c->x, "Retry-After", text);
    }
    http_reply_error(take_exchange(c), e, message, details);
    end_if_idle(c);
}

void call_error_field(struct call *c, enum err e, const char *field, const char *message)
{
    struct buf details = {0};

    buf_adds(&details, "\"field\":");
    buf_add_json_string(&details, field);
    call_error(c, e, message, details.data);
    buf_cleanup(&details);
}

/* ---- query ---- */

static int refuse_query(struct call *c, const char *name, const char *what, double min, double max)
{
    char message[160];

    snprintf(message, sizeof(message), "%s: has to be %s from %g to %g", name, what, min, max);
    call_error_field(c, ERR_bad_query, name, message);
    return -1;
}

int call_query_seconds(struct call *c, const char *name, double max, double *ms)
{
    const char *text = http_query(c->x, name);
    char *end;
    double v;

    if (!text)
        return 0;
    v = strtod(text, &end);
    if (!(*text >= '0' && *text <= '9') || text[strspn(text, "0123456789.")] || *end || !(v >= 0 && v <= max))
        return refuse_query(c, name, "a number of seconds", 0, max);
    *ms = v * 1000.0;
    return 0;
}

int call_query_number(struct call *c, const char *name, long min, long max, long *out)
{
    const char *text = http_query(c->x, name);
    char *end;
    long v;

    if (!text)
        return 0;
    errno = 0;
    v = strtol(text, &end, 10);
    if (!(*text >= '0' && *text <= '9') || *end || errno || v < min || v > max)
        return refuse_query(c, name, "a whole number", (double)min, (double)max);
    *out = v;
    return 0;
}
