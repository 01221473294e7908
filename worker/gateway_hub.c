/* gateway_hub.c: see gateway_relay.h. Owns every relay of a gateway: their shared read buffer, the ping
 * sweep, their memory. */
#include <stdlib.h>

#include "../shared/mem.h"
#include "gateway_relay_internal.h"

static void on_sweep_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct gateway_hub *hub = w->data;

    (void)loop, (void)events;
    hub->bucket = (hub->bucket + 1) % GATEWAY_BUCKETS;
    /* Relays leave their bucket only in on_hub_reap, so the list holds still under the callbacks. */
    for (struct gateway_relay *r = hub->buckets[hub->bucket]; r; r = r->next)
        gateway_relay_sweep(r);
}

static void relay_free(struct gateway_relay *r)
{
    struct gateway_hub *hub = r->hub;

    if (r->prev)
        r->prev->next = r->next;
    else
        hub->buckets[r->bucket] = r->next;
    if (r->next)
        r->next->prev = r->prev;
    if (--hub->relays == 0)
        ev_timer_stop(hub->loop, &hub->sweep);
    free(r);
}

static void hub_reap(struct gateway_hub *hub)
{
    for (struct gateway_relay *r; (r = hub->dead);) {
        hub->dead = r->next_dead;
        relay_free(r);
    }
}

static void on_hub_reap(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)events;
    ev_prepare_stop(loop, w);
    hub_reap(w->data);
}

void gateway_hub_add(struct gateway_hub *hub, struct gateway_relay *r)
{
    /* Into the bucket swept last: it is next after a whole interval. */
    r->bucket = hub->bucket;
    r->next = hub->buckets[r->bucket];
    if (r->next)
        r->next->prev = r;
    hub->buckets[r->bucket] = r;
    if (hub->relays++ == 0)
        ev_timer_again(hub->loop, &hub->sweep);
}

void gateway_hub_park(struct gateway_hub *hub, struct gateway_relay *r)
{
    r->next_dead = hub->dead;
    hub->dead = r;
    ev_prepare_start(hub->loop, &hub->reap);
}

struct gateway_hub *gateway_hub_new(struct ev_loop *loop, long ping_ms, struct gateway_stats *stats)
{
    struct gateway_hub *hub = mem_alloc(sizeof(*hub));

    hub->loop = loop;
    hub->stats = stats;
    hub->ping_ms = ping_ms;
    ev_timer_init(&hub->sweep, on_sweep_timer, 0., (double)ping_ms / 1000.0 / GATEWAY_BUCKETS);
    ev_prepare_init(&hub->reap, on_hub_reap);
    hub->sweep.data = hub->reap.data = hub;
    return hub;
}

void gateway_hub_free(struct gateway_hub *hub)
{
    if (!hub)
        return;
    for (int i = 0; i < GATEWAY_BUCKETS; i++)
        for (struct gateway_relay *r = hub->buckets[i]; r; r = r->next) {
            r->detached = 1;
            gateway_relay_cut(r, "shutdown");
        }
    hub_reap(hub);
    ev_prepare_stop(hub->loop, &hub->reap);
    ev_timer_stop(hub->loop, &hub->sweep);
    free(hub);
}
