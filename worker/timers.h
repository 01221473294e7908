/* timers.h: the deadlines of one session on a worker, as plain arithmetic: who calls passes the time, so that
 * tests need none. All times are ms of one monotonic clock. */
#ifndef BERTH_TIMERS_H
#define BERTH_TIMERS_H

/* What the session was created with. */
struct timers_limits {
    double timeout_ms; /* lifetime; 0: none */
    double idle_ms;    /* without client activity; 0: none */
    int keep_alive;    /* 1: goes on without a client */
};

/* The worker's settings. Negative: the rule does not hold here. */
struct timers_rules {
    double connect_ms; /* no client ever connected */
    double grace_ms;   /* the last client left */
};

struct timers {
    struct timers_limits limits;
    struct timers_rules rules;
    double bound;  /* the session got its browser */
    double active; /* a client last did something, or bound */
    double left;   /* the last client left */
    int clients;   /* connected now */
    int connected; /* one was, at some time */
};

/* The browser is up and nobody's; clients that come before the session is known count. */
void timers_reset(struct timers *t, struct timers_rules rules);
/* The session's life begins. */
void timers_bind(struct timers *t, struct timers_limits limits, double now);
/* The number of connected clients is n now. */
void timers_clients(struct timers *t, int n, double now);
void timers_activity(struct timers *t, double now);
/* When the session ends if nothing more happens (INFINITY: never), and with which end reason. */
double timers_next(const struct timers *t, const char **reason);

#endif
