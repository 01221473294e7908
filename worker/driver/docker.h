/* docker.h: the docker driver's own state, shared by docker.c (berths), docker_start.c (from a container's
 * creation to its end) and docker_open.c (opening and closing). */
#ifndef BERTH_DOCKER_H
#define BERTH_DOCKER_H
#include <ev.h>

#include "../driver.h"
#include "../net_pool.h"
#include "docker_body.h"
#include "docker_cgroup.h"
#include "docker_engine.h"
#include "docker_stream.h"
#include "process_output.h"

#define DOCKER_CDP_PORT 9222
#define DOCKER_NAME_MAX 96
#define DOCKER_SLOW_MS  60000 /* creating, starting, removing: a busy engine may take long */
#define DOCKER_ASK_MS   10000

enum docker_state_of_berth {
    DOCKER_IDLE,      /* nothing of it exists but its network and that network's holder */
    DOCKER_NETWORK,   /* its egress policy is being changed */
    DOCKER_CREATING,  /* the engine makes the container */
    DOCKER_ATTACHING, /* a stream to its input and output is being opened */
    DOCKER_STARTING,  /* it runs, or is about to, and the browser has not said that it listens */
    DOCKER_UP,
    DOCKER_DOWN,     /* it ended or could not start; waits for stop */
    DOCKER_STOPPING, /* until the engine has removed it and its cgroup is gone */
};

struct docker_berth {
    struct driver *driver;
    int index;
    enum docker_state_of_berth state;
    const struct profile *profile; /* while starting */
    char name[DOCKER_NAME_MAX];    /* of its container */
    char holder[DOCKER_NAME_MAX];  /* of the container whose network it has */
    struct docker_call *call;      /* the one under way */
    struct docker_stream *stream;
    struct docker_stream *holding; /* the holder's: it lives as long as this is open. On waiting_loop */
    struct process_output output;
    struct docker_cgroup cgroup;
    ev_timer timer;      /* starting: deadline; down: report; stopping: look again */
    int unreported;      /* down, and on_down not called yet */
    int network_pending; /* nft runs for this berth */
    int made;            /* the engine was asked to create the container */
    int creating;        /* and has not answered yet */
    int cleared;         /* a container that had the name was removed first */
    int started;         /* the engine says that it runs */
    int ended;           /* the stream is over */
    int active;
    double began; /* ms: start, or stop */
    int warnings; /* about a berth that does not become empty */
    struct driver_timings timings;
    char ws_path[PROCESS_OUTPUT_LINE_MAX]; /* "" until the browser listens */
    char why[DOCKER_WHY_MAX + 100];
};

struct driver {
    struct ev_loop *loop;
    struct driver_events events;
    const char *socket_path, *image;
    char *worker_id;
    long uid_base;
    int lock; /* this worker id, on this host */
    int lost; /* the owner was told that no berth can start any more */
    struct docker_abilities can;
    struct disk_devices disks;     /* whose rates profiles limit; none where no profile does */
    struct docker_engine *engine;  /* on the loop */
    struct docker_engine *waiting; /* on a loop of its own, for opening and closing */
    struct ev_loop *waiting_loop;
    struct net_pool *net;
    int count;
    struct docker_berth *berths;
};

/* docker.c */
void docker_berth_init(struct docker_berth *b, struct driver *d, int index);
void docker_berth_end(struct docker_berth *b);
/* The one writer of a berth's state. seconds: when the timer fires; negative: never; 0: at once. */
void docker_set_state(struct docker_berth *b, enum docker_state_of_berth state, double seconds);
/* The next step of a start; the deadline is one for all of them. */
void docker_set_step(struct docker_berth *b, enum docker_state_of_berth state);
/* It did not work or is over: tells the owner, from the loop. */
void docker_fail(struct docker_berth *b, const char *why);
/* Asks the engine something about a container, or (own) about the berth's; one call at a time. json: body or
 * NULL. */
void docker_call(struct docker_berth *b, const char *method, const char *what, const char *json,
                 long limit_ms, docker_reply_cb *cb);
void docker_call_own(struct docker_berth *b, const char *method, const char *rest, long limit_ms,
                     docker_reply_cb *cb);
/* Has the container removed, until it is; says on_clean then. Never from inside a stream's callback. */
void docker_look_if_clean(struct docker_berth *b);
/* docker_start.c */
void docker_start(struct driver *d, int berth, const struct profile *profile);
void docker_output_init(struct docker_berth *b); /* what the browser prints is told to the berth */
struct docker_container docker_container_of(const struct docker_berth *b);
/* docker_open.c: driver_ops */
struct driver *docker_open(const struct driver_config *config, const struct driver_events *events,
                           char *isolation, unsigned isolation_len, char *err, unsigned errlen);
void docker_close(struct driver *d);

#endif
