/* sessions.c: get, long poll, release, events. */
#include "sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/json.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "links.h"
#include "metrics.h"
#include "session_view.h"
#include "wait.h"

#define POLL_MAX_S 300
#define STATE_MAX  16

struct poll {
    struct api *api;
    double wait_ms;
    double since;         /* when waiting began */
    char seen[STATE_MAX]; /* the state that is no news; "" until known */
    struct waiter *waiter;
    ev_timer timer;
};

/* An id that cannot be one of ours needs no look-up. 1 if it may exist; else the call has been answered. */
static int may_exist(struct call *c)
{
    if (keys_is_session(c->id, c->api->settings.cell))
        return 1;
    call_error(c, ERR_not_found, NULL, NULL);
    return 0;
}

/* The session that a script's reply has as its element at; 0, or -1: it has none, and the call has been
 * answered. */
static int read_reply(struct call *c, const redisReply *reply, size_t at, struct session *out)
{
    enum err e = redis_code(reply);

    if (e) {
        call_error(c, e, NULL, NULL);
        return -1;
    }
    session_read(redis_array(reply, at), out);
    return 0;
}

static void answer_session(struct call *c, const struct session *s, long long position)
{
    struct buf json = {0}, base = {0};
    struct session_view view;

    links_view(c, &base, &view);
    view.position = position;
    session_add_json(&json, s, &view);
    buf_cleanup(&base);
    call_reply(c, 200, &json);
}

/* ---- get and long poll ---- */

static void stop_polling(struct poll *p)
{
    ev_timer_stop(p->api->loop, &p->timer);
    if (!p->waiter)
        return;
    wait_remove(p->waiter);
    p->waiter = NULL;
    metrics_gauge(p->api->metrics, METRICS_LONG_POLLS, -1);
}

static void free_poll(void *data)
{
    stop_polling(data);
    free(data);
}

static void on_poll_gone(struct call *c)
{
    stop_polling(c->data);
}

static int is_news(struct poll *p, const struct session *s)
{
    if (!*p->seen)
        snprintf(p->seen, sizeof(p->seen), "%s", s->state);
    return strcmp(p->seen, s->state) || session_is(s, "ended");
}

static void end_poll(struct call *c, const struct session *s, long long position)
{
    struct poll *p = c->data;

    stop_polling(p);
    if (p->since > 0)
        c->waited_ms = clock_mono_ms() - p->since;
    answer_session(c, s, position);
}

static void on_poll_look(void *arg, const redisReply *reply)
{
    struct call *c = arg;
    enum err e = redis_code(reply);
    struct session s;

    if (e == ERR_ok) {
        session_read(redis_array(reply, 2), &s);
        if (is_news(c->data, &s))
            end_poll(c, &s, redis_int(reply, 1, 0));
        return;
    }
    stop_polling(c->data);
    call_error(c, e == ERR_not_found ? e : ERR_redis_unavailable, NULL, NULL);
}

static void on_get(struct call *c, const redisReply *reply);

static void on_timer_poll(struct ev_loop *loop, ev_timer *t, int events)
{
    struct call *c = t->data;
    struct poll *p = c->data;

    (void)loop;
    (void)events;
    stop_polling(p);
    p->wait_ms = 0;
    CALL_SCRIPT(c, on_get, SCRIPT_get, c->id, auth_reach(&c->who));
}

/* Polls are cheap to repeat: on a drain they are answered at once. */
static void on_poll_drain(struct call *c, int last)
{
    (void)last;
    if (((struct poll *)c->data)->waiter)
        on_timer_poll(c->api->loop, &((struct poll *)c->data)->timer, 0);
}

static void on_get(struct call *c, const redisReply *reply)
{
    struct poll *p = c->data;
    struct session s;

    if (read_reply(c, reply, 2, &s))
        return;
    if (p->wait_ms <= 0 || c->api->draining || is_news(p, &s)) {
        end_poll(c, &s, redis_int(reply, 1, 0));
        return;
    }
    p->since = clock_mono_ms();
    p->waiter = wait_add(c->api->waits, c->id, on_poll_look, c);
    metrics_gauge(c->api->metrics, METRICS_LONG_POLLS, 1);
    ev_timer_set(&p->timer, p->wait_ms / 1000.0, 0);
    ev_timer_start(c->api->loop, &p->timer);
}

void sessions_on_get(struct call *c)
{
    struct poll *p = mem_alloc(sizeof(*p));
    const char *seen = http_query(c->x, "state");

    p->api = c->api;
    ev_timer_init(&p->timer, on_timer_poll, 0, 0);
    p->timer.data = c;
    c->data = p;
    c->free_data = free_poll;
    c->on_gone = on_poll_gone;
    c->on_drain = on_poll_drain;
    if (seen)
        snprintf(p->seen, sizeof(p->seen), "%s", seen);
    if (call_query_seconds(c, "wait", POLL_MAX_S, &p->wait_ms) || !may_exist(c))
        return;
    CALL_SCRIPT(c, on_get, SCRIPT_get, c->id, auth_reach(&c->who));
}

/* ---- release ---- */

static void log_release(const struct call *c, const struct session *s)
{
    log_info("session_released", "session=%s project=%s state=%s reason=%s ms=%.3f request=%s", s->id,
             s->project, s->state, s->reason, http_age_ms(c->x), http_request_id(c->x));
}

static void on_delete(struct call *c, const redisReply *reply)
{
    struct session s;

    if (read_reply(c, reply, 1, &s))
        return;
    log_release(c, &s);
    call_reply_empty(c, 204);
}

static void on_update(struct call *c, const redisReply *reply)
{
    struct session s;

    if (read_reply(c, reply, 1, &s))
        return;
    log_release(c, &s);
    answer_session(c, &s, 0);
}

void sessions_on_delete(struct call *c)
{
    if (may_exist(c))
        CALL_SCRIPT(c, on_delete, SCRIPT_release, c->id, auth_reach(&c->who), "released", "", "");
}

/* 0 if the body asks for a release; else the call has been answered. */
static int check_update(struct call *c)
{
    size_t len;
    const char *body = http_body(c->x, &len), *project = NULL;
    char why[160];
    cJSON *root = json_parse(body, len, why, sizeof(why));
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(root, "status");
    const cJSON *named = cJSON_GetObjectItemCaseSensitive(root, "projectId");
    int rc = -1;

    if (!root) {
        call_error(c, ERR_bad_json, why, NULL);
        return -1;
    }
    if (cJSON_IsString(named))
        project = named->valuestring;
    if (!cJSON_IsString(status) || strcmp(status->valuestring, "REQUEST_RELEASE"))
        call_error_field(c, ERR_bad_field, "status", "status: has to be \"REQUEST_RELEASE\"");
    else if (named && !cJSON_IsNull(named) && !project)
        call_error_field(c, ERR_bad_field, "projectId", "projectId: has to be a string");
    else if (project && !auth_has(&c->who, SCOPE_ADMIN) && strcmp(project, c->who.project))
        call_error_field(c, ERR_forbidden, "projectId", "projectId: the API key is for another project");
    else
        rc = 0;
    cJSON_Delete(root);
    return rc;
}

void sessions_on_update(struct call *c)
{
    if (check_update(c) == 0 && may_exist(c))
        CALL_SCRIPT(c, on_update, SCRIPT_release, c->id, auth_reach(&c->who), "released", "", "");
}

/* ---- events ---- */

static void on_events(struct call *c, const redisReply *reply)
{
    struct buf json = {0};
    struct session s;

    if (read_reply(c, reply, 2, &s))
        return;
    session_add_events(&json, &s);
    call_reply(c, 200, &json);
}

void sessions_on_events(struct call *c)
{
    if (may_exist(c))
        CALL_SCRIPT(c, on_events, SCRIPT_get, c->id, auth_reach(&c->who));
}

/* ---- metrics ---- */

static void add_span(struct buf *json, const char *name, long long from, long long to)
{
    if (from && to >= from)
        buf_addf(json, ",\"%s\":%lld", name, to - from);
    else
        buf_addf(json, ",\"%s\":null", name);
}

static void on_session_metrics(struct call *c, const redisReply *reply)
{
    struct buf json = {0};
    struct session s;
    long long end;

    if (read_reply(c, reply, 2, &s))
        return;
    end = s.ending ? s.ending : s.ended ? s.ended : clock_wall_ms();
    buf_adds(&json, "{\"sessionId\":");
    buf_add_json_string(&json, s.id);
    buf_addf(&json, ",\"state\":\"%s\",\"start\":\"%s\",\"attempts\":%lld", s.state, session_start(&s),
             s.attempts);
    add_span(&json, "queuedMs", s.queued, s.starting ? s.starting : s.running ? s.running : end);
    add_span(&json, "startMs", s.starting, s.running ? s.running : end);
    add_span(&json, "runningMs", s.running, end);
    add_span(&json, "endingMs", s.ending, s.ended ? s.ended : clock_wall_ms());
    buf_adds(&json, "}");
    call_reply(c, 200, &json);
}

void sessions_on_metrics(struct call *c)
{
    if (may_exist(c))
        CALL_SCRIPT(c, on_session_metrics, SCRIPT_get, c->id, auth_reach(&c->who));
}
