/* sim.c: the sim driver: berths without browsers, for tests and load. A start takes profile->sim_start_ms and
 * fails sim_fail_percent of the time; connect gives a socket with a stand-in behind it (sim_cdp.h). */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../shared/mem.h"
#include "../../shared/random.h"
#include "../driver.h"
#include "../profile.h"
#include "sim_cdp.h"

#define USAGE_KB        1024
#define CONNECTIONS_MAX 64

enum sim_state { SIM_IDLE, SIM_STARTING, SIM_FAILING, SIM_UP, SIM_DOWN, SIM_STOPPING };

struct link { /* one connection */
    struct sim_berth *berth;
    struct sim_cdp *cdp;
    struct link *next;
};

struct sim_berth {
    struct driver *driver;
    ev_timer timer;
    struct link *links;
    int link_count;
    unsigned starts;
    enum sim_state state;
    float start_ms;
};

struct driver {
    struct ev_loop *loop;
    struct driver_events events;
    int count;
    struct sim_berth *berths;
};

static int index_of(const struct sim_berth *b)
{
    return (int)(b - b->driver->berths);
}

static void path_of(const struct sim_berth *b, char out[64])
{
    snprintf(out, 64, "/devtools/browser/sim-%d-%u", index_of(b), b->starts);
}

static void drop_links(struct sim_berth *b)
{
    while (b->links) {
        struct link *l = b->links;

        b->links = l->next;
        sim_cdp_free(l->cdp);
        free(l);
    }
    b->link_count = 0;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct sim_berth *b = w->data;
    struct driver *d = b->driver;
    struct driver_timings timings = {.ready_ms = (double)b->start_ms};
    char path[64];

    (void)loop;
    (void)revents;
    switch (b->state) {
    case SIM_STARTING:
        b->state = SIM_UP;
        path_of(b, path);
        d->events.on_up(d->events.arg, index_of(b), path, &timings);
        break;
    case SIM_FAILING:
        b->state = SIM_DOWN;
        d->events.on_down(d->events.arg, index_of(b), "the simulated browser failed to start");
        break;
    case SIM_STOPPING:
        b->state = SIM_IDLE;
        d->events.on_clean(d->events.arg, index_of(b));
        break;
    default:
        break;
    }
}

static void arm(struct sim_berth *b, enum sim_state state, int ms)
{
    struct ev_loop *loop = b->driver->loop;

    b->state = state;
    ev_timer_stop(loop, &b->timer);
    ev_now_update(loop);
    ev_timer_set(&b->timer, ms / 1000.0, 0);
    ev_timer_start(loop, &b->timer);
}

static struct driver *sim_open(const struct driver_config *config, const struct driver_events *events,
                               char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    struct driver *d = mem_alloc(sizeof(*d));

    (void)err;
    (void)errlen;
    d->loop = config->loop;
    d->events = *events;
    d->count = config->berths;
    d->berths = mem_alloc((size_t)d->count * sizeof(*d->berths));
    for (int i = 0; i < d->count; i++) {
        d->berths[i].driver = d;
        ev_init(&d->berths[i].timer, on_timer);
        d->berths[i].timer.data = &d->berths[i];
    }
    snprintf(isolation, isolation_len, "simulated");
    return d;
}

static void sim_start(struct driver *d, int berth, const struct profile *profile)
{
    struct sim_berth *b = &d->berths[berth];
    int fails = random_unit() * 100 < profile->sim_fail_percent;

    assert(b->state == SIM_IDLE);
    b->starts++;
    b->start_ms = (float)profile->sim_start_ms;
    arm(b, fails ? SIM_FAILING : SIM_STARTING, profile->sim_start_ms);
}

static void sim_stop(struct driver *d, int berth)
{
    struct sim_berth *b = &d->berths[berth];

    drop_links(b);
    if (b->state != SIM_STOPPING)
        arm(b, SIM_STOPPING, 0);
}

static void on_link_end(void *arg, struct sim_cdp *cdp)
{
    struct link *l = arg, **at = &l->berth->links;

    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    l->berth->link_count--;
    sim_cdp_free(cdp);
    free(l);
}

static int sim_connect(struct driver *d, int berth)
{
    struct sim_berth *b = &d->berths[berth];
    struct link *l;
    char path[64];
    int ends[2];

    if (b->state != SIM_UP || b->link_count >= CONNECTIONS_MAX) {
        errno = ECONNREFUSED;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    path_of(b, path);
    l = mem_alloc(sizeof(*l));
    l->berth = b;
    l->cdp = sim_cdp_new(d->loop, ends[1], path, on_link_end, l);
    l->next = b->links;
    b->links = l;
    b->link_count++;
    return ends[0];
}

static void sim_set_active(struct driver *d, int berth, int active)
{
    (void)d;
    (void)berth;
    (void)active;
}

static int sim_usage(struct driver *d, int berth, struct driver_usage *out)
{
    if (d->berths[berth].state != SIM_UP)
        return -1;
    *out = (struct driver_usage){USAGE_KB, 0, 1};
    return 0;
}

static void sim_close(struct driver *d)
{
    for (int i = 0; i < d->count; i++) {
        drop_links(&d->berths[i]);
        ev_timer_stop(d->loop, &d->berths[i].timer);
    }
    free(d->berths);
    free(d);
}

const struct driver_ops driver_sim = {
    .name = "sim",
    .open = sim_open,
    .start = sim_start,
    .stop = sim_stop,
    .connect = sim_connect,
    .set_active = sim_set_active,
    .usage = sim_usage,
    .close = sim_close,
};
