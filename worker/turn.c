/* turn.c: see turn.h. The order of effects matters throughout: a secret is in the gateway before it is in
 * Redis, a session is released in Redis before its browser is gone, and `freed` comes last. */
#include "turn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "report.h"
#include "warmup.h"
#include "worker.h"

#define START_LIMIT_S   60.0 /* the drivers' own limits are shorter; this one catches a driver that forgets */
#define WARMUP_LIMIT_MS 10000
#define CLAIM_LIMIT_S   10.0 /* a client is on a warm browser: its claim is on the way */
#define CLEAN_NOTICE_S  60.0
#define HOLD_MS         500.0 /* the warm pool leaves a new session's first connect and goto alone */
#define SECRET_HEX      32
#define ANY_SESSION     "*" /* in seen_session: the turn was over before its start was heard of */

static void on_berth_timer(struct ev_loop *loop, ev_timer *timer, int revents);

void turn_init(struct berth *b, struct worker *w, int index)
{
    berth_init(b, w, index);
    ev_init(&b->timer, on_berth_timer);
    b->timer.data = b;
}

static void arm(struct berth *b, double seconds)
{
    ev_timer_stop(b->worker->loop, &b->timer);
    ev_timer_set(&b->timer, seconds < 0 ? 0 : seconds, 0);
    ev_timer_start(b->worker->loop, &b->timer);
}

/* A taken berth's timer stands at its session's next deadline. Activity only moves deadlines back, so it does
 * not arm anew. */
static void arm_session(struct berth *b)
{
    const char *reason;
    double at = timers_next(&b->timers, &reason);

    if (isfinite(at))
        arm(b, (at - clock_mono_ms()) / 1000.0);
    else
        ev_timer_stop(b->worker->loop, &b->timer);
}

static void set_active(struct berth *b, int active)
{
    b->driver->ops->set_active(b->driver->driver, b->index, active);
}

static struct timers_rules rules_of(const struct worker *w)
{
    struct timers_rules none = {-1, -1};

    if (!w->gateway)
        return none;
    return (struct timers_rules){w->settings->connect_timeout, w->settings->disconnect_grace};
}

/* ---- start ---- */

static void begin(struct berth *b, const struct berth_order *order)
{
    b->order = *order;
    b->driver = worker_driver(b->worker, order->profile);
    b->free_turn = 0;
    b->withdrawing = 0;
    b->hold_until = 0;
    b->warmup_ms = 0;
    b->suspect = 0;
    memset(&b->timings, 0, sizeof(b->timings));
    timers_reset(&b->timers, rules_of(b->worker));
    berth_saw(b, order->turn, order->session);
    berth_set(b, BERTH_STARTING, order->session[0] ? "session" : "pool");
    arm(b, b->driver->ops->start_limit_s ? b->driver->ops->start_limit_s : START_LIMIT_S);
    b->driver->ops->start(b->driver->driver, b->index, order->profile);
    set_active(b, order->session[0] != '\0');
}

/* Everything ends here: clients are told why, and the driver cleans. free_turn: what `freed` then says; 0:
 * nothing. */
static void finish(struct berth *b, long long free_turn, const char *reason)
{
    struct worker *w = b->worker;

    if (b->warmup) {
        warmup_cancel(b->warmup);
        b->warmup = NULL;
    }
    if (b->secret[0] && w->gateway)
        gateway_close(w->gateway, b->index, reason);
    b->secret[0] = '\0';
    free(b->ws_path);
    b->ws_path = NULL;
    b->free_turn = free_turn;
    berth_set(b, BERTH_CLEANING, reason);
    arm(b, CLEAN_NOTICE_S);
    b->driver->ops->stop(b->driver->driver, b->index);
}

static void put_next(struct berth *b, const struct berth_order *order)
{
    if (!b->next)
        b->next = mem_alloc(sizeof(*b->next));
    *b->next = *order;
    b->free_turn = 0; /* Redis has moved on to the next turn */
    berth_saw(b, order->turn, order->session);
}

/* 1: this order was heard of before, or its end was. The session is compared as well because a Redis that
 * lost its last second may give a turn's number out again. */
static int is_repeat(const struct berth *b, const struct berth_order *order)
{
    return order->turn < b->seen ||
           (order->turn == b->seen &&
            (strcmp(b->seen_session, ANY_SESSION) == 0 || strcmp(b->seen_session, order->session) == 0));
}

void turn_start(struct berth *b, const struct berth_order *order)
{
    if (is_repeat(b, order)) {
        log_debug("job_repeated", "worker=%s berth=%d turn=%lld session=%s kind=start", b->worker->id,
                  b->index, order->turn, order->session);
        return;
    }
    if (b->state == BERTH_IDLE) {
        begin(b, order);
        return;
    }
    if (berth_is_live(b))
        finish(b, 0, "released");
    put_next(b, order);
}

/* The browser can be reached under a new secret from here on. */
static void publish(struct berth *b)
{
    char hex[SECRET_HEX + 1];

    random_hex(hex, sizeof(hex));
    snprintf(b->secret, sizeof(b->secret), "%d-%s", b->index, hex);
    if (b->worker->gateway)
        gateway_open(b->worker->gateway, b->index, b->secret, b->ws_path);
}

static void bind_session(struct berth *b, const struct timers_limits *limits, const char *reason)
{
    timers_bind(&b->timers, *limits, clock_mono_ms());
    berth_set(b, BERTH_TAKEN, reason);
    arm_session(b);
    set_active(b, 1);
}

static void offer(struct berth *b)
{
    publish(b);
    berth_set(b, BERTH_WARM, "offered");
    pool_on_warm(b->worker, b->order.profile);
    report_offer(b);
    if (b->driver->ops->park)
        b->driver->ops->park(b->driver->driver, b->index);
}

static void on_warmup_done(void *arg, int result, const char *why)
{
    struct berth *b = arg;

    b->warmup = NULL;
    if (b->state != BERTH_WARMING)
        return;
    b->warmup_ms = clock_mono_ms() - b->since;
    if (result == 0)
        offer(b);
    else
        turn_on_down(b, why ? why : "the browser did not render its first page");
}

static void begin_warmup(struct berth *b)
{
    int fd = b->driver->ops->connect(b->driver->driver, b->index);

    if (fd < 0) {
        turn_on_down(b, "its CDP port cannot be reached");
        return;
    }
    berth_set(b, BERTH_WARMING, "up");
    b->warmup = warmup_start(b->worker->loop, fd, b->ws_path, WARMUP_LIMIT_MS, on_warmup_done, b);
}

void turn_on_up(struct berth *b, const char *ws_path, const struct driver_timings *t)
{
    if (b->state != BERTH_STARTING)
        return;
    b->ws_path = mem_strdup(ws_path);
    b->timings = *t;
    if (!b->order.session[0]) {
        if (b->driver->ops->warmed)
            offer(b);
        else
            begin_warmup(b);
        return;
    }
    /* Somebody waits: no warm-up. */
    publish(b);
    bind_session(b, &b->order.limits, "ready");
    report_ready(b);
}

/* ---- claim and stop ---- */

void turn_claim(struct berth *b, const struct berth_order *order)
{
    if (b->order.turn == order->turn && b->state == BERTH_WARM) {
        memcpy(b->order.session, order->session, sizeof(b->order.session));
        b->order.limits = order->limits;
        berth_saw(b, order->turn, order->session);
        b->hold_until = clock_mono_ms() + HOLD_MS;
        b->hold_profile = b->order.profile;
        bind_session(b, &order->limits, "claimed");
        return;
    }
    if (b->order.turn == order->turn && b->state == BERTH_TAKEN &&
        strcmp(b->order.session, order->session) != 0) {
        /* Redis has lost its last second and given the browser to a second session. It gets another browser
         * or none, never this one. */
        turn_on_down(b, "another session had this browser");
        return;
    }
    if (order->turn > b->seen) {
        /* A warm browser that nobody here knows of: there is none. */
        log_error("claim_of_nothing", "worker=%s berth=%d turn=%lld session=%s", b->worker->id, b->index,
                  order->turn, order->session);
        turn_stop(b, order->turn, "browser_crashed");
        return;
    }
    log_debug("job_repeated", "worker=%s berth=%d turn=%lld session=%s kind=claim", b->worker->id, b->index,
              order->turn, order->session);
}

void turn_stop(struct berth *b, long long turn, const char *reason)
{
    if (turn > b->seen)
        berth_saw(b, turn, ANY_SESSION);
    if (b->next && b->next->turn == turn) {
        /* It was never begun; the berth is clean when the older one is. */
        free(b->next);
        b->next = NULL;
        b->free_turn = turn;
        return;
    }
    if (b->state == BERTH_IDLE || b->order.turn != turn) {
        if (b->state == BERTH_CLEANING && turn > b->order.turn && !b->next)
            b->free_turn = turn; /* the turn has nothing here, but the berth is not empty yet */
        else
            report_freed(b, turn);
        return;
    }
    if (berth_is_live(b))
        finish(b, turn, reason);
    else if (!b->next)
        b->free_turn = turn;
}

void turn_end(struct berth *b, const char *reason)
{
    if (!berth_is_live(b))
        return;
    /* A session that has no browser yet is not released: `freed` places it on another worker. */
    if (b->order.session[0] && b->state == BERTH_TAKEN)
        report_release(b, reason);
    finish(b, b->order.turn, reason);
}

void turn_abort(struct berth *b, const char *reason)
{
    free(b->next);
    b->next = NULL;
    b->free_turn = 0;
    if (berth_is_live(b))
        finish(b, 0, reason);
}

void turn_forget(struct berth *b)
{
    b->seen = 0;
    b->seen_session[0] = '\0';
    b->suspect = 0;
    if (b->state == BERTH_CLEANING) {
        b->order.turn = 0;
        b->free_turn = 0;
    }
}

void turn_withdraw(struct berth *b)
{
    if (b->state != BERTH_WARM || b->withdrawing)
        return;
    b->withdrawing = 1;
    report_withdraw(b);
}

void turn_on_withdrawn(struct berth *b, long long turn, int granted)
{
    if (b->order.turn != turn)
        return;
    b->withdrawing = 0;
    if (granted && b->state == BERTH_WARM)
        finish(b, turn, "released");
}

/* `freed` follows all the same: to a repeated offer or ready the answer is stale also when its own turn is
 * being cleaned by now, and then Redis waits for that word. */
void turn_on_stale(struct berth *b, long long turn)
{
    if (b->order.turn == turn && berth_is_live(b))
        finish(b, turn, "worker_lost");
}

void turn_on_gone(struct berth *b, long long turn)
{
    if (b->order.turn == turn && berth_is_live(b))
        finish(b, turn, "cancelled");
}

/* ---- the driver, the gateway, the clock ---- */

void turn_on_down(struct berth *b, const char *why)
{
    struct worker *w = b->worker;
    int was_up = b->state == BERTH_WARM || b->state == BERTH_TAKEN;

    if (!berth_is_live(b))
        return;
    log_warn("browser_down", "worker=%s berth=%d turn=%lld session=%s state=%s why=%s", w->id, b->index,
             b->order.turn, b->order.session, berth_state_name(b->state), why);
    if (was_up)
        w->crashes++;
    else if (berth_is_pool(b))
        pool_on_failure(w, b->order.profile);
    report_failed(b, why);
    finish(b, b->order.turn, was_up ? "browser_crashed" : "start_failed");
}

void turn_on_clean(struct berth *b)
{
    struct berth_order *next = b->next;
    long long freed = b->free_turn;

    if (b->state != BERTH_CLEANING) {
        log_error("clean_unasked", "worker=%s berth=%d state=%s", b->worker->id, b->index,
                  berth_state_name(b->state));
        return;
    }
    b->next = NULL;
    b->free_turn = 0;
    if (freed)
        report_freed(b, freed);
    berth_set(b, BERTH_IDLE, "clean");
    memset(&b->order, 0, sizeof(b->order));
    if (next)
        begin(b, next);
    free(next);
}

void turn_on_clients(struct berth *b, int n)
{
    if (b->state != BERTH_WARM && b->state != BERTH_TAKEN)
        return;
    timers_clients(&b->timers, n, clock_mono_ms());
    log_info("clients", "worker=%s berth=%d turn=%lld session=%s n=%d", b->worker->id, b->index,
             b->order.turn, b->order.session, n);
    if (b->state == BERTH_TAKEN) {
        arm_session(b);
    } else if (!ev_is_active(&b->timer)) {
        /* The client was told the secret by an admit whose claim job is not here yet. */
        set_active(b, 1);
        arm(b, CLAIM_LIMIT_S);
    }
}

void turn_on_activity(struct berth *b)
{
    if (b->state == BERTH_WARM || b->state == BERTH_TAKEN)
        timers_activity(&b->timers, clock_mono_ms());
}

static void on_session_timer(struct berth *b)
{
    const char *reason;

    /* Half a millisecond: the timer may fire a rounding early. */
    if (timers_next(&b->timers, &reason) <= clock_mono_ms() + 0.5)
        turn_end(b, reason);
    else
        arm_session(b);
}

static void on_berth_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct berth *b = timer->data;

    (void)loop;
    (void)revents;
    switch (b->state) {
    case BERTH_STARTING:
        turn_on_down(b, "the browser did not come up in time");
        break;
    case BERTH_WARM:
        log_warn("client_without_claim", "worker=%s berth=%d turn=%lld", b->worker->id, b->index,
                 b->order.turn);
        turn_withdraw(b);
        arm(b, CLAIM_LIMIT_S); /* asked again until the claim or the withdrawal is there */
        break;
    case BERTH_TAKEN:
        on_session_timer(b);
        break;
    case BERTH_CLEANING:
        log_error("berth_stuck", "worker=%s berth=%d turn=%lld s=%.0f", b->worker->id, b->index,
                  b->order.turn, (clock_mono_ms() - b->since) / 1000.0);
        arm(b, CLEAN_NOTICE_S);
        break;
    case BERTH_IDLE:
    case BERTH_WARMING:
    case BERTH_STATES:
        break;
    }
}
