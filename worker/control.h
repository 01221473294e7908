/* control.h: the worker's standing with Redis: registration, lease, epoch.
 *
 *   offline ──up──▶ registering ──epoch──▶ registered ──unknown_worker──▶ offline: all here has ended
 *                                              └─────────stale_epoch────▶ stale: another process is this
 *                                                                         worker now; the end
 *
 * While Redis is away a registered worker stays registered and its sessions go on; what is true is asked at
 * the next heartbeat that gets through. */
#ifndef BERTH_CONTROL_H
#define BERTH_CONTROL_H
#include <ev.h>

struct worker;

enum control_state {
    CONTROL_OFFLINE,
    CONTROL_REGISTERING, /* `register` is without answer */
    CONTROL_REGISTERED,
    CONTROL_STALE,
    CONTROL_STOPPED /* the worker's own end */
};

struct control {
    enum control_state state;
    long long epoch; /* of the last registration; 0: none yet */
    int beating;     /* a heartbeat is without answer */
    int again;       /* another one is wanted at once after it */
    double answered; /* monotonic ms of the last heartbeat that Redis answered */
    ev_timer timer;
};

void control_init(struct worker *w);
void control_cleanup(struct worker *w);
void control_on_redis(struct worker *w, int up);
/* Something looks wrong: a heartbeat now, which decides. */
void control_check(struct worker *w);
/* 1: registered, the connection is up, and a heartbeat was answered within the lease. New work may begin. */
int control_is_fresh(const struct worker *w);
/* Sends no more heartbeats and never registers again. */
void control_stop(struct worker *w);

#endif
