/* shutdown.h: how a worker ends. On the first signal it drains: nothing new comes, running sessions go on
 * until they end or BERTH_DRAIN_TIMEOUT is over; a second signal ends them at once. When it is empty it takes
 * its leave of Redis. Every step has a limit, so a Redis that is away holds nothing up. */
#ifndef BERTH_SHUTDOWN_H
#define BERTH_SHUTDOWN_H
#include <ev.h>

struct worker;

enum shutdown_phase {
    SHUTDOWN_NONE,    /* the worker works */
    SHUTDOWN_ASKING,  /* `drain` was sent */
    SHUTDOWN_WAITING, /* for the berths to become empty and the reports to be answered */
    SHUTDOWN_LEAVING, /* `drain leave` was sent */
    SHUTDOWN_DONE
};

struct shutdown {
    enum shutdown_phase phase;
    int status;      /* to exit with */
    int forced;      /* nobody is waited for any more */
    double begun;    /* monotonic ms */
    double deadline; /* forced: the end, whatever is left */
    ev_timer check;  /* a look in the next loop iteration */
    ev_timer step;   /* limit of the phase */
    ev_timer limit;  /* of the drain */
};

void shutdown_init(struct worker *w);
void shutdown_cleanup(struct worker *w);
/* A signal: the first drains, the second ends. */
void shutdown_signal(struct worker *w);
/* Another process is this worker: everything was aborted; exit with status 1 when it is clean. */
void shutdown_stale(struct worker *w);
/* Its driver can start nothing any more: drains, and exits with status 1, so that whoever runs it starts it
 * anew. */
void shutdown_lost(struct worker *w);
/* The answer to `register` came while the worker was told to end: it has a place in Redis to leave. */
void shutdown_registered(struct worker *w);
/* Something changed that a worker on its way out may have waited for. */
void shutdown_check(struct worker *w);

#endif
