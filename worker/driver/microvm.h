/* microvm.h: the microVM drivers' own state: one guest per berth, restored from a snapshot that the driver
 * builds itself. The machine monitor is behind worker/vmm.h; this is the same for all of them.
 *
 *   microvm.c           berths: start, restore
 *   microvm_end.c       berths: stop, clean
 *   microvm_machine.c   their processes
 *   microvm_ready.c     those that wait ahead of demand
 *   microvm_cdp.c       the way to the browser
 *   microvm_park.c      pause and resume
 *   microvm_snapshot.c  snapshots in use: found, loaded, given up
 *   microvm_build.c     a template, settled, saved
 *   microvm_accel.c     which accelerator
 *   microvm_prepare.c   snapshots before the first start
 *   microvm_open.c      opening and closing */
#ifndef BERTH_MICROVM_H
#define BERTH_MICROVM_H
#include <ev.h>

#include "../cgroup.h"
#include "../driver.h"
#include "../guest_link.h"
#include "../image.h"
#include "../net_pool.h"
#include "../net_tap.h"
#include "../profile.h"
#include "../snapshot.h"
#include "../vmm.h"
#include "../working_set.h"

#define MICROVM_WHY_MAX       480
#define MICROVM_PIDS          128 /* threads of a monitor; the guest's processes are its own affair */
#define MICROVM_VCPUS_MAX     16
#define MICROVM_WS_PATH_MAX   96
#define MICROVM_SNAPSHOTS_MAX (2 * PROFILE_MAX)
/* Seconds a start may take in all, with a build, and one by another worker before it. */
#define MICROVM_START_LIMIT_S 900

struct microvm_build;
struct cdp_http;

/* ---- snapshots ---- */

enum microvm_snapshot_state {
    MICROVM_SNAPSHOT_NONE,     /* not looked for, or the last try failed */
    MICROVM_SNAPSHOT_BUILDING, /* here, or by another worker of this host */
    MICROVM_SNAPSHOT_LOADING,
    MICROVM_SNAPSHOT_READY
};

struct microvm_snapshot {
    struct driver *driver;
    enum microvm_snapshot_state state;
    struct vmm_machine machine;
    struct snapshot snapshot;
    struct working_set set;
    unsigned generation;               /* raised when it is given up: what was made before is another's */
    int refusals;                      /* of what was found on disk, since it was last ready */
    int set_known;                     /* loaded or recorded: no clone has to be looked at */
    int failures;                      /* clones that did not, since the last that did */
    char ws_path[MICROVM_WS_PATH_MAX]; /* of the browser in it; "" until the first clone has said it */
    double began, took;                /* ms: looking for it; until it was ready */
    ev_timer timer;                    /* loading: the next piece */
};

/* What was said of a profile. */
struct microvm_preparation {
    const struct profile *profile;
    int told; /* -1: nothing yet; otherwise an enum driver_readiness */
    char failed[MICROVM_WHY_MAX];
};

/* ---- berths ---- */

enum microvm_state {
    MICROVM_IDLE,     /* nothing of a session exists; a process may wait for one */
    MICROVM_NETWORK,  /* its egress policy is being changed */
    MICROVM_SNAPSHOT, /* waits for the snapshot to be built or loaded */
    MICROVM_SPAWNING, /* waits for the process to take commands */
    MICROVM_LOADING,  /* the snapshot is loaded; the guest has not said that it is ready */
    MICROVM_ASKING,   /* the first clone of a snapshot is asked for its browser's address */
    MICROVM_UP,
    MICROVM_DOWN,     /* it ended or could not start; waits for stop */
    MICROVM_STOPPING, /* until everything of it is gone */
};

struct microvm_berth {
    struct driver *driver;
    int index;
    enum microvm_state state;
    const struct profile *profile; /* of the start under way or the guest; of the waiting process */
    struct microvm_snapshot *snap; /* the same */
    struct vmm *vmm;
    const struct profile *made_for; /* what vmm, or the last one, was spawned for */
    const struct microvm_snapshot *made_from;
    unsigned made_generation;
    int spawned; /* vmm takes commands */
    int loaded;  /* vmm has the guest */
    struct guest_link link;
    unsigned char mac[6];
    struct working_set_walk walk;
    ev_timer prefetch;
    ev_timer timer; /* the state's own */
    struct cdp_http *asking;
    int replacing;  /* the process is killed to make room for one that fits */
    int unreported; /* down, and on_down not called yet */
    int has_cgroup, network_pending, active;
    int paused;                                         /* nobody uses it: it is to stand still */
    int stands, turning;                                /* it does; a pause or resume is under way */
    double began, step_began, limit_began, retry_after; /* ms */
    int warnings;
    struct driver_timings timings;
    char ws_path[MICROVM_WS_PATH_MAX];
    char why[MICROVM_WHY_MAX];
};

struct driver {
    struct ev_loop *loop;
    struct driver_events events;
    const struct settings *settings;
    const struct vmm_ops *ops;
    struct vmm_host *host;
    struct image image;
    struct net_tap_config tap;
    const char *accel; /* in use; a template that does not boot moves on to the next */
    int accel_index;
    int huge_pages; /* 1: guests' memory is in pages of 2 MB */
    long uid_base;
    int lock;
    struct net_pool *net;
    struct cgroup_tree *cgroups;
    struct microvm_snapshot *snapshots[MICROVM_SNAPSHOTS_MAX];
    int snapshot_count;
    struct microvm_build *build; /* NULL: none under way */
    const struct profile *last;  /* of the latest start: what processes are made ready for */
    ev_timer ready_timer;
    struct microvm_preparation preparations[PROFILE_MAX];
    int preparation_count;
    ev_timer prepare_timer;
    int closing;
    int count;
    struct microvm_berth *berths;
};

/* microvm.c */
void microvm_berth_init(struct microvm_berth *b, struct driver *d, int index);
/* The one writer of a berth's state. seconds: when the timer fires; negative: never. */
void microvm_set_state(struct microvm_berth *b, enum microvm_state state, double seconds);
/* What is left of the time a start may take, in seconds. */
double microvm_time_left(const struct microvm_berth *b);
/* Milliseconds since the last call of this: the step that has just ended. */
double microvm_step_ms(struct microvm_berth *b);
/* It did not work or is over: kills what runs, and tells the owner from the loop. What goes wrong after that
 * is not told. */
void microvm_fail(struct microvm_berth *b, const char *why);
/* The snapshot is ready: uses the process that waits, or spawns one. */
void microvm_launch(struct microvm_berth *b);
/* The browser answers. */
void microvm_up(struct microvm_berth *b);
/* The snapshot's state changed: berths that wait for it go on, or fail with why. NULL: it did not fail. */
void microvm_on_snapshot(struct driver *d, struct microvm_snapshot *s, const char *why);
/* A waiting berth's process takes commands, or has the guest: told by microvm_machine.c. */
void microvm_on_spawned(struct microvm_berth *b);
void microvm_on_loaded(struct microvm_berth *b);
void microvm_on_message(struct microvm_berth *b, const struct guest_message *m);
void microvm_start(struct driver *d, int berth, const struct profile *profile);
int microvm_usage(struct driver *d, int berth, struct driver_usage *out);

/* microvm_end.c */
void microvm_berth_end(struct microvm_berth *b); /* blocking; for closing */
void microvm_kill(struct microvm_berth *b);      /* its process, if there is one */
void microvm_on_gone(struct microvm_berth *b, const char *why);
void microvm_look_if_clean(struct microvm_berth *b);
void microvm_stop(struct driver *d, int berth);

/* microvm_cdp.c */
int microvm_connect(struct driver *d, int berth);
/* The first clone of a snapshot is asked for its browser's path; microvm_up or microvm_fail follows. */
void microvm_ask(struct microvm_berth *b);
void microvm_stop_asking(struct microvm_berth *b);

/* microvm_park.c */
void microvm_wake(struct microvm_berth *b);
void microvm_on_turned(struct microvm_berth *b, int stands); /* a pause or resume is over */
void microvm_set_active(struct driver *d, int berth, int active);
void microvm_park(struct driver *d, int berth);

/* microvm_machine.c */
/* 1: the berth's process has been made from the snapshot as it is now. */
int microvm_machine_is_current(const struct microvm_berth *b);
/* The same of one that may have ended. */
int microvm_machine_was_current(const struct microvm_berth *b);
/* 1: it also is one for the berth's profile, and has no guest yet. */
int microvm_machine_fits(const struct microvm_berth *b);
/* Spawns for b->profile and b->snap. 0, or -1 with why. */
int microvm_machine_spawn(struct microvm_berth *b, char *why, size_t len) MUST_USE;
void microvm_machine_load(struct microvm_berth *b);
/* The order that makes the guest somebody of its own. */
void microvm_machine_restore(struct microvm_berth *b);
int microvm_cgroup(struct driver *d, int index, const struct profile *p, const struct vmm_machine *m,
                   int fds[CGROUP_PLACES_MAX], char *why, size_t len) MUST_USE;

/* microvm_ready.c */
/* Maps the snapshot's working set into a process that waits. */
void microvm_prefetch(struct microvm_berth *b);
/* Once per snapshot, from the first clone that is ready. */
void microvm_record(struct microvm_berth *b);
/* Something changed that may call for another waiting process. */
void microvm_ready_soon(struct driver *d);
void microvm_ready_init(struct driver *d);

/* microvm_snapshot.c */
/* The snapshot for this profile, made known; NULL with a sentence. */
struct microvm_snapshot *microvm_snapshot_of(struct driver *d, const struct profile *p, char *why,
                                             size_t len);
/* Sees to it that it becomes ready: microvm_on_snapshot follows. Nothing if it is under way. */
void microvm_snapshot_want(struct microvm_snapshot *s);
/* The folder is there: loads it. */
void microvm_snapshot_load(struct microvm_snapshot *s);
void microvm_snapshot_failed(struct microvm_snapshot *s, const char *why);
/* Gives up one that is ready, but not on the disk any more as it was found there: it is looked for again when
 * it is wanted. 0: that was so. */
int microvm_snapshot_verify(struct microvm_snapshot *s);
/* Drops one whose clones do not come up, and what is on the disk of it. */
void microvm_snapshot_refuse(struct microvm_snapshot *s, const char *why);
void microvm_snapshots_free(struct driver *d);

/* microvm_prepare.c */
void microvm_prepare(struct driver *d, const struct profile *profile);
void microvm_prepare_init(struct driver *d);
/* A snapshot's state changed; why: it failed for good. */
void microvm_prepare_on_snapshot(struct driver *d, const struct microvm_snapshot *s, const char *why);

/* microvm_accel.c */
/* The first accelerator that is not known to fail. */
void microvm_accel_init(struct driver *d);
/* A template ended with it before it could be saved: takes the next one, if there is one. That it did not
 * even boot is remembered, for later workers too. */
void microvm_accel_failed(struct driver *d, const char *accel, int booted, const char *why);

/* microvm_build.c: builds the snapshot, or waits for another worker that does; microvm_snapshot_load or
 * microvm_snapshot_failed is called at the end. */
void microvm_build_start(struct microvm_snapshot *s);
void microvm_build_end(struct driver *d); /* blocking; for closing */

/* microvm_open.c */
struct driver *microvm_open(const struct vmm_ops *ops, const struct driver_config *config,
                            const struct driver_events *events, char *isolation, unsigned isolation_len,
                            char *err, unsigned errlen);
void microvm_close(struct driver *d);

/* A microVM driver's table: all but its name and the monitor it opens with is the same. */
#define MICROVM_DRIVER(driver_name, driver_open)                                                             \
    {                                                                                                        \
        .name = driver_name, .open = driver_open, .prepare = microvm_prepare, .start = microvm_start,        \
        .stop = microvm_stop, .connect = microvm_connect, .set_active = microvm_set_active,                  \
        .park = microvm_park, .usage = microvm_usage, .close = microvm_close, .warmed = 1,                   \
        .start_limit_s = MICROVM_START_LIMIT_S,                                                              \
    }

#endif
