/* cdp_client.h: a small CDP client over WebSocket: calls with an answer each, and events. For the worker's
 * own errands in a browser (warm-up, live view, downloads); clients' traffic goes through the gateway and is
 * not parsed. */
#ifndef BERTH_CDP_CLIENT_H
#define BERTH_CDP_CLIENT_H
#include <cjson/cJSON.h>
#include <ev.h>

struct cdp_client;

/* result lives only in the callback; on failure it is NULL and error says why (the browser's message, or why
 * the connection ended). Every call is answered exactly once, unless the client is freed first. */
typedef void cdp_client_reply_cb(void *arg, const cJSON *result, const char *error);

struct cdp_client_events {
    void (*on_open)(void *arg);
    /* Optional. session is "" for the browser itself. params lives only in the callback; NULL if there are
     * none. */
    void (*on_event)(void *arg, const char *session, const char *method, const cJSON *params);
    /* The connection could not be made or has ended; after the pending calls' callbacks. The owner still
     * frees the client. */
    void (*on_close)(void *arg, const char *why);
    void *arg;
};

#define CDP_CLIENT_MESSAGE_MAX (16 * 1024 * 1024)

/* fd: a non-blocking socket to the CDP port, connected or connecting; the client's from now on. ws_path:
 * "/devtools/browser/<id>". limit_ms bounds the handshake alone. No event comes from inside this call. */
struct cdp_client *cdp_client_new(struct ev_loop *loop, int fd, const char *ws_path, int limit_ms,
                                  const struct cdp_client_events *events);
/* Allowed in any of its own callbacks; none comes after it. */
void cdp_client_free(struct cdp_client *c);

/* session: a flat session's id, or NULL for the browser. params is taken; NULL for none. cb may be NULL.
 * Before on_open or after on_close the callback comes from the next loop iteration with an error. */
void cdp_client_call(struct cdp_client *c, const char *session, const char *method, cJSON *params,
                     cdp_client_reply_cb *cb, void *arg);

#endif
