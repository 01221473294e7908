/* worker.c: see worker.h. Puts a worker together and leads what drivers and gateway say to the berths. */
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "turn.h"
#include "warmup.h"

#define NO_GATEWAY_URL "ws://sim.invalid"

/* ---- events ---- */

static void on_driver_up(void *arg, int berth, const char *ws_path, const struct driver_timings *t)
{
    struct worker *w = arg;

    turn_on_up(&w->berths[berth], ws_path, t);
}

static void on_driver_down(void *arg, int berth, const char *why)
{
    struct worker *w = arg;

    turn_on_down(&w->berths[berth], why);
}

static void on_driver_clean(void *arg, int berth)
{
    struct worker *w = arg;

    turn_on_clean(&w->berths[berth]);
}

static void on_driver_lost(void *arg, const char *why)
{
    struct worker *w = arg;

    log_error("driver_lost", "worker=%s why=%s", w->id, why);
    shutdown_lost(w);
}

static void on_driver_prepare(void *arg, const struct profile *profile, enum driver_readiness readiness,
                              const char *text)
{
    prepare_on_change(arg, profile, readiness, text);
}

static void on_gateway_clients(void *arg, int berth, int n)
{
    struct worker *w = arg;

    turn_on_clients(&w->berths[berth], n);
}

static void on_gateway_activity(void *arg, int berth)
{
    struct worker *w = arg;

    turn_on_activity(&w->berths[berth]);
}

static const struct driver_ops *ops_of(void *arg, int berth, struct driver **driver)
{
    struct worker *w = arg;
    struct worker_driver *d = w->berths[berth].driver;

    *driver = d->driver;
    return d->ops;
}

/* ---- drivers and gateway ---- */

static struct worker_driver *find_driver(struct worker *w, const char *name)
{
    for (int i = 0; i < w->driver_count; i++) {
        if (strcmp(w->drivers[i].ops->name, name) == 0)
            return &w->drivers[i];
    }
    return NULL;
}

struct worker_driver *worker_driver(struct worker *w, const struct profile *p)
{
    return find_driver(w, p->driver);
}

static int open_driver(struct worker *w, const struct profile *p, char *err, unsigned errlen)
{
    struct driver_config config = {.loop = w->loop,
                                   .settings = w->settings,
                                   .worker_id = w->id,
                                   .profiles = w->profiles,
                                   .berths = w->capacity};
    struct driver_events events = {.on_up = on_driver_up,
                                   .on_down = on_driver_down,
                                   .on_clean = on_driver_clean,
                                   .on_lost = on_driver_lost,
                                   .on_prepare = on_driver_prepare,
                                   .arg = w};
    struct worker_driver *d = &w->drivers[w->driver_count];

    if (find_driver(w, p->driver))
        return 0;
    d->ops = driver_find(p->driver);
    if (!d->ops) {
        snprintf(err, errlen, "profile %s: there is no driver named %s", p->name, p->driver);
        return -1;
    }
    d->driver = d->ops->open(&config, &events, d->isolation, sizeof(d->isolation), err, errlen);
    if (!d->driver)
        return -1;
    w->driver_count++;
    if (strcmp(d->isolation, "full") != 0 && strcmp(p->driver, "sim") != 0)
        log_warn(
            "isolation_reduced", "worker=%s driver=%s isolation=%s hint=%s", w->id, p->driver, d->isolation,
            "sessions here are kept apart less than they should be; docs/isolation.md says what is missing");
    return 0;
}

static int open_gateway(struct worker *w, char *err, unsigned errlen)
{
    const struct settings *s = w->settings;
    struct gateway_config config = {
        .loop = w->loop,
        .listen = s->gateway_listen,
        .public_url = s->gateway_url[0] ? s->gateway_url : NULL,
        .berths = w->capacity,
        .ping_ms = s->ping,
        .ops_of = ops_of,
        .events = {.on_clients = on_gateway_clients, .on_activity = on_gateway_activity, .arg = w},
    };

    w->gateway = gateway_new(&config, err, errlen);
    return w->gateway ? 0 : -1;
}

const char *worker_gateway_url(const struct worker *w)
{
    return w->gateway ? gateway_url(w->gateway) : NO_GATEWAY_URL;
}

/* ---- public ---- */

static void init_parts(struct worker *w)
{
    w->berths = mem_alloc((size_t)w->capacity * sizeof(*w->berths));
    for (int i = 0; i < w->capacity; i++)
        turn_init(&w->berths[i], w, i);
    w->counts[BERTH_IDLE] = w->capacity;
    control_init(w);
    jobs_init(w);
    pool_init(w);
    reconcile_init(w);
    shutdown_init(w);
}

struct worker *worker_new(const struct worker_config *config, char *err, unsigned errlen)
{
    struct worker *w = mem_alloc(sizeof(*w));

    w->loop = config->loop;
    w->settings = config->settings;
    w->profiles = config->profiles;
    w->load = config->load;
    w->redis = config->redis;
    w->address = config->address;
    w->on_end = config->on_end;
    w->arg = config->arg;
    w->capacity = (int)config->settings->berths;
    snprintf(w->id, sizeof(w->id), "%s", config->id);
    init_parts(w);
    for (size_t i = 0; i < w->profiles->count; i++) {
        if (open_driver(w, &w->profiles->items[i], err, errlen) != 0)
            goto fail;
    }
    if (!config->no_gateway && open_gateway(w, err, errlen) != 0)
        goto fail;
    prepare_begin(w);
    return w;
fail:
    worker_free(w);
    return NULL;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    jobs_stop(w);
    control_cleanup(w);
    pool_cleanup(w);
    reconcile_cleanup(w);
    shutdown_cleanup(w);
    report_cleanup(w);
    if (w->gateway)
        gateway_free(w->gateway);
    for (int i = 0; i < w->capacity; i++) {
        if (w->berths[i].warmup)
            warmup_cancel(w->berths[i].warmup);
        w->berths[i].warmup = NULL;
    }
    for (int i = 0; i < w->driver_count; i++)
        w->drivers[i].ops->close(w->drivers[i].driver);
    for (int i = 0; i < w->capacity; i++)
        berth_cleanup(&w->berths[i]);
    free(w->berths);
    free(w);
}

void worker_on_redis(struct worker *w, int up)
{
    control_on_redis(w, up);
    if (up)
        reconcile_soon(w);
    else
        shutdown_check(w);
}

void worker_on_berth(struct worker *w, struct berth *b)
{
    (void)b;
    pool_kick(w);
    shutdown_check(w);
}

void worker_abort(struct worker *w, const char *reason)
{
    for (int i = 0; i < w->capacity; i++)
        turn_abort(&w->berths[i], reason);
}

void worker_set_draining(struct worker *w, int draining)
{
    if (w->draining == draining || w->shutdown.phase != SHUTDOWN_NONE)
        return;
    w->draining = draining;
    log_info("draining", "worker=%s on=%d", w->id, draining);
    pool_kick(w);
}

int worker_is_empty(const struct worker *w)
{
    return w->counts[BERTH_IDLE] == w->capacity;
}

int worker_is_pressed(const struct worker *w)
{
    return w->load->pressure && (!worker_is_empty(w) || w->load->mem >= (double)w->settings->pressure_mem);
}

int worker_is_closed(const struct worker *w)
{
    return worker_is_pressed(w) || w->prepare.pending != 0;
}

void worker_end(struct worker *w, int status)
{
    if (w->ended)
        return;
    w->ended = 1;
    w->on_end(w->arg, w, status);
}
