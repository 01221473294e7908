/* drain.c: three stages. Waiting: creates that wait may still be served, long polls are answered at once.
 * Last call, when the drain's time is over: what still waits gets 503 and its session is cancelled, CDP
 * connections are closed. Then a short while for Redis to take the cancels and clients their replies; longer,
 * as long as a call of Redis may take, where a request is with Redis that cannot be answered before: what
 * comes of it has to be known, or its session would be nobody's. Between callbacks the loop looks whether
 * anything is left. */
#include "drain.h"

#include <stdlib.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "call.h"
#include "metrics.h"
#include "relay_cdp.h"

#define SETTLE_S 2.0

struct drain {
    struct api *api;
    int patient; /* Redis has been waited for */
    ev_prepare idle;
    ev_timer timer;
};

static void tell_calls(struct api *api, int last)
{
    struct call *c, *next;

    for (c = api->calls; c; c = next) {
        next = c->next;
        if (c->x && c->on_drain)
            c->on_drain(c, last);
    }
}

static void on_loop_idle(struct ev_loop *loop, ev_prepare *p, int events)
{
    struct api *api = ((struct drain *)p->data)->api;

    (void)events;
    if (!api->calls && !api->links && !api->settling && http_server_connections(api->server) == 0)
        ev_break(loop, EVBREAK_ALL);
}

static void last_call(struct drain *d)
{
    d->api->draining = 2;
    log_info("drain_last_call", "connections=%d", http_server_connections(d->api->server));
    tell_calls(d->api, 1);
    relay_cdp_close_all(d->api);
    ev_timer_set(&d->timer, SETTLE_S, 0);
    ev_timer_start(d->api->loop, &d->timer);
}

static int redis_owes(const struct api *api)
{
    for (const struct call *c = api->calls; c; c = c->next)
        if (c->on_reply)
            return 1;
    return 0;
}

static void on_timer_drain(struct ev_loop *loop, ev_timer *t, int events)
{
    struct drain *d = t->data;

    (void)events;
    if (d->api->draining == 1) {
        last_call(d);
    } else if (!d->patient && redis_owes(d->api)) {
        d->patient = 1;
        ev_timer_set(t, API_REDIS_TIMEOUT_MS / 1000.0, 0);
        ev_timer_start(loop, t);
    } else {
        ev_break(loop, EVBREAK_ALL);
    }
}

struct drain *drain_new(struct api *api)
{
    struct drain *d = mem_alloc(sizeof(*d));

    d->api = api;
    ev_prepare_init(&d->idle, on_loop_idle);
    ev_timer_init(&d->timer, on_timer_drain, 0, 0);
    d->idle.data = d->timer.data = d;
    return d;
}

void drain_free(struct drain *d)
{
    if (!d)
        return;
    ev_prepare_stop(d->api->loop, &d->idle);
    ev_timer_stop(d->api->loop, &d->timer);
    free(d);
}

void drain_begin(struct drain *d)
{
    struct api *api = d->api;

    if (api->draining) {
        ev_break(api->loop, EVBREAK_ALL);
        return;
    }
    api->draining = 1;
    log_info("draining", "connections=%d waiting=%d relays=%d", http_server_connections(api->server),
             metrics_gauge_value(api->metrics, METRICS_WAITING_CREATES),
             metrics_gauge_value(api->metrics, METRICS_RELAYS));
    http_server_drain(api->server);
    tell_calls(api, 0);
    ev_prepare_start(api->loop, &d->idle);
    ev_timer_set(&d->timer, (double)api->settings.drain_timeout / 1000.0, 0);
    ev_timer_start(api->loop, &d->timer);
}
