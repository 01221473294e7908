/* shutdown.c: see shutdown.h. */
#include "shutdown.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "turn.h"
#include "worker.h"

#define ASK_S         1.0 /* for the answer to `drain` */
#define NUDGE_S       1.0 /* for the stop jobs of warm berths */
#define FORCE_S       5.0 /* from the end of patience to the exit */
#define LEAVE_S       2.0 /* for the answer to `leave` */
#define LEAVE_AGAIN_S 0.1
#define LEAVE_MAX_S   5.0 /* in all, while berths are left in Redis that are not left here */

static const char *const names[] = {"none", "asking", "waiting", "leaving", "done"};

static void arm(struct worker *w, ev_timer *timer, double seconds)
{
    ev_timer_stop(w->loop, timer);
    ev_timer_set(timer, seconds, 0);
    ev_timer_start(w->loop, timer);
}

/* The one writer of the phase. */
static void enter(struct worker *w, enum shutdown_phase phase, const char *reason)
{
    struct shutdown *s = &w->shutdown;

    log_info("shutdown", "worker=%s from=%s to=%s reason=%s ms=%.0f", w->id, names[s->phase], names[phase],
             reason, clock_mono_ms() - s->begun);
    s->phase = phase;
    ev_timer_stop(w->loop, &s->step);
}

static void end(struct worker *w, const char *reason)
{
    struct shutdown *s = &w->shutdown;

    if (s->phase == SHUTDOWN_DONE)
        return;
    enter(w, SHUTDOWN_DONE, reason);
    ev_timer_stop(w->loop, &s->limit);
    ev_timer_stop(w->loop, &s->check);
    jobs_stop(w);
    control_stop(w);
    worker_end(w, s->status);
}

/* ---- leave ---- */

static void on_leave_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    enum err code = redis_code(reply);

    if (w->shutdown.phase != SHUTDOWN_LEAVING)
        return;
    if (code != ERR_not_empty) {
        log_info("left", "worker=%s epoch=%lld code=%s", w->id, w->control.epoch, err_name(code));
        /* Not from inside a callback of the connection, which may be freed at the end. */
        arm(w, &w->shutdown.step, 0);
        return;
    }
    /* A job that is not read yet, or a berth that reconcile will find. */
    enter(w, SHUTDOWN_WAITING, "not_empty");
    arm(w, &w->shutdown.check, LEAVE_AGAIN_S);
    if (w->shutdown.forced)
        arm(w, &w->shutdown.step, fmax(0, (w->shutdown.deadline - clock_mono_ms()) / 1000.0));
    else if (!ev_is_active(&w->shutdown.limit) ||
             ev_timer_remaining(w->loop, &w->shutdown.limit) > LEAVE_MAX_S)
        arm(w, &w->shutdown.limit, LEAVE_MAX_S);
}

static void leave(struct worker *w)
{
    char epoch[24];

    if (w->control.state != CONTROL_REGISTERED || !redis_is_up(w->redis)) {
        end(w, "empty");
        return;
    }
    enter(w, SHUTDOWN_LEAVING, "empty");
    snprintf(epoch, sizeof(epoch), "%lld", w->control.epoch);
    redis_script(w->redis, on_leave_reply, w, SCRIPT_drain, w->id, "leave", epoch, w->settings->placement,
                 NULL);
    arm(w, &w->shutdown.step, LEAVE_S);
}

static void on_check_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    int quiet = report_pending(w) + pool_reserving(w) == 0;

    (void)loop;
    (void)revents;
    if (w->shutdown.phase != SHUTDOWN_WAITING || !worker_is_empty(w))
        return;
    if (quiet || !redis_is_up(w->redis) || w->control.state != CONTROL_REGISTERED)
        leave(w);
}

void shutdown_check(struct worker *w)
{
    if (w->shutdown.phase == SHUTDOWN_WAITING && !ev_is_active(&w->shutdown.check))
        arm(w, &w->shutdown.check, 0);
}

/* ---- drain ---- */

/* Ends what no session has. warm: also browsers that are offered; else those get a stop job each, so that one
 * that a session has claimed in this moment is not taken for unused. */
static void end_pool(struct worker *w, int warm)
{
    for (int i = 0; i < w->capacity; i++) {
        struct berth *b = &w->berths[i];

        if (b->next && !b->next->session[0])
            turn_stop(b, b->next->turn, "drained");
        if (berth_is_pool(b) && (b->state != BERTH_WARM || (warm && b->timers.clients == 0)))
            turn_end(b, "drained");
    }
}

static void wait_empty(struct worker *w, const char *reason, int warm)
{
    enter(w, SHUTDOWN_WAITING, reason);
    end_pool(w, warm);
    arm(w, &w->shutdown.step, NUDGE_S);
    shutdown_check(w);
}

static void on_drain_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    enum err code = redis_code(reply);

    if (w->shutdown.phase == SHUTDOWN_ASKING)
        wait_empty(w, err_name(code), code != ERR_ok);
}

static void force(struct worker *w, const char *reason)
{
    struct shutdown *s = &w->shutdown;

    s->forced = 1;
    ev_timer_stop(w->loop, &s->limit);
    /* Nothing to be warned of where nobody is hurt. */
    log_event(w->counts[BERTH_TAKEN] ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "drain_forced",
              "worker=%s reason=%s taken=%d", w->id, reason, w->counts[BERTH_TAKEN]);
    if (s->phase != SHUTDOWN_LEAVING)
        enter(w, SHUTDOWN_WAITING, reason);
    for (int i = 0; i < w->capacity; i++) {
        struct berth *b = &w->berths[i];

        if (b->next)
            turn_stop(b, b->next->turn, "drained");
        turn_end(b, "drained");
    }
    s->deadline = clock_mono_ms() + FORCE_S * 1000;
    arm(w, &s->step, FORCE_S);
    shutdown_check(w);
}

static void ask(struct worker *w)
{
    char epoch[24];

    snprintf(epoch, sizeof(epoch), "%lld", w->control.epoch);
    redis_script(w->redis, on_drain_reply, w, SCRIPT_drain, w->id, "drain", epoch, w->settings->placement,
                 NULL);
}

static void begin(struct worker *w, const char *reason)
{
    struct shutdown *s = &w->shutdown;

    s->begun = clock_mono_ms();
    enter(w, SHUTDOWN_ASKING, reason);
    arm(w, &s->limit, w->settings->worker_drain_timeout / 1000.0);
    arm(w, &s->step, ASK_S);
    if (w->control.state == CONTROL_REGISTERED)
        ask(w);
    else if (w->control.state != CONTROL_REGISTERING) /* then shutdown_registered asks */
        wait_empty(w, "not_registered", 1);
}

static void on_step_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;

    (void)loop;
    (void)revents;
    if (w->shutdown.forced || w->shutdown.phase == SHUTDOWN_LEAVING)
        end(w, w->shutdown.phase == SHUTDOWN_LEAVING ? "left" : "limit");
    else if (w->shutdown.phase == SHUTDOWN_ASKING)
        wait_empty(w, "no_answer", 1);
    else if (w->shutdown.phase == SHUTDOWN_WAITING) {
        end_pool(w, 1);
        arm(w, timer, NUDGE_S);
        shutdown_check(w);
    }
}

static void on_limit_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    force(timer->data, "timeout");
}

/* ---- public ---- */

void shutdown_init(struct worker *w)
{
    struct shutdown *s = &w->shutdown;

    ev_init(&s->check, on_check_timer);
    ev_init(&s->step, on_step_timer);
    ev_init(&s->limit, on_limit_timer);
    s->check.data = s->step.data = s->limit.data = w;
}

void shutdown_cleanup(struct worker *w)
{
    ev_timer_stop(w->loop, &w->shutdown.check);
    ev_timer_stop(w->loop, &w->shutdown.step);
    ev_timer_stop(w->loop, &w->shutdown.limit);
}

void shutdown_signal(struct worker *w)
{
    if (w->shutdown.phase == SHUTDOWN_NONE)
        begin(w, "signal");
    else if (w->shutdown.phase != SHUTDOWN_DONE && !w->shutdown.forced)
        force(w, "second_signal");
}

void shutdown_lost(struct worker *w)
{
    w->shutdown.status = 1;
    if (w->shutdown.phase == SHUTDOWN_NONE)
        begin(w, "driver_lost");
}

void shutdown_registered(struct worker *w)
{
    if (w->shutdown.phase == SHUTDOWN_ASKING)
        ask(w);
}

void shutdown_stale(struct worker *w)
{
    struct shutdown *s = &w->shutdown;

    s->status = 1;
    if (s->phase == SHUTDOWN_NONE)
        s->begun = clock_mono_ms();
    enter(w, SHUTDOWN_WAITING, "replaced");
    force(w, "replaced");
}
