/* create.c: from a request's body to a session that runs.
 *
 * One script call (`admit`) decides; with a warm browser its answer is the reply. Otherwise the call waits
 * for the session (wait.h) until it runs, fails, the client's patience (?wait=S) is over, or the client has
 * gone, which cancels the session. The session's own deadlines (queue wait, start time) are Redis' business;
 * the timer here is a backstop far beyond them. */
#include "create.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/number.h"
#include "create_order.h"
#include "links.h"
#include "metrics.h"
#include "wait.h"

#define STARTS      3 /* attempts the scripts make */
#define BACKSTOP_MS 15000

struct create {
    struct create_order order;
    char session[KEYS_SESSION_MAX];
    int mine;    /* made by this call: ends with it, as long as it has not been handed over */
    int settled; /* answered: nothing left to cancel */
    int asked;   /* Redis knows of the session, or will */
    struct gate *gate;
    struct gate_place place;
    struct waiter *waiter;
    ev_timer timer;
    struct ev_loop *loop;
    double waiting_since; /* 0: does not wait */
    double away_since;    /* Redis does not answer, 0: it does */
    double lost_since;    /* the first answer to admit that was lost, 0: none was */
    void (*on_running)(struct call *c, const struct session *s);
};

/* ---- ends ---- */

static void stop_waiting(struct call *c)
{
    struct create *cr = c->data;

    ev_timer_stop(cr->loop, &cr->timer);
    if (!cr->waiter)
        return;
    wait_remove(cr->waiter);
    cr->waiter = NULL;
    metrics_gauge(c->api->metrics, METRICS_WAITING_CREATES, -1);
    c->waited_ms += clock_mono_ms() - cr->waiting_since;
}

static void free_create(void *data)
{
    struct create *cr = data;

    gate_leave(cr->gate, &cr->place);
    ev_timer_stop(cr->loop, &cr->timer);
    create_order_cleanup(&cr->order);
    free(cr);
}

static void cancel(struct call *c)
{
    struct create *cr = c->data;

    if (cr->asked && cr->mine && !cr->settled)
        api_cancel(c->api, cr->session, cr->order.project);
    cr->settled = 1;
}

static void refuse(struct call *c, enum err e, const char *message, const char *details)
{
    struct create *cr = c->data;

    stop_waiting(c);
    cr->settled = 1;
    metrics_create(c->api->metrics, err_name(e), "", http_age_ms(c->x));
    log_info("session_refused", "code=%s project=%s profile=%s session=%s ms=%.3f request=%s", err_name(e),
             cr->order.project, cr->order.request.profile, cr->session, http_age_ms(c->x),
             http_request_id(c->x));
    call_error(c, e, message, details);
}

static void add_ms(struct buf *out, const char *name, double ms)
{
    buf_adds(out, name);
    buf_add_fixed(out, ms, 3);
}

static void add_control_plane(struct buf *out, const struct call *c, const struct session *s)
{
    const char *warm = *s->warm == '1' ? "true" : "false";

    buf_reserve(out, 256);
    add_ms(out, "\"controlPlaneTimings\":{\"create\":{\"totalMs\":", http_age_ms(c->x));
    add_ms(out, ",\"requestValidationMs\":", c->validated_ms);
    add_ms(out, ",\"schedulerMs\":", c->redis_ms);
    add_ms(out, ",\"reservationMs\":0,\"persistMs\":0,\"waitMs\":", c->waited_ms);
    buf_adds(out, ",\"warmExpected\":");
    buf_adds(out, warm);
    buf_adds(out, ",\"warmActual\":");
    buf_adds(out, warm);
    buf_adds(out, "}}");
}

/* 201 it runs, 202 it does not yet, 200 it did (a repeated request). */
static void answer(struct call *c, int status, const struct session *s, long long position)
{
    struct create *cr = c->data;
    struct buf json = {0}, base = {0}, more = {0};
    struct session_view view;
    char location[KEYS_SESSION_MAX + 16];
    const char *how = session_is(s, "running") ? session_start(s) : "";

    stop_waiting(c);
    cr->settled = 1;
    metrics_create(c->api->metrics, "created", how, http_age_ms(c->x));
    metrics_launch(c->api->metrics, s->timings);
    log_info("session_created",
             "session=%s project=%s profile=%s state=%s worker=%s start=%s ms=%.3f wait_ms=%.1f request=%s",
             s->id, s->project, s->profile, s->state, s->worker, how, http_age_ms(c->x), c->waited_ms,
             http_request_id(c->x));
    if (cr->on_running && status == 201) {
        cr->on_running(c, s);
        return;
    }
    links_view(c, &base, &view);
    add_control_plane(&more, c, s);
    view.position = position;
    view.more = more.data;
    session_add_json(&json, s, &view);
    snprintf(location, sizeof(location), "/v1/sessions/%s", s->id);
    http_add_header(c->x, "Location", location);
    if (!cr->mine)
        http_add_header(c->x, "Idempotent-Replayed", "true");
    if (status == 202)
        http_add_header(c->x, "Preference-Applied", "respond-async");
    buf_cleanup(&base);
    buf_cleanup(&more);
    call_reply(c, status, &json);
}

static void answer_ended(struct call *c, const struct session *s)
{
    struct buf details = {0};
    enum err e = ERR_session_lost;

    if (!strcmp(s->reason, "queue_timeout"))
        e = ERR_queue_timeout;
    else if (!strcmp(s->reason, "start_failed"))
        e = ERR_start_failed;
    buf_adds(&details, "\"sessionId\":");
    buf_add_json_string(&details, s->id);
    buf_adds(&details, ",\"reason\":");
    buf_add_json_string(&details, *s->reason ? s->reason : NULL);
    if (*s->message) {
        buf_adds(&details, ",\"cause\":");
        buf_add_json_string(&details, s->message);
    }
    refuse(c, e, NULL, details.data);
    buf_cleanup(&details);
}

/* Answers if the session has come to something; 0: it is still on its way. */
static int settle(struct call *c, const struct session *s, long long position)
{
    struct create *cr = c->data;

    if (session_is(s, "running"))
        answer(c, 201, s, position);
    else if (session_is(s, "queued") || session_is(s, "starting"))
        return 0;
    else if (s->running && !cr->mine && !cr->on_running)
        answer(c, 200, s, position);
    else
        answer_ended(c, s);
    return 1;
}

/* ---- waiting ---- */

static void on_create_look(void *arg, const redisReply *reply)
{
    struct call *c = arg;
    struct create *cr = c->data;
    enum err e = redis_code(reply);
    struct session s;

    if (e == ERR_ok) {
        cr->away_since = 0;
        session_read(redis_array(reply, 2), &s);
        settle(c, &s, redis_int(reply, 1, 0));
    } else if (e == ERR_not_found) {
        cr->settled = 1;
        refuse(c, ERR_session_lost, "the session is unknown: the database has lost it", NULL);
    } else {
        if (cr->away_since <= 0)
            cr->away_since = clock_mono_ms();
        if (clock_mono_ms() - cr->away_since < (double)c->api->settings.redis_outage)
            return;
        cancel(c);
        refuse(c, ERR_redis_unavailable, NULL, NULL);
    }
}

/* The client's patience is over: tell how things stand. */
static void on_last_look(struct call *c, const redisReply *reply)
{
    enum err e = redis_code(reply);
    struct session s;

    if (e) {
        refuse(c, e == ERR_not_found ? ERR_session_lost : e, NULL, NULL);
        return;
    }
    session_read(redis_array(reply, 2), &s);
    if (!settle(c, &s, redis_int(reply, 1, 0)))
        answer(c, 202, &s, redis_int(reply, 1, 0));
}

static void on_timer_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    struct call *c = t->data;
    struct create *cr = c->data;

    (void)loop;
    (void)events;
    if (cr->order.patience_ms >= 0) {
        stop_waiting(c);
        CALL_SCRIPT(c, on_last_look, SCRIPT_get, cr->session, "");
        return;
    }
    cancel(c);
    refuse(c, ERR_queue_timeout, NULL, NULL);
}

static void begin_waiting(struct call *c)
{
    struct create *cr = c->data;
    const struct settings *set = &c->api->settings;
    double ms = cr->order.patience_ms >= 0
                    ? fmax(0, cr->order.patience_ms - c->waited_ms)
                    : (double)set->queue_wait + STARTS * (double)set->start_timeout + BACKSTOP_MS;

    cr->waiting_since = clock_mono_ms();
    cr->waiter = wait_add(c->api->waits, cr->session, on_create_look, c);
    wait_skip_starting(cr->waiter);
    metrics_gauge(c->api->metrics, METRICS_WAITING_CREATES, 1);
    cr->timer.data = c;
    ev_timer_set(&cr->timer, ms / 1000.0, 0);
    ev_timer_start(cr->loop, &cr->timer);
}

static void on_create_gone(struct call *c)
{
    struct create *cr = c->data;

    stop_waiting(c);
    metrics_create(c->api->metrics, "gone", "", 0);
    log_info("session_abandoned", "session=%s project=%s", cr->session, cr->order.project);
    if (!c->on_reply || cr->waiting_since > 0)
        cancel(c); /* else admit is under way: on_admit_late sees to it */
}

static void on_create_drain(struct call *c, int last)
{
    if (!last || c->on_reply)
        return;
    cancel(c);
    refuse(c, ERR_shutting_down, NULL, NULL);
}

/* ---- admit ---- */

static void admit(void *arg);

/* Where Redis was lost, nobody follows before it is back. */
static void leave_gate(struct call *c)
{
    struct create *cr = c->data;

    if (!redis_is_up(c->api->redis))
        outage_begin(&c->api->outage);
    gate_leave(cr->gate, &cr->place);
}

/* The answer was lost with Redis: stands in line to ask again for the same session. 1 if it does; 0: it has
 * done so for too long, or nobody may wait any more. */
static int ask_again(struct call *c)
{
    struct create *cr = c->data;
    double now = clock_mono_ms();

    if (redis_is_up(c->api->redis) || c->api->draining > 1)
        return 0;
    if (cr->lost_since <= 0)
        cr->lost_since = now;
    if (now - cr->lost_since >= (double)c->api->settings.redis_outage)
        return 0;
    log_info("admit_again", "session=%s project=%s lost_ms=%.0f request=%s", cr->session, cr->order.project,
             now - cr->lost_since, http_request_id(c->x));
    gate_enter(cr->gate, &cr->place, admit, c);
    return 1;
}

static void on_admit_refused(struct call *c, enum err e, const redisReply *reply)
{
    struct create *cr = c->data;
    char details[96], message[128];

    switch (e) {
    case ERR_redis_unavailable:
        if (ask_again(c))
            return;
        /* fall through */
    case ERR_internal:
        /* It may have been carried out. */
        cr->mine = 1;
        cancel(c);
        refuse(c, e, NULL, NULL);
        return;
    case ERR_concurrency_limit:
    case ERR_project_queue_full:
    case ERR_queue_full:
        snprintf(details, sizeof(details), "\"limit\":%lld,\"used\":%lld", redis_int(reply, 1, 0),
                 redis_int(reply, 2, 0));
        refuse(c, e, NULL, details);
        return;
    case ERR_no_worker:
        snprintf(details, sizeof(details), "\"profile\":\"%s\"", cr->order.request.profile);
        snprintf(message, sizeof(message), "no worker that is ready carries the profile %s",
                 cr->order.request.profile);
        refuse(c, e, message, details);
        return;
    case ERR_idempotency_mismatch:
        refuse(c, e, NULL, NULL);
        return;
    default:
        log_error("admit_odd", "code=%s session=%s argument=%s", err_name(e), cr->session,
                  redis_str(reply, 1) ? redis_str(reply, 1) : "");
        refuse(c, ERR_internal, NULL, NULL);
    }
}

/* Whose session it is: ours, or that of an earlier request with the same Idempotency-Key. */
static void take_session(struct create *cr, const redisReply *reply, struct session *s)
{
    session_read(redis_array(reply, 3), s);
    cr->mine = redis_int(reply, 2, 0) == 0 || !strcmp(s->id, cr->session);
    snprintf(cr->session, sizeof(cr->session), "%s", s->id);
}

static void on_admit(struct call *c, const redisReply *reply)
{
    struct create *cr = c->data;
    enum err e = redis_code(reply);
    struct session s;
    long long position;

    leave_gate(c);
    if (e) {
        on_admit_refused(c, e, reply);
        return;
    }
    take_session(cr, reply, &s);
    position = redis_int(reply, 1, 0);
    if (settle(c, &s, position))
        return;
    if (cr->order.patience_ms == 0) { /* NOLINT: exactly what the client wrote */
        answer(c, 202, &s, position);
    } else if (c->api->draining > 1) {
        cancel(c);
        refuse(c, ERR_shutting_down, NULL, NULL);
    } else {
        begin_waiting(c);
    }
}

static void on_admit_late(struct call *c, const redisReply *reply)
{
    struct create *cr = c->data;
    enum err e = redis_code(reply);
    struct session s;

    leave_gate(c);
    if (cr->settled)
        return;
    cr->mine = 1;
    if (!e)
        take_session(cr, reply, &s);
    if (!e || e == ERR_redis_unavailable || e == ERR_internal)
        cancel(c);
}

static void admit(void *arg)
{
    struct call *c = arg;
    struct create *cr = c->data;
    const struct settings *set = &c->api->settings;
    const struct create_request *r = &cr->order.request;
    int own = !strcmp(cr->order.project, c->who.project);
    char timeout[24], idle[24], wait[24], start[24], concurrency[24], queue[24], total[24];

    if (!redis_is_up(c->api->redis)) {
        cancel(c);
        refuse(c, ERR_redis_unavailable, NULL, NULL);
        return;
    }
    number_int(timeout, r->timeout_ms);
    number_int(idle, r->idle_ms);
    c->waited_ms = http_age_ms(c->x) - c->validated_ms; /* in line */
    number_int(wait, (long long)fmax(0, (double)set->queue_wait - c->waited_ms));
    number_int(start, set->start_timeout);
    number_int(concurrency, own && c->who.concurrency >= 0 ? c->who.concurrency : set->project_concurrency);
    number_int(queue, own && c->who.queue >= 0 ? c->who.queue : set->project_queue);
    number_int(total, set->queue);
    cr->asked = 1;
    CALL_SCRIPT(c, on_admit, SCRIPT_admit, cr->session, cr->order.project, r->profile, timeout, idle,
                r->keep_alive ? "1" : "0", wait, start, set->placement, concurrency, queue, total,
                r->meta.data, cr->order.idempotency, cr->order.body_hash);
}

/* ---- the request ---- */

static struct create *create_new(struct call *c)
{
    struct create *cr = mem_alloc(sizeof(*cr));

    cr->loop = c->api->loop;
    cr->gate = &c->api->creates;
    cr->mine = 1;
    ev_timer_init(&cr->timer, on_timer_patience, 0, 0);
    keys_new_session(cr->session, c->api->settings.cell);
    c->data = cr;
    c->free_data = free_create;
    return cr;
}

/* What both ways share: refusals that need no body, then the rest. */
static int may_create(struct call *c)
{
    enum err e = c->api->draining             ? ERR_shutting_down
                 : redis_is_up(c->api->redis) ? ERR_ok
                                              : ERR_redis_unavailable;

    if (!e)
        return 1;
    metrics_create(c->api->metrics, err_name(e), "", http_age_ms(c->x));
    call_error(c, e, NULL, NULL);
    return 0;
}

static void begin(struct call *c)
{
    struct create *cr = c->data;

    c->on_gone = on_create_gone;
    c->on_late = on_admit_late;
    c->on_drain = on_create_drain;
    c->validated_ms = http_age_ms(c->x);
    gate_enter(cr->gate, &cr->place, admit, c);
}

void create_on_post(struct call *c)
{
    struct create *cr = create_new(c);

    if (create_order_read(c, &cr->order) || !may_create(c))
        return;
    begin(c);
}

void create_for_connection(struct call *c, const char *body,
                           void (*on_running)(struct call *c, const struct session *s))
{
    struct create *cr = create_new(c);

    cr->on_running = on_running;
    if (create_order_read_body(c, &cr->order, body, strlen(body)) || !may_create(c))
        return;
    begin(c);
}
