/* cdp_http.c: see cdp_http.h. Owns one socket and one llhttp parser for the length of an exchange. */
#include "cdp_http.h"

#include <errno.h>
#include <llhttp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/mem.h"

struct cdp_http {
    struct ev_loop *loop;
    int fd;
    ev_io readable, writable;
    ev_timer limit;
    struct buf request;
    size_t sent;
    llhttp_t parser;
    struct buf head, body;
    int head_done, done;
    const char *why;
    char name[32], value[128], type[128], accept[64];
    void (*on_done)(void *arg, const struct cdp_http_reply *reply, const char *why);
    void *arg;
};

static void http_stop(struct cdp_http *h)
{
    ev_io_stop(h->loop, &h->readable);
    ev_io_stop(h->loop, &h->writable);
    ev_timer_stop(h->loop, &h->limit);
}

static void http_release(struct cdp_http *h)
{
    http_stop(h);
    if (h->fd >= 0)
        close(h->fd);
    buf_cleanup(&h->request);
    buf_cleanup(&h->head);
    buf_cleanup(&h->body);
    free(h);
}

static void http_fail(struct cdp_http *h, const char *why)
{
    http_stop(h);
    h->on_done(h->arg, NULL, why);
    http_release(h);
}

static void http_succeed(struct cdp_http *h)
{
    struct cdp_http_reply reply = {
        .status = h->parser.status_code,
        .type = h->type,
        .accept = h->accept,
        .head = &h->head,
        .body = &h->body,
        .fd = &h->fd,
    };

    http_stop(h);
    h->on_done(h->arg, &reply, NULL);
    http_release(h);
}

/* ---- parser ---- */

/* Headers come in pieces; a name or value too long for its array is none that matters here, so its tail is
 * dropped. */
static void append_bounded(char *to, size_t size, const char *at, size_t len)
{
    size_t have = strlen(to);

    if (len > size - 1 - have)
        len = size - 1 - have;
    memcpy(to + have, at, len);
    to[have + len] = 0;
}

static int on_parser_field(llhttp_t *p, const char *at, size_t len)
{
    struct cdp_http *h = p->data;

    append_bounded(h->name, sizeof(h->name), at, len);
    return 0;
}

static int on_parser_value(llhttp_t *p, const char *at, size_t len)
{
    struct cdp_http *h = p->data;

    append_bounded(h->value, sizeof(h->value), at, len);
    return 0;
}

static int on_parser_value_complete(llhttp_t *p)
{
    struct cdp_http *h = p->data;

    if (!strcasecmp(h->name, "content-type"))
        memcpy(h->type, h->value, sizeof(h->type));
    else if (!strcasecmp(h->name, "sec-websocket-accept") && strlen(h->value) < sizeof(h->accept))
        strcpy(h->accept, h->value);
    h->name[0] = h->value[0] = 0;
    return 0;
}

static int on_parser_headers_complete(llhttp_t *p)
{
    ((struct cdp_http *)p->data)->head_done = 1;
    return 0;
}

static int on_parser_body(llhttp_t *p, const char *at, size_t len)
{
    struct cdp_http *h = p->data;

    if (len > CDP_HTTP_BODY_MAX - h->body.len) {
        h->why = "the browser's reply is too large";
        return HPE_USER;
    }
    buf_add(&h->body, at, len);
    return 0;
}

static int on_parser_complete(llhttp_t *p)
{
    ((struct cdp_http *)p->data)->done = 1;
    return p->upgrade ? 0 : HPE_PAUSED; /* llhttp pauses by itself behind an upgrade */
}

static const llhttp_settings_t parser_settings = {
    .on_header_field = on_parser_field,
    .on_header_value = on_parser_value,
    .on_header_value_complete = on_parser_value_complete,
    .on_headers_complete = on_parser_headers_complete,
    .on_body = on_parser_body,
    .on_message_complete = on_parser_complete,
};

/* Feeds what was read. Returns 1 when the exchange is over (h is gone), 0 to read on. */
static int http_feed(struct cdp_http *h, const char *data, size_t len)
{
    enum llhttp_errno e;

    if (!h->head_done)
        buf_add(&h->head, data, len);
    e = llhttp_execute(&h->parser, data, len);
    if (h->done) {
        if (h->parser.upgrade) {
            size_t used = (size_t)(llhttp_get_error_pos(&h->parser) - data);

            buf_add(&h->body, data + used, len - used);
            h->head.len -= len - used;
            h->head.data[h->head.len] = 0;
        }
        http_succeed(h);
        return 1;
    }
    if (e != HPE_OK) {
        http_fail(h, h->why ? h->why : "the browser's reply is not HTTP");
        return 1;
    }
    if (!h->head_done && h->head.len > CDP_HTTP_HEAD_MAX) {
        http_fail(h, "the head of the browser's reply is too large");
        return 1;
    }
    return 0;
}

/* ---- socket ---- */

static void on_socket_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct cdp_http *h = w->data;
    char chunk[16 * 1024];
    ssize_t n = recv(h->fd, chunk, sizeof(chunk), 0);

    (void)loop, (void)events;
    if (n > 0) {
        http_feed(h, chunk, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* A body without a length ends with the connection. */
    if (n == 0 && h->head_done && llhttp_finish(&h->parser) != HPE_INVALID_EOF_STATE && h->done)
        http_succeed(h);
    else
        http_fail(h, n < 0 ? strerror(errno) : "the browser closed the connection");
}

/* 0, or -1 with errno. */
static int send_now(struct cdp_http *h)
{
    ssize_t n = send(h->fd, h->request.data + h->sent, h->request.len - h->sent, MSG_NOSIGNAL);

    if (n < 0)
        return -1;
    h->sent += (size_t)n;
    return 0;
}

static void on_socket_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct cdp_http *h = w->data;
    int error = 0;
    socklen_t len = sizeof(error);

    (void)events;
    if (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error) {
        http_fail(h, strerror(error));
        return;
    }
    if (send_now(h) != 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)
            http_fail(h, strerror(errno));
        return;
    }
    if (h->sent == h->request.len) {
        ev_io_stop(loop, &h->writable);
        ev_io_start(loop, &h->readable);
    }
}

static void on_limit_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    http_fail(w->data, "the browser did not answer in time");
}

/* ---- public ---- */

struct cdp_http *
cdp_http_start(struct ev_loop *loop, int fd, struct buf *request, int limit_ms,
               void (*on_done)(void *arg, const struct cdp_http_reply *reply, const char *why), void *arg)
{
    struct cdp_http *h = mem_alloc(sizeof(*h));

    h->loop = loop;
    h->fd = fd;
    h->request = *request;
    memset(request, 0, sizeof(*request));
    h->on_done = on_done;
    h->arg = arg;
    llhttp_init(&h->parser, HTTP_RESPONSE, &parser_settings);
    h->parser.data = h;
    ev_io_init(&h->readable, on_socket_readable, fd, EV_READ);
    ev_io_init(&h->writable, on_socket_writable, fd, EV_WRITE);
    ev_timer_init(&h->limit, on_limit_timer, limit_ms / 1000.0, 0.);
    h->readable.data = h->writable.data = h->limit.data = h;
    if (send_now(h) != 0 || h->sent < h->request.len)
        ev_io_start(loop, &h->writable); /* it is connecting, or on_socket_writable finds what is wrong */
    else
        ev_io_start(loop, &h->readable);
    ev_now_update(loop); /* else a loop that was busy shortens the limit */
    ev_timer_start(loop, &h->limit);
    return h;
}

void cdp_http_cancel(struct cdp_http *h)
{
    http_release(h);
}

void cdp_http_add_handshake(struct buf *out, const char *path, const char *key, const char *extensions,
                            const char *protocol)
{
    /* Chromium answers no Host but localhost or an address, and refuses foreign origins: it gets none. */
    buf_addf(out,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
             path, key);
    if (extensions)
        buf_addf(out, "Sec-WebSocket-Extensions: %s\r\n", extensions);
    if (protocol)
        buf_addf(out, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    buf_adds(out, "\r\n");
}
