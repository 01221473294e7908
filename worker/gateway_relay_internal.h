/* gateway_relay_internal.h: what gateway_relay.c (one connection) and gateway_hub.c (all of them) share; for
 * nobody else. */
#ifndef BERTH_GATEWAY_RELAY_INTERNAL_H
#define BERTH_GATEWAY_RELAY_INTERNAL_H
#include <stdint.h>

#include "../shared/ws.h"
#include "gateway_pipe.h"
#include "gateway_relay.h"

#define GATEWAY_CHUNK       (64 * 1024)
#define GATEWAY_CONTROL_MAX (2 + 4 + 125) /* a masked control frame, the longest there is */
#define GATEWAY_BUCKETS     32 /* the ping sweep visits one at a time, so pings do not come in a burst */

enum relay_state { RELAY_OPEN, RELAY_ORPHAN, RELAY_CLOSING, RELAY_DEAD };

struct gateway_relay {
    struct gateway_hub *hub;
    struct gateway_relay *prev, *next; /* in its bucket */
    struct gateway_relay *next_dead;
    int bucket;
    enum relay_state state;
    int client, browser;
    struct gateway_pipe up;   /* client to browser */
    struct gateway_pipe down; /* browser to client */
    struct ws_scan up_scan, down_scan;
    ev_timer timer;                    /* ORPHAN: the wait for a reason; CLOSING: the limit */
    uint8_t held[GATEWAY_CONTROL_MAX]; /* a client's control frame of which the end has not come yet */
    uint8_t held_len;
    uint8_t heard;      /* the client was heard from since the last sweep */
    uint8_t pinged;     /* at least one ping has gone */
    uint8_t unanswered; /* sweeps in a row without a word */
    uint8_t ping_due;   /* to be put in at the next boundary */
    uint8_t close_due;
    uint8_t client_closing, browser_closing; /* it has sent its close frame */
    uint8_t shut;                            /* our last byte to the client has gone */
    uint8_t browser_deaf;                    /* it takes nothing any more; what it still says is read */
    uint8_t detached;                        /* no on_end any more */
    int close_code, lost_code;
    const char *close_text, *lost_text;
    void (*on_activity)(void *arg);
    void (*on_end)(void *arg, const char *why);
    void *arg;
};

struct gateway_hub {
    struct ev_loop *loop;
    struct gateway_stats *stats;
    long ping_ms;
    unsigned relays; /* the sweep runs while there are any */
    int bucket;      /* the one swept last */
    struct gateway_relay *buckets[GATEWAY_BUCKETS];
    struct gateway_relay *dead; /* freed once a loop, never under a callback of theirs */
    ev_timer sweep;
    ev_prepare reap;
    /* What was just read, and before it room for the control frame begun in the read before. */
    uint8_t chunk[GATEWAY_CONTROL_MAX + GATEWAY_CHUNK];
};

/* Closes both sides now. on_end, if it is still due, is the last thing that happens. why: for on_end. */
void gateway_relay_cut(struct gateway_relay *r, const char *why);
/* The relay's turn in the ping sweep. */
void gateway_relay_sweep(struct gateway_relay *r);

/* A new relay's place; a dead one is parked, and freed before the loop waits again. */
void gateway_hub_add(struct gateway_hub *hub, struct gateway_relay *r);
void gateway_hub_park(struct gateway_hub *hub, struct gateway_relay *r);

#endif
