/* outage.c: see outage.h. */
#include "outage.h"

#include "../shared/log.h"

static void on_outage_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct outage *o = timer->data;

    (void)loop;
    (void)events;
    log_warn("creates_refused", "in_line=%d why=%s", o->gate->waiting, "Redis is away for too long");
    gate_hold(o->gate, 0);
}

void outage_init(struct outage *o, struct ev_loop *loop, struct gate *gate, double ms)
{
    o->loop = loop;
    o->gate = gate;
    ev_timer_init(&o->timer, on_outage_timer, ms / 1000.0, 0.);
    o->timer.data = o;
}

void outage_begin(struct outage *o)
{
    if (o->gate->held)
        return;
    gate_hold(o->gate, 1);
    ev_now_update(o->loop);
    ev_timer_start(o->loop, &o->timer);
}

void outage_end(struct outage *o)
{
    ev_timer_stop(o->loop, &o->timer);
    gate_hold(o->gate, 0);
}

void outage_cleanup(struct outage *o)
{
    if (o->loop)
        ev_timer_stop(o->loop, &o->timer);
}
