/* process.h: the process driver's own state, shared by process.c (berths), process_spawn.c (their browsers as
 * children) and process_open.c (opening and closing). */
#ifndef BERTH_PROCESS_H
#define BERTH_PROCESS_H
#include <ev.h>
#include <sys/types.h>

#include "../cgroup.h"
#include "../child.h"
#include "../driver.h"
#include "../jail.h"
#include "../net_pool.h"
#include "process_output.h"

#define PROCESS_CDP_PORT 9222
#define PROCESS_WHY_MAX  400

enum process_state {
    PROCESS_IDLE,     /* nothing of it exists */
    PROCESS_NETWORK,  /* its egress policy is being changed */
    PROCESS_STARTING, /* the browser runs and has not said that it listens */
    PROCESS_UP,
    PROCESS_DOWN,     /* it ended or could not start; waits for stop */
    PROCESS_STOPPING, /* until everything of it is gone */
};

struct process_berth {
    struct driver *driver;
    int index;
    enum process_state state;
    const struct profile *profile; /* while starting */
    struct child *child;           /* bubblewrap, process 1 of a PID namespace of its own */
    struct process_output output;
    ev_timer timer; /* starting: deadline; down: report; stopping: look again */
    int unreported; /* down, and on_down not called yet */
    int has_cgroup;
    int network_pending; /* nft runs for this berth */
    int active;
    int port;     /* without network namespaces: where DevTools listens */
    double began; /* ms: start, or stop */
    int warnings; /* about a berth that does not become empty */
    struct driver_timings timings;
    char why[PROCESS_WHY_MAX];
};

struct driver {
    struct ev_loop *loop;
    struct driver_events events;
    int privileged;
    int own_sandbox; /* Chromium's */
    long uid_base;
    int lock;                    /* this worker id, on this host */
    struct net_pool *net;        /* NULL without privileges */
    struct cgroup_tree *cgroups; /* NULL where there are none */
    struct jail *jail;
    int count;
    struct process_berth *berths;
};

/* process.c */
void process_berth_init(struct process_berth *b, struct driver *d, int index);
void process_berth_end(struct process_berth *b); /* blocking; for closing with a berth that was not stopped */
/* process_spawn.c */
/* Starts the browser for b->profile and listens to what it says. 0, or -1 with why; the cgroup may be left,
 * as b->has_cgroup says. on_exit: as child_start's, with the berth. */
int process_spawn(struct process_berth *b, void (*on_exit)(void *arg, int status), char *why,
                  size_t len) MUST_USE;
/* All of its user's processes, as b->active says. */
void process_set_nice(const struct process_berth *b);
/* process_open.c: driver_ops */
struct driver *process_open(const struct driver_config *config, const struct driver_events *events,
                            char *isolation, unsigned isolation_len, char *err, unsigned errlen);
void process_close(struct driver *d);

#endif
