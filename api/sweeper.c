/* sweeper.c: one sweep at a time; the next one at once while there is more to do. */
#include "sweeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "../shared/redis.h"
#include "metrics.h"

#define EVERY 1.0 /* seconds, give or take a fifth, so that replicas fall out of step */
#define SLICE "100"

struct sweeper {
    struct api *api;
    ev_timer timer;
    double began_ms;
};

static void arm(struct sweeper *s)
{
    ev_timer_set(&s->timer, EVERY * (0.8 + 0.4 * random_unit()), 0);
    ev_timer_start(s->api->loop, &s->timer);
}

static void sweep(struct sweeper *s);

static void on_swept(void *arg, const redisReply *reply)
{
    struct sweeper *s = arg;
    enum err e = redis_code(reply);
    long long done = redis_int(reply, 1, 0);

    if (e && e != ERR_redis_unavailable)
        log_error("sweep_failed", "code=%s argument=%s", err_name(e),
                  redis_str(reply, 1) ? redis_str(reply, 1) : "");
    if (!e && done > 0) {
        metrics_swept(s->api->metrics, done);
        log_info("swept", "done=%lld more=%lld ms=%.3f", done, redis_int(reply, 2, 0),
                 clock_mono_ms() - s->began_ms);
    }
    if (!e && redis_int(reply, 2, 0))
        sweep(s);
    else
        arm(s);
}

static void sweep(struct sweeper *s)
{
    char lease[24];

    snprintf(lease, sizeof(lease), "%ld", s->api->settings.lease);
    s->began_ms = clock_mono_ms();
    redis_script(s->api->redis, on_swept, s, SCRIPT_sweep, lease, SLICE, s->api->settings.placement, NULL);
}

static void on_timer_sweep(struct ev_loop *loop, ev_timer *t, int events)
{
    struct sweeper *s = t->data;

    (void)loop;
    (void)events;
    if (redis_is_up(s->api->redis))
        sweep(s);
    else
        arm(s);
}

struct sweeper *sweeper_new(struct api *api)
{
    struct sweeper *s = mem_alloc(sizeof(*s));

    s->api = api;
    ev_timer_init(&s->timer, on_timer_sweep, 0, 0);
    s->timer.data = s;
    arm(s);
    return s;
}

void sweeper_free(struct sweeper *s)
{
    if (!s)
        return;
    ev_timer_stop(s->api->loop, &s->timer);
    free(s);
}
