/* driver.h: how a worker runs one browser in one berth. Drivers know berth indices and profiles: neither
 * Redis, nor sessions, nor the API.
 *
 * Every call returns at once; results come by events, never from inside the call.
 *
 *   start → on_up     the browser's CDP endpoint answers
 *         → on_down   it could not be started, or died later by itself; it still has to be stopped
 *   stop  → on_clean  process tree, mounts, cgroup of that berth are gone: checked, not assumed; also where
 *                     the berth was idle */
#ifndef BERTH_DRIVER_H
#define BERTH_DRIVER_H
#include <ev.h>

#include "../shared/settings.h"

struct profile; /* profile.h */
struct driver;

struct driver_timings { /* ms; 0 where a step does not exist; warmup_ms is the worker's own */
#define STEP(field, name, label, part) double field;
#include "../shared/launch_steps.def"
#undef STEP
};

struct driver_usage { /* of one berth; -1 where unknown */
    long memory_kb;
    double cpu_seconds;
    int processes;
};

enum driver_readiness {
    DRIVER_PREPARING, /* starts would wait for it, perhaps for minutes */
    DRIVER_READY,
    DRIVER_UNPREPARED /* it did not work, and will be tried again by a start */
};

struct driver_events {
    /* ws_path: "/devtools/browser/<id>" of the browser. */
    void (*on_up)(void *arg, int berth, const char *ws_path, const struct driver_timings *t);
    /* why: one line for logs and for the session's message. */
    void (*on_down)(void *arg, int berth, const char *why);
    void (*on_clean)(void *arg, int berth);
    /* Nothing can be started any more until the driver is opened again; what runs may go on. Once. */
    void (*on_lost)(void *arg, const char *why);
    /* After prepare, whenever it changes. text: what there is now, or why there is nothing. */
    void (*on_prepare)(void *arg, const struct profile *profile, enum driver_readiness readiness,
                       const char *text);
    void *arg;
};

struct driver_config {
    struct ev_loop *loop;
    const struct settings *settings;
    const char *worker_id;
    const struct profile_set *profiles; /* all of the worker's; of other drivers, too */
    int berths;                         /* 0, where prepare is there: to prepare and nothing else */
};

struct driver_ops {
    const char *name;
    /* Prepares everything that can be prepared ahead (networks, directories) and removes what an earlier
     * worker of this id left behind. NULL with a message in err. isolation: filled with one word for the
     * host's record: "full", or what is reduced, for example "no-network-namespace". */
    struct driver *(*open)(const struct driver_config *config, const struct driver_events *events,
                           char *isolation, unsigned isolation_len, char *err, unsigned errlen);
    /* Optional. Makes what starts of this profile need and what takes long; on_prepare follows. Once a
     * profile. */
    void (*prepare)(struct driver *d, const struct profile *profile);
    void (*start)(struct driver *d, int berth, const struct profile *profile);
    void (*stop)(struct driver *d, int berth);
    /* A new non-blocking socket, connected or connecting, to the berth's CDP port; -1 with errno. */
    int (*connect)(struct driver *d, int berth);
    /* CPU priority: low while a browser starts and waits (active 0), normal while a session has it (1). */
    void (*set_active)(struct driver *d, int berth, int active);
    /* 0, or -1 if the berth has no browser. */
    int (*usage)(struct driver *d, int berth, struct driver_usage *out);
    /* Optional. The berth's browser is warm and unused: it may rest until connect or set_active(1). */
    void (*park)(struct driver *d, int berth);
    /* Everything must be stopped. Takes down what open made. */
    void (*close)(struct driver *d);
    int warmed;        /* 1: browsers come up warmed already, as from a snapshot */
    int start_limit_s; /* a start that takes longer is given up by the caller; 0: a minute */
};

extern const struct driver_ops driver_process, driver_docker, driver_sim, driver_qemu, driver_firecracker;
/* By its name; NULL if there is none. */
const struct driver_ops *driver_find(const char *name);

#endif
