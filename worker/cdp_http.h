/* cdp_http.h: one HTTP exchange with a browser's debugging port: a small GET or PUT, or a WebSocket handshake
 * whose 101 hands the socket over. The browser is believed no more than a client is: its head and body are
 * bounded and so is the time. */
#ifndef BERTH_CDP_HTTP_H
#define BERTH_CDP_HTTP_H
#include <ev.h>

#include "../shared/buf.h"

#define CDP_HTTP_HEAD_MAX (16 * 1024)
#define CDP_HTTP_BODY_MAX (16 * 1024 * 1024)

struct cdp_http;

struct cdp_http_reply {
    int status;
    const char *type;   /* Content-Type, "" where there is none */
    const char *accept; /* Sec-WebSocket-Accept, "" where there is none */
    struct buf *head;   /* status line and headers as they came, with the empty line */
    struct buf *body;   /* after a 101: what came behind the head */
    int *fd;            /* after a 101: the socket; whoever wants it takes it and writes -1 here */
};

/* Sends request (its bytes are taken) over fd, which may still be connecting and is the exchange's from now
 * on. on_done is called once, never from inside this call, with the reply, or with NULL and why (one line).
 * Reply and buffers live only in the callback. The exchange frees itself after it. */
struct cdp_http *
cdp_http_start(struct ev_loop *loop, int fd, struct buf *request, int limit_ms,
               void (*on_done)(void *arg, const struct cdp_http_reply *reply, const char *why), void *arg);
void cdp_http_cancel(struct cdp_http *h); /* no on_done; not from inside it */

/* Appends a WebSocket handshake for path. extensions and protocol may be NULL. */
void cdp_http_add_handshake(struct buf *out, const char *path, const char *key, const char *extensions,
                            const char *protocol);

#endif
