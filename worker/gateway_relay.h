/* gateway_relay.h: one client's WebSocket and the browser's, bytes both ways, with what a plain relay cannot
 * do: pings to the client and a close frame that says why, put in exactly at frame boundaries. Payload is
 * neither copied nor looked at.
 *
 * A hub is what the relays of one gateway share: the read buffer, the ping sweep, the counters. */
#ifndef BERTH_GATEWAY_RELAY_H
#define BERTH_GATEWAY_RELAY_H
#include <ev.h>

#include "../shared/buf.h"
#include "gateway.h"

struct gateway_hub;
struct gateway_relay;

/* stats is borrowed and counted into. */
struct gateway_hub *gateway_hub_new(struct ev_loop *loop, long ping_ms, struct gateway_stats *stats);
void gateway_hub_free(struct gateway_hub *hub); /* cuts the relays that are left; no on_end */

struct gateway_relay_config {
    int client, browser;      /* sockets, the relay's from now on */
    struct buf *to_client;    /* both taken: the browser's handshake answer … */
    struct buf *from_browser; /* … what it sent behind it … */
    struct buf *from_client;  /* … and what the client sent behind its handshake */
    int lost_code;            /* what the client is told when the browser's side ends and nobody says why */
    const char *lost_text;    /* static */
    /* The client sent data. Called for each chunk read. */
    void (*on_activity)(void *arg);
    /* The client's connection is over or about to be: once, and the last call. why is one word or two for the
     * log. */
    void (*on_end)(void *arg, const char *why);
    void *arg;
};

/* NULL if either side turned out to be gone already; then there is no on_end. No callback comes from inside
 * this call. */
struct gateway_relay *gateway_relay_new(struct gateway_hub *hub, const struct gateway_relay_config *config);
/* Ends it with a close frame, at the next frame boundary, within a second; the relay is the hub's from now
 * on. No on_end. text is static or lives as long as the hub. */
void gateway_relay_close(struct gateway_relay *r, int code, const char *text);

#endif
