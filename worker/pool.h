/* pool.h: keeps each profile's warm target filled: how many browsers to start now, when to wait after
 * failures, and which warm one is too old. A start takes a berth in Redis first (`reserve`), so that the pool
 * and sessions never want the same one. */
#ifndef BERTH_POOL_H
#define BERTH_POOL_H
#include <ev.h>

#include "profile.h"

struct worker;

struct pool_profile {
    int reserving;        /* `reserve` calls without an answer */
    int failures;         /* starts that failed in a row */
    double backoff_until; /* monotonic ms */
};

struct pool {
    struct pool_profile profiles[PROFILE_MAX];
    int no_room; /* the last `reserve` found no berth, and none was freed since */
    int turn;    /* the profile that is served first next time */
    ev_timer timer;
};

void pool_init(struct worker *w);
void pool_cleanup(struct worker *w);
/* Something changed that may make room for a start or call for one: looks in the next loop iteration. */
void pool_kick(struct worker *w);
/* A browser of the pool came up (and was warmed), or did not. */
void pool_on_warm(struct worker *w, const struct profile *p);
void pool_on_failure(struct worker *w, const struct profile *p);
/* A berth was freed in Redis. */
void pool_on_room(struct worker *w);
/* `reserve` calls without an answer. */
int pool_reserving(const struct worker *w);

/* Arithmetic, apart for tests. */
/* Browsers to start: have are warm or on their way; held are taken ones that shall not be replaced yet.
 * recent were taken as lately and are over: a client that asks for one session after the other is left alone
 * as long as half of the pool is there. Never negative. */
int pool_missing(int target, int have, int held, int recent);
/* Milliseconds to wait after so many failures in a row; unit is in [0, 1) and spreads them. */
double pool_backoff_ms(int failures, double unit);

#endif
