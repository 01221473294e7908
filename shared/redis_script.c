/* redis_script.c: calls of the scripts, which are functions of one library (scripts/lua-assemble), loaded
 * again when Redis has forgotten it; and the queue of calls that have to arrive. A call keeps its bytes until
 * it is answered: it may have to be sent again. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "redis_conn.h"

#define RETRY_FIRST_MS   50
#define RETRY_LONGEST_MS 2000
#define FIRST_LINE       "#!lua name="
#define LIBRARY_NAME_MAX 40
#define OWN_ARGS         5 /* FCALL name 1 prefix 0 */

struct script_call {
    struct redis *r;
    redis_reply_cb *cb;
    void *arg;
    enum script script;
    int loaded_again;
    struct buf command;
    struct script_line *line; /* of calls that have to arrive */
    struct script_call *next; /* in the line */
};

static void send_first_retry(struct redis *r, struct script_line *line);

/* ---- the library ---- */

const char *const scripts_name[SCRIPT_COUNT] = {
#define SCRIPT(name) #name,
#include "scripts.def"
#undef SCRIPT
};

const char *redis_script_library(void)
{
    static char name[LIBRARY_NAME_MAX];
    const char *at = scripts_library_text[0] + strlen(FIRST_LINE);

    assert(strncmp(scripts_library_text[0], FIRST_LINE, strlen(FIRST_LINE)) == 0);
    if (!name[0])
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\n"), at);
    return name;
}

const char *redis_script_function(enum script s)
{
    static char all[SCRIPT_COUNT][LIBRARY_NAME_MAX + 16];

    if (!all[s][0])
        snprintf(all[s], sizeof(all[s]), "%s_%s", redis_script_library(), scripts_name[s]);
    return all[s];
}

int redis_script_is_unknown(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ERROR && strcmp(reply->str, "ERR Function not found") == 0;
}

static void on_load_reply(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    r->loads_on_their_way--;
    if (!reply)
        return;
    /* Another process may have been quicker. Whatever else Redis has against it, its calls will say so. */
    if (reply->type == REDIS_REPLY_ERROR && !strstr(reply->str, "already exists"))
        log_error("library_refused", "library=%s text=%s", redis_script_library(), reply->str);
    if (r->state == CONN_GREETING)
        redis_greet_loaded(r, reply);
}

void redis_script_load(struct redis *r)
{
    redis_conn_begin(&r->out, 3);
    redis_conn_arg(&r->out, "FUNCTION", 8);
    redis_conn_arg(&r->out, "LOAD", 4);
    redis_conn_arg(&r->out, scripts_library_text[0], strlen(scripts_library_text[0]));
    r->loads_on_their_way++;
    redis_conn_queued(r, on_load_reply, r);
}

/* ---- calls ---- */

static struct script_call *call_new(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, int argc)
{
    struct script_call *call = mem_alloc(sizeof(*call));
    const char *function = redis_script_function(s);

    call->r = r;
    call->cb = cb;
    call->arg = arg;
    call->script = s;
    redis_conn_begin(&call->command, OWN_ARGS + argc);
    redis_conn_arg(&call->command, "FCALL", 5);
    redis_conn_arg(&call->command, function, strlen(function));
    redis_conn_arg(&call->command, "1", 1);
    redis_conn_arg(&call->command, r->prefix, strlen(r->prefix));
    redis_conn_arg(&call->command, "0", 1);
    return call;
}

/* With the strings of ap up to NULL as arguments. */
static struct script_call *call_new_va(struct redis *r, redis_reply_cb *cb, void *arg, enum script s,
                                       va_list ap)
{
    struct script_call *call;
    const char *text;
    va_list count;
    int argc = 0;

    va_copy(count, ap);
    while (va_arg(count, const char *))
        argc++;
    va_end(count);
    call = call_new(r, cb, arg, s, argc);
    while ((text = va_arg(ap, const char *)))
        redis_conn_arg(&call->command, text, strlen(text));
    return call;
}

static void call_free(struct script_call *call)
{
    buf_cleanup(&call->command);
    free(call);
}

/* 1 if Redis had forgotten the library: it is loaded and the call sent again, once. */
static int load_again(struct script_call *call, const redisReply *reply, redis_reply_cb *cb)
{
    struct redis *r = call->r;

    if (!redis_script_is_unknown(reply) || call->loaded_again || !redis_is_up(r))
        return 0;
    call->loaded_again = 1;
    if (r->loads_on_their_way == 0)
        redis_script_load(r);
    redis_conn_queue(r, cb, call, call->command.data, call->command.len);
    return 1;
}

static void on_call_reply(void *arg, const redisReply *reply)
{
    struct script_call *call = arg;

    if (load_again(call, reply, on_call_reply))
        return;
    if (redis_script_is_unknown(reply) &&
        !redis_is_up(call->r)) /* about to be dropped: it would have been loaded */
        reply = NULL;
    if (call->cb)
        call->cb(call->arg, reply);
    call_free(call);
}

void redis_script_argv(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, int argc,
                       const char **argv, const size_t *lens)
{
    struct script_call *call;

    if (!redis_is_up(r)) {
        redis_conn_refuse(r, cb, arg);
        return;
    }
    call = call_new(r, cb, arg, s, argc);
    for (int i = 0; i < argc; i++)
        redis_conn_arg(&call->command, argv[i], lens ? lens[i] : strlen(argv[i]));
    redis_conn_queue(r, on_call_reply, call, call->command.data, call->command.len);
}

void redis_script(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, ...)
{
    struct script_call *call;
    va_list ap;

    if (!redis_is_up(r)) {
        redis_conn_refuse(r, cb, arg);
        return;
    }
    va_start(ap, s);
    call = call_new_va(r, cb, arg, s, ap);
    va_end(ap);
    redis_conn_queue(r, on_call_reply, call, call->command.data, call->command.len);
}

/* ---- calls that have to arrive ----
 * One of a line is on its way at a time. With more, one that Redis refused (loading, say) would be repeated
 * after those sent behind it had been carried out, and the order would be lost. */

static void on_retry_reply(void *arg, const redisReply *reply)
{
    struct script_call *call = arg;
    struct redis *r = call->r;
    struct script_line *line = call->line;
    double wait_ms = RETRY_FIRST_MS;

    if (load_again(call, reply, on_retry_reply))
        return;
    line->sent = 0;
    call->loaded_again = 0;
    if (!reply) /* the connection is gone: again when there is one */
        return;
    if (redis_is_unavailable(reply) || redis_script_is_unknown(reply)) {
        if (ev_is_active(&r->retry_timer)) /* another line was refused as well */
            return;
        for (unsigned i = 0; i < r->retry_failures && wait_ms < RETRY_LONGEST_MS; i++)
            wait_ms *= 2;
        log_warn("script_retry", "connection=%s script=%s tries=%u why=%s", r->name,
                 scripts_name[call->script], ++r->retry_failures, reply->str);
        ev_timer_set(&r->retry_timer, wait_ms / 1000.0, 0.);
        ev_timer_start(r->loop, &r->retry_timer);
        return;
    }
    r->retry_failures = 0;
    line->first = call->next;
    if (!line->first)
        line->end = &line->first;
    send_first_retry(r, line);
    if (call->cb)
        call->cb(call->arg, reply);
    call_free(call);
}

static void send_first_retry(struct redis *r, struct script_line *line)
{
    struct script_call *call = line->first;

    if (!call || line->sent || ev_is_active(&r->retry_timer) || !redis_is_up(r))
        return;
    line->sent = 1;
    redis_conn_queue(r, on_retry_reply, call, call->command.data, call->command.len);
}

static void send_retries(struct redis *r)
{
    for (int i = 0; i < REDIS_RETRY_LINES; i++)
        send_first_retry(r, &r->retry[i]);
}

static void on_retry_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop;
    (void)events;
    send_retries(w->data);
}

void redis_script_retry(struct redis *r, unsigned line, redis_reply_cb *cb, void *arg, enum script s, ...)
{
    struct script_call *call;
    va_list ap;

    if (r->freeing)
        return;
    va_start(ap, s);
    call = call_new_va(r, cb, arg, s, ap);
    va_end(ap);
    call->line = &r->retry[line % REDIS_RETRY_LINES];
    *call->line->end = call;
    call->line->end = &call->next;
    send_first_retry(r, call->line);
}

/* ---- the connection's part ---- */

void redis_script_init(struct redis *r)
{
    for (int i = 0; i < REDIS_RETRY_LINES; i++)
        r->retry[i].end = &r->retry[i].first;
    ev_timer_init(&r->retry_timer, on_retry_timer, 0., 0.);
    r->retry_timer.data = r;
}

void redis_script_on_up(struct redis *r)
{
    send_retries(r);
}

void redis_script_cleanup(struct redis *r)
{
    struct script_call *call;

    ev_timer_stop(r->loop, &r->retry_timer);
    for (int i = 0; i < REDIS_RETRY_LINES; i++) {
        while ((call = r->retry[i].first)) {
            r->retry[i].first = call->next;
            call_free(call);
        }
    }
}
