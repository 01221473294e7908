/* worker.h: one worker: an id, its berths, the drivers that run their browsers, the gateway, and what it has
 * agreed with Redis. There are no globals: with the sim driver many workers live in one process and share a
 * loop, a Redis connection and the host's load.
 *
 *   control    registration, lease, epoch            jobs       what the scripts tell this worker
 *   report     what this worker tells the scripts    turn       what happens to a berth, from start to clean
 *   pool       which berths are made warm, when      reconcile  compares the berths with Redis now and then
 *   prepare    profiles that are not ready for starts
 *   shutdown   drain and farewell */
#ifndef BERTH_WORKER_H
#define BERTH_WORKER_H
#include <ev.h>

#include "../shared/redis.h"
#include "../shared/settings.h"
#include "berth.h"
#include "control.h"
#include "driver.h"
#include "gateway.h"
#include "jobs.h"
#include "load.h"
#include "pool.h"
#include "prepare.h"
#include "profile.h"
#include "reconcile.h"
#include "report.h"
#include "shutdown.h"

struct worker_driver {
    const struct driver_ops *ops;
    struct driver *driver;
    char isolation[256]; /* words of docs/isolation.md, or "full" */
};

/* All are borrowed and outlive the worker. */
struct worker_config {
    struct ev_loop *loop;
    const struct settings *settings;
    const struct profile_set *profiles;
    const struct load *load;
    struct redis *redis; /* the commands' connection */
    const struct redis_address *address;
    const char *id;
    int no_gateway; /* simulated fleets: nobody can connect */
    /* The worker is done, with the exit status it asks for; called once, from the loop. */
    void (*on_end)(void *arg, struct worker *w, int status);
    void *arg;
};

struct worker {
    struct ev_loop *loop;
    const struct settings *settings;
    const struct profile_set *profiles;
    const struct load *load;
    struct redis *redis;
    const struct redis_address *address;
    char id[KEYS_ID_MAX + 1];
    void (*on_end)(void *arg, struct worker *w, int status);
    void *arg;

    struct worker_driver drivers[PROFILE_MAX];
    int driver_count;
    struct gateway *gateway; /* NULL: simulated fleets */
    struct berth *berths;
    int capacity;
    int counts[BERTH_STATES];
    unsigned long crashes; /* browsers that were up and died by themselves */
    int draining;          /* Redis says so: nothing new */
    int ended;

    struct control control;
    struct jobs jobs;
    struct pool pool;
    struct prepare prepare;
    struct reconcile reconcile;
    struct reports reports;
    struct shutdown shutdown;
};

/* Opens the drivers and the gateway; nothing is told to Redis yet. NULL with a message in err. */
struct worker *worker_new(const struct worker_config *config, char *err, unsigned errlen) MUST_USE;
/* The commands' connection came up (1) or was lost (0). */
void worker_on_redis(struct worker *w, int up);
/* Ends what still runs without waiting, closes drivers and gateway. The commands' connection must have been
 * freed before. */
void worker_free(struct worker *w);

/* Called by berth_set after each change. */
void worker_on_berth(struct worker *w, struct berth *b);
/* Ends every browser here and now, and tells Redis nothing: this worker's word counts no more. */
void worker_abort(struct worker *w, const char *reason);
/* What Redis says of this worker: draining (1) or ready (0). */
void worker_set_draining(struct worker *w, int draining);
/* 1: no browser is here, nor one on its way in or out. */
int worker_is_empty(const struct worker *w);
/* 1: no browser is started for now. A CPU that other programs keep busy does not count while this worker runs
 * nothing: it would shut the worker out for as long as they like. */
int worker_is_pressed(const struct worker *w);
/* 1: no sessions are to be started here for now: that, or a profile is being prepared. What Redis is told. */
int worker_is_closed(const struct worker *w);
/* Who runs browsers of this profile. */
struct worker_driver *worker_driver(struct worker *w, const struct profile *p);
/* The address that clients reach the gateway under. */
const char *worker_gateway_url(const struct worker *w);
/* Calls on_end, once. */
void worker_end(struct worker *w, int status);

#endif
