/* reconcile.h: compares the worker's berths with what Redis holds of them, after every reconnect and every
 * half minute. Jobs and reports on their way make the two differ for a moment, so only what differs in the
 * same way in two looks some seconds apart is put right. */
#ifndef BERTH_RECONCILE_H
#define BERTH_RECONCILE_H
#include <ev.h>

#include "berth.h"

struct worker;

struct reconcile {
    int looking;
    ev_timer timer;
};

enum reconcile_verdict {
    RECONCILE_FINE,
    RECONCILE_GHOST,   /* Redis has a turn that does not run here, or should not: stop it, say `freed` */
    RECONCILE_ORPHAN,  /* this worker runs a turn that Redis does not know: stop it */
    RECONCILE_UNHEARD, /* Redis has not heard that the browser is up: say it again */
    RECONCILE_REWOUND  /* Redis has forgotten turns: it restarted without its last second */
};

enum reconcile_state {
    RECONCILE_FREE,
    RECONCILE_STARTING,
    RECONCILE_WARM,
    RECONCILE_TAKEN,
    RECONCILE_CLEANING,
    RECONCILE_STATES
};

/* A berth's record in Redis. */
struct reconcile_record {
    enum reconcile_state state;
    long long turn;
    char session[KEYS_SESSION_MAX];
};

void reconcile_init(struct worker *w);
void reconcile_cleanup(struct worker *w);
/* The first look within about a second. */
void reconcile_soon(struct worker *w);

/* `state|turn|profile|session|secret|timings`. 0, or -1 if it has another form. */
int reconcile_parse(const char *text, struct reconcile_record *out);
enum reconcile_verdict reconcile_judge(const struct berth *b, const struct reconcile_record *r);
/* One look at one berth: acts if the last look said the same. Returns 1 while there is a difference. */
int reconcile_look(struct berth *b, const struct reconcile_record *r);

#endif
