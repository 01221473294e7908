/* gateway.h: the worker's CDP gateway: an HTTP server that checks a berth's secret and relays WebSockets to
 * its browser.
 *
 * It knows berths by index and secret, and tells its owner what clients do; it knows neither Redis nor
 * sessions' rules. The owner opens a berth when its browser is up (before the secret is published) and closes
 * it when its turn is over. */
#ifndef BERTH_GATEWAY_H
#define BERTH_GATEWAY_H
#include <ev.h>

#include "driver.h"

struct gateway;

struct gateway_events {
    /* n is the number of CDP WebSockets on the berth after the change. gateway_close does not call it: the
     * owner knows. */
    void (*on_clients)(void *arg, int berth, int n);
    /* A client sent something (rate-limited to about one call a second and berth). */
    void (*on_activity)(void *arg, int berth);
    void *arg;
};

struct gateway_config {
    struct ev_loop *loop;
    const char *listen;
    const char *public_url; /* "ws://host:port"; NULL: from the listen address and the port in use */
    int berths;
    long ping_ms;
    /* Who connects to this berth's browser now; arg is that of events. */
    const struct driver_ops *(*ops_of)(void *arg, int berth, struct driver **driver);
    struct gateway_events events;
};

struct gateway *gateway_new(const struct gateway_config *config, char *err, unsigned errlen);
const char *gateway_url(const struct gateway *g); /* "ws://host:port", without a trailing slash */
/* From now on `secret` ("<berth>-<32 hex>") leads to this berth's browser, whose own WebSocket is ws_path. */
void gateway_open(struct gateway *g, int berth, const char *secret, const char *ws_path);
/* Its clients get a close frame that says why (a session end reason, see ws_close_code) and are disconnected
 * (at once if they do not take it within a second); the secret is forgotten. Idempotent. */
void gateway_close(struct gateway *g, int berth, const char *reason);
int gateway_clients(const struct gateway *g, int berth);
/* Counters since gateway_new; also logged at the end (gateway_closed). */
struct gateway_stats {
    unsigned long connections, refused, bytes_to_browser, bytes_to_client, half_open;
};
void gateway_stats(const struct gateway *g, struct gateway_stats *out);
void gateway_free(struct gateway *g);

#endif
