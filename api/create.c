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
#include "create_internal.h"
#include "metrics.h"

#define STARTS      3 /* attempts the scripts make */
#define BACKSTOP_MS 15000

static void free_create(void *data)
{
    struct create *cr = data;

    gate_leave(cr->gate, &cr->place);
    ev_timer_stop(cr->loop, &cr->timer);
    create_order_cleanup(&cr->order);
    free(cr);
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
        create_settle(c, &s, redis_int(reply, 1, 0));
    } else if (e == ERR_not_found) {
        cr->settled = 1;
        create_refuse(c, ERR_session_lost, "the session is unknown: the database has lost it", NULL);
    } else {
        if (cr->away_since <= 0)
            cr->away_since = clock_mono_ms();
        if (clock_mono_ms() - cr->away_since < (double)c->api->settings.redis_outage)
            return;
        create_cancel(c);
        create_refuse(c, ERR_redis_unavailable, NULL, NULL);
    }
}

/* The client's patience is over: tell how things stand. */
static void on_last_look(struct call *c, const redisReply *reply)
{
    enum err e = redis_code(reply);
    struct session s;

    if (e) {
        create_refuse(c, e == ERR_not_found ? ERR_session_lost : e, NULL, NULL);
        return;
    }
    session_read(redis_array(reply, 2), &s);
    if (!create_settle(c, &s, redis_int(reply, 1, 0)))
        create_answer(c, 202, &s, redis_int(reply, 1, 0));
}

static void on_timer_patience(struct ev_loop *loop, ev_timer *t, int events)
{
    struct call *c = t->data;
    struct create *cr = c->data;

    (void)loop;
    (void)events;
    if (cr->order.patience_ms >= 0) {
        create_stop_waiting(c);
        CALL_SCRIPT(c, on_last_look, SCRIPT_get, cr->session, "");
        return;
    }
    create_cancel(c);
    create_refuse(c, ERR_queue_timeout, NULL, NULL);
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

    create_stop_waiting(c);
    metrics_create(c->api->metrics, "gone", "", 0);
    log_info("session_abandoned", "session=%s project=%s", cr->session, cr->order.project);
    if (!c->on_reply || cr->waiting_since > 0)
        create_cancel(c); /* else admit is under way: on_admit_late sees to it */
}

static void on_create_drain(struct call *c, int last)
{
    if (!last || c->on_reply)
        return;
    create_cancel(c);
    create_refuse(c, ERR_shutting_down, NULL, NULL);
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
        create_cancel(c);
        create_refuse(c, e, NULL, NULL);
        return;
    case ERR_concurrency_limit:
    case ERR_project_queue_full:
    case ERR_queue_full:
        snprintf(details, sizeof(details), "\"limit\":%lld,\"used\":%lld", redis_int(reply, 1, 0),
                 redis_int(reply, 2, 0));
        create_refuse(c, e, NULL, details);
        return;
    case ERR_no_worker:
        snprintf(details, sizeof(details), "\"profile\":\"%s\"", cr->order.request.profile);
        snprintf(message, sizeof(message), "no worker that is ready carries the profile %s",
                 cr->order.request.profile);
        create_refuse(c, e, message, details);
        return;
    case ERR_idempotency_mismatch:
        create_refuse(c, e, NULL, NULL);
        return;
    default:
        log_error("admit_odd", "code=%s session=%s argument=%s", err_name(e), cr->session,
                  redis_str(reply, 1) ? redis_str(reply, 1) : "");
        create_refuse(c, ERR_internal, NULL, NULL);
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
    if (create_settle(c, &s, position))
        return;
    if (cr->order.patience_ms == 0) { /* NOLINT: exactly what the client wrote */
        create_answer(c, 202, &s, position);
    } else if (c->api->draining > 1) {
        create_cancel(c);
        create_refuse(c, ERR_shutting_down, NULL, NULL);
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
        create_cancel(c);
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
        create_cancel(c);
        create_refuse(c, ERR_redis_unavailable, NULL, NULL);
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
