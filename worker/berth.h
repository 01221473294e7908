/* berth.h: one place for one browser, as this worker sees it: its state, and what belongs to the turn that is
 * in it.
 *
 *            reserve / start job          CDP answers            warmed, offer sent           claim job
 *   idle ──────────────▶ starting ──┬──────────────▶ warming ──────────────▶ warm ──────────────▶ taken
 *    ▲                              └────────────── for a session: `ready` sent ──────────────────▶ │
 *    └──────── on_clean ──────── cleaning ◀──────────── stop, crash, deadline, from every state ◀───┘
 *
 * The state in Redis (docs/protocol.md) may be ahead of or behind this one by a job or a report that is on
 * its way. */
#ifndef BERTH_BERTH_H
#define BERTH_BERTH_H
#include <ev.h>

#include "../shared/keys.h"
#include "driver.h"
#include "timers.h"

#define BERTH_SECRET_MAX 48

struct profile;
struct warmup;
struct worker;
struct worker_driver;

enum berth_state {
    BERTH_IDLE,     /* nothing here */
    BERTH_STARTING, /* the driver starts a browser, for the warm pool or for a session */
    BERTH_WARMING,  /* its CDP answers; it renders its first page. Only for the warm pool */
    BERTH_WARM,     /* offered; the gateway lets in who knows the secret */
    BERTH_TAKEN,    /* a session has it */
    BERTH_CLEANING, /* the driver removes every trace */
    BERTH_STATES
};

/* What a browser is started for. */
struct berth_order {
    long long turn;
    const struct profile *profile;
    char session[KEYS_SESSION_MAX]; /* "": the warm pool */
    struct timers_limits limits;
};

struct berth {
    struct worker *worker;
    int index;
    enum berth_state state;
    double since;                  /* monotonic ms: entered the state */
    struct berth_order order;      /* of the turn that is here; turn 0: none */
    struct worker_driver *driver;  /* who runs it */
    char secret[BERTH_SECRET_MAX]; /* "": not published */
    char *ws_path;                 /* of the browser's own WebSocket */
    struct driver_timings timings;
    double warmup_ms;
    struct warmup *warmup; /* while warming */
    struct timers timers;
    int withdrawing;                    /* a `withdraw` is on its way */
    double hold_until;                  /* claimed a moment ago: pool.c; monotonic ms */
    const struct profile *hold_profile; /* of that claim; outlives the turn */
    struct berth_order *next;           /* to start when this one is clean; owned */
    long long free_turn;                /* cleaning: the turn whose `freed` is due when clean; 0: none */
    long long seen; /* highest turn ever heard of, and the session that was named with it */
    char seen_session[KEYS_SESSION_MAX];
    long long suspect; /* reconcile.c: the turn about which the first look differed from Redis; 0: none */
    int suspect_kind;
    ev_timer timer; /* the state's own deadline; turn.c */
};

void berth_init(struct berth *b, struct worker *w, int index);
void berth_cleanup(struct berth *b); /* forgets; the browser must be gone */
const char *berth_state_name(enum berth_state s);
/* The one writer of the state: logs the change, stops the state's timer and tells the worker
 * (worker_on_berth). */
void berth_set(struct berth *b, enum berth_state to, const char *reason);
/* Remembers that a turn was heard of. */
void berth_saw(struct berth *b, long long turn, const char *session);
/* 1: a browser of the warm pool, on its way or ready. */
int berth_is_pool(const struct berth *b);
/* 1: a browser is here or on its way, and not on its way out. */
int berth_is_live(const struct berth *b);

#endif
