/* pool.c: see pool.h. */
#include "pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "turn.h"
#include "worker.h"

#define BACKOFF_MIN_MS 200.0
#define BACKOFF_MAX_MS 30000.0
#define LOOK_S         5.0 /* nothing is missing: for the age of warm browsers */
#define LOOK_AGAIN_S   0.5 /* something is missing and may not be started yet */

/* One `reserve` call. */
struct reserve {
    struct worker *worker;
    int profile;
    long long epoch;
};

/* What the berths of one profile are doing. */
struct tally {
    int have;           /* warm or on their way, reserve calls included */
    int starting;       /* of these, not warm yet */
    int held;           /* taken a moment ago */
    int recent;         /* the same, and over already: its client may well be back by now */
    int withdrawing;    /* on their way back */
    struct berth *aged; /* warm, unused, and the longest so */
};

int pool_missing(int target, int have, int held, int recent)
{
    int missing = target - have - held;

    if (2 * have >= target)
        missing -= recent;
    return missing > 0 ? missing : 0;
}

double pool_backoff_ms(int failures, double unit)
{
    double ms = BACKOFF_MIN_MS * ldexp(1, failures < 16 ? failures - 1 : 15);

    if (failures <= 0)
        return 0;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    return ms * (0.75 + unit / 2);
}

static int index_of(const struct worker *w, const struct profile *p)
{
    return (int)(p - w->profiles->items);
}

static void arm(struct worker *w, double seconds)
{
    ev_timer_stop(w->loop, &w->pool.timer);
    ev_timer_set(&w->pool.timer, seconds, 0);
    ev_timer_start(w->loop, &w->pool.timer);
}

static void count_berth(struct tally *t, struct berth *b, double now)
{
    if (berth_is_pool(b)) {
        t->have++;
        t->withdrawing += b->withdrawing;
        if (b->state != BERTH_WARM)
            t->starting++;
        else if (b->timers.clients == 0 && !b->withdrawing && (!t->aged || b->since < t->aged->since))
            t->aged = b;
    } else if (b->state == BERTH_TAKEN && b->hold_until > now) {
        t->held++;
    }
}

static void count(struct worker *w, struct tally *tallies)
{
    double now = clock_mono_ms();

    memset(tallies, 0, PROFILE_MAX * sizeof(*tallies));
    for (int i = 0; i < w->capacity; i++) {
        struct berth *b = &w->berths[i];

        if (b->state != BERTH_IDLE && b->order.profile)
            count_berth(&tallies[index_of(w, b->order.profile)], b, now);
        if (!berth_is_live(b) && b->hold_until > now)
            tallies[index_of(w, b->hold_profile)].recent++;
        if (b->next && !b->next->session[0]) {
            tallies[index_of(w, b->next->profile)].have++;
            tallies[index_of(w, b->next->profile)].starting++;
        }
    }
    for (size_t i = 0; i < w->profiles->count; i++) {
        tallies[i].have += w->pool.profiles[i].reserving;
        tallies[i].starting += w->pool.profiles[i].reserving;
    }
}

/* ---- reserve ---- */

/* May warm browsers be started at all now? */
static int is_open(const struct worker *w)
{
    return control_is_fresh(w) && !w->draining && w->shutdown.phase == SHUTDOWN_NONE;
}

static void reserved(struct worker *w, const struct profile *p, long long index, long long turn)
{
    struct berth_order order = {.turn = turn, .profile = p};
    struct berth *b;

    if (index < 0 || index >= w->capacity || turn <= 0) {
        log_error("reserve_odd", "worker=%s berth=%lld turn=%lld", w->id, index, turn);
        return;
    }
    b = &w->berths[index];
    /* This turn is new whatever was heard before: Redis may have lost its last second. */
    if (b->seen >= turn)
        b->seen = turn - 1;
    if (is_open(w))
        turn_start(b, &order);
    else
        turn_stop(b, turn, "drained");
}

static void on_reserve_reply(void *arg, const redisReply *reply)
{
    struct reserve *r = arg;
    struct worker *w = r->worker;
    enum err code = redis_code(reply);
    int current = r->epoch == w->control.epoch && w->control.state == CONTROL_REGISTERED;

    w->pool.profiles[r->profile].reserving--;
    if (code == ERR_ok && current)
        reserved(w, &w->profiles->items[r->profile], redis_int(reply, 1, -1), redis_int(reply, 2, 0));
    else if (code == ERR_no_berth)
        w->pool.no_room = 1;
    else if (code == ERR_stale_epoch || code == ERR_unknown_worker)
        control_check(w);
    else if (code != ERR_ok)
        /* After a lost answer reconcile finds the berth, if there is one. */
        arm(w, LOOK_AGAIN_S);
    free(r);
    shutdown_check(w);
}

static void reserve(struct worker *w, int profile)
{
    struct reserve *r = mem_alloc(sizeof(*r));
    char epoch[24];

    *r = (struct reserve){w, profile, w->control.epoch};
    w->pool.profiles[profile].reserving++;
    snprintf(epoch, sizeof(epoch), "%lld", r->epoch);
    redis_script(w->redis, on_reserve_reply, r, SCRIPT_reserve, w->id, epoch,
                 w->profiles->items[profile].name, NULL);
}

/* ---- look ---- */

static int target_of(const struct worker *w, int profile)
{
    int warm = w->profiles->items[profile].warm;

    return warm < w->capacity ? warm : w->capacity;
}

/* One warm browser that waited too long, when the profile lacks none: they are replaced one at a time. */
static void retire(struct worker *w, const struct tally *t, int profile, double now)
{
    if (t->aged && t->starting == 0 && t->withdrawing == 0 && t->have >= target_of(w, profile) &&
        now - t->aged->since > w->settings->warm_max_age)
        turn_withdraw(t->aged);
}

/* How many berths Redis may have free, as far as is known here: a call for one more would be in vain. */
static int room(const struct worker *w)
{
    return w->counts[BERTH_IDLE] - pool_reserving(w) - w->reports.freed;
}

/* Reserves what is missing, at most start_parallel browsers on their way at once. Returns how many are still
 * missing. */
static int fill(struct worker *w, struct tally *tallies)
{
    double now = clock_mono_ms();
    int count_all = (int)w->profiles->count, starting = 0, lacking = 0, left = room(w);

    for (int i = 0; i < count_all; i++)
        starting += tallies[i].starting;
    for (int n = 0; n < count_all; n++) {
        int i = (w->pool.turn + n) % count_all;
        int missing = pool_missing(target_of(w, i), tallies[i].have, tallies[i].held, tallies[i].recent);

        if (prepare_is_pending(&w->prepare, i))
            continue; /* it kicks the pool when it is over */
        if (!worker_is_pressed(w) && now >= w->pool.profiles[i].backoff_until) {
            for (; missing > 0 && left > 0 && starting < w->settings->start_parallel && !w->pool.no_room;
                 missing--, left--, starting++)
                reserve(w, i);
        }
        lacking += missing + tallies[i].held + tallies[i].recent;
        retire(w, &tallies[i], i, now);
    }
    w->pool.turn = (w->pool.turn + 1) % count_all;
    return lacking;
}

static void on_pool_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    struct tally tallies[PROFILE_MAX];
    double aged = w->settings->warm_max_age / 1000.0;

    (void)loop;
    (void)revents;
    if (!is_open(w)) {
        arm(w, LOOK_S);
        return;
    }
    count(w, tallies);
    if (fill(w, tallies) > 0)
        arm(w, LOOK_AGAIN_S);
    else
        arm(w, aged < LOOK_S ? aged : LOOK_S);
}

/* ---- public ---- */

void pool_init(struct worker *w)
{
    ev_init(&w->pool.timer, on_pool_timer);
    w->pool.timer.data = w;
}

void pool_cleanup(struct worker *w)
{
    ev_timer_stop(w->loop, &w->pool.timer);
}

void pool_kick(struct worker *w)
{
    if (!ev_is_pending(&w->pool.timer))
        arm(w, 0);
}

void pool_on_warm(struct worker *w, const struct profile *p)
{
    struct pool_profile *pp = &w->pool.profiles[index_of(w, p)];

    pp->failures = 0;
    pp->backoff_until = 0;
}

void pool_on_failure(struct worker *w, const struct profile *p)
{
    struct pool_profile *pp = &w->pool.profiles[index_of(w, p)];
    double ms;

    pp->failures++;
    ms = pool_backoff_ms(pp->failures, random_unit());
    pp->backoff_until = clock_mono_ms() + ms;
    log_warn("pool_backoff", "worker=%s profile=%s failures=%d ms=%.0f", w->id, p->name, pp->failures, ms);
}

void pool_on_room(struct worker *w)
{
    w->pool.no_room = 0;
    pool_kick(w);
}

int pool_reserving(const struct worker *w)
{
    int n = 0;

    for (size_t i = 0; i < w->profiles->count; i++)
        n += w->pool.profiles[i].reserving;
    return n;
}
