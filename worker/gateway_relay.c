/* gateway_relay.c: see gateway_relay.h. Owns the two sockets and, only while a peer is slow, the bytes that
 * wait for it.
 *
 * A chunk is read into the hub's buffer and written at once; what the other side does not take is kept,
 * reading stops, and its write watcher runs until all of it has gone. So an idle connection has no buffer, a
 * busy one costs a read and a write a chunk, and a slow reader stops its writer after one chunk.
 *
 *   OPEN ──browser ends──▶ ORPHAN ──reason or 200 ms──▶ CLOSING ──delivered or 1 s──▶ DEAD
 *    ├────────────── gateway_relay_close, protocol error ─────▲                        ▲
 *    └────────────── client ends, half-open ───────────────────────────────────────────┘ */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/mem.h"
#include "gateway_relay_internal.h"

#define UNANSWERED_MAX  2
#define REASON_WAIT_S   0.2 /* the browser's end is seen before the owner knows why it ended */
#define CLOSING_LIMIT_S 1.0
#define CLOSE_PROTOCOL  1002
#define PING_TEXT       "berth"

static void relay_end(struct gateway_relay *r, const char *why)
{
    if (r->detached)
        return;
    r->detached = 1;
    r->on_end(r->arg, why);
}

static void browser_drop(struct gateway_relay *r)
{
    if (r->browser < 0)
        return;
    gateway_pipe_drop(&r->up);
    ev_io_stop(r->hub->loop, &r->down.readable);
    close(r->browser);
    r->browser = -1;
}

void gateway_relay_cut(struct gateway_relay *r, const char *why)
{
    if (r->state == RELAY_DEAD)
        return;
    r->state = RELAY_DEAD;
    browser_drop(r);
    gateway_pipe_cleanup(&r->up);
    gateway_pipe_cleanup(&r->down);
    ev_timer_stop(r->hub->loop, &r->timer);
    close(r->client);
    gateway_hub_park(r->hub, r);
    relay_end(r, why);
}

static void timer_start(struct gateway_relay *r, double seconds)
{
    ev_now_update(r->hub->loop); /* else a loop that was busy shortens it */
    ev_timer_stop(r->hub->loop, &r->timer);
    ev_timer_set(&r->timer, seconds, 0.);
    ev_timer_start(r->hub->loop, &r->timer);
}

static int client_write(struct gateway_relay *r, const void *data, size_t len)
{
    r->hub->stats->bytes_to_client += len;
    return gateway_pipe_write(&r->down, data, len);
}

/* Never fails: a browser that takes nothing any more may still have something to say, and its end is seen by
 * reading. */
static void browser_write(struct gateway_relay *r, const void *data, size_t len)
{
    if (r->browser_deaf)
        return;
    r->hub->stats->bytes_to_browser += len;
    if (gateway_pipe_write(&r->up, data, len) < 0)
        r->browser_deaf = 1;
}

/* ---- closing ---- */

/* Our last byte has been queued: once it has gone, the client is told that no more comes, and has the rest of
 * the second to answer. Closing at once would make a reset of it, and the close frame could be lost on the
 * way. */
static void closing_finish(struct gateway_relay *r)
{
    if (r->shut || gateway_pipe_is_waiting(&r->down))
        return;
    r->shut = 1;
    shutdown(r->client, SHUT_WR);
}

/* Puts in what is due; the stream to the client is at a frame boundary. -1: the client is gone. */
static int boundary_insert(struct gateway_relay *r)
{
    struct buf frame = {0};
    int result = 0;

    if (r->close_due) {
        ws_add_close(&frame, r->close_code, r->close_text, 0);
        r->close_due = r->ping_due = 0;
        browser_drop(r);
    } else if (r->ping_due && !r->browser_closing) {
        ws_add_control(&frame, WS_OP_PING, PING_TEXT, sizeof(PING_TEXT) - 1, 0);
        r->ping_due = 0;
        r->pinged = 1;
    }
    if (frame.len > 0)
        result = client_write(r, frame.data, frame.len);
    buf_cleanup(&frame);
    return result;
}

/* Towards the end with a close frame, unless the browser's own has gone already. */
static void closing_start(struct gateway_relay *r, int code, const char *text)
{
    if (r->state == RELAY_CLOSING || r->state == RELAY_DEAD)
        return;
    r->state = RELAY_CLOSING;
    r->close_code = code;
    r->close_text = text;
    r->close_due = !r->browser_closing;
    r->ping_due = 0;
    timer_start(r, CLOSING_LIMIT_S);
    /* From here on nothing of the client's reaches the browser; it is read only to see the client's end. */
    gateway_pipe_drop(&r->up);
    ev_io_start(r->hub->loop, &r->up.readable);

    if (r->close_due && !ws_scan_at_boundary(&r->down_scan)) {
        if (r->browser < 0) /* the frame's end will never come */
            gateway_relay_cut(r, "browser_gone");
        return;
    }
    if (boundary_insert(r) < 0) {
        gateway_relay_cut(r, "client_gone");
        return;
    }
    browser_drop(r);
    closing_finish(r);
}

static void browser_lost(struct gateway_relay *r)
{
    browser_drop(r);
    if (r->state == RELAY_CLOSING) {
        if (r->close_due) /* in the middle of a frame */
            gateway_relay_cut(r, "browser_gone");
        else
            closing_finish(r);
    } else if (r->browser_closing) {
        closing_start(r, 0, NULL);
        relay_end(r, r->client_closing ? "client_closed" : "browser_closed");
    } else if (r->client_closing) {
        /* The browser has not answered the client's close frame: the answer is the client's own code. */
        closing_start(r, r->close_code, "");
        relay_end(r, "client_closed");
    } else if (!ws_scan_at_boundary(&r->down_scan)) {
        gateway_relay_cut(r, "browser_gone");
    } else if (r->state == RELAY_OPEN) {
        r->state = RELAY_ORPHAN;
        ev_io_start(r->hub->loop, &r->up.readable); /* for the client's end */
        timer_start(r, REASON_WAIT_S);
    }
}

static void on_relay_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct gateway_relay *r = w->data;

    (void)loop, (void)events;
    if (r->state == RELAY_ORPHAN) {
        closing_start(r, r->lost_code, r->lost_text);
        relay_end(r, "browser_gone");
    } else if (r->state == RELAY_OPEN) { /* the client's close frame was not answered */
        closing_start(r, r->close_code, "");
        relay_end(r, "client_closed");
    } else {
        gateway_relay_cut(r, "closing_timeout");
    }
}

/* ---- browser to client ---- */

static void down_feed(struct gateway_relay *r, const uint8_t *data, size_t len)
{
    size_t at = 0, from = 0;

    while (at < len) {
        struct ws_piece piece;
        long n;

        if (ws_scan_at_boundary(&r->down_scan)) {
            if (r->ping_due || r->close_due) {
                if (client_write(r, data + from, at - from) < 0 || boundary_insert(r) < 0)
                    goto gone;
                from = at;
                if (r->state == RELAY_CLOSING) { /* the rest is for nobody */
                    closing_finish(r);
                    return;
                }
            }
            if ((data[at] & 0x0f) == WS_OP_CLOSE)
                r->browser_closing = 1;
        }
        n = ws_scan_next(&r->down_scan, data + at, len - at, &piece);
        if (n < 0) {
            gateway_relay_cut(r, "browser_protocol");
            return;
        }
        at += (size_t)n;
    }
    if (client_write(r, data + from, len - from) < 0)
        goto gone;
    if ((r->ping_due || r->close_due) && ws_scan_at_boundary(&r->down_scan)) {
        if (boundary_insert(r) < 0)
            goto gone;
        if (r->state == RELAY_CLOSING)
            closing_finish(r);
    }
    return;
gone:
    gateway_relay_cut(r, "client_gone");
}

static void on_browser_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct gateway_relay *r = w->data;
    uint8_t *chunk = r->hub->chunk + GATEWAY_CONTROL_MAX;
    ssize_t n = recv(r->browser, chunk, GATEWAY_CHUNK, 0);

    (void)loop, (void)events;
    if (n > 0)
        down_feed(r, chunk, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        browser_lost(r);
}

static void on_client_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct gateway_relay *r = w->data;
    ssize_t n = gateway_pipe_flush(&r->down);

    (void)events;
    if (n < 0) {
        gateway_relay_cut(r, "client_gone");
        return;
    }
    if (n > 0)
        r->heard = 1; /* a peer that takes bytes is alive, even if its pong is far behind them */
    if (gateway_pipe_is_waiting(&r->down))
        return;
    if (r->browser >= 0)
        ev_io_start(loop, &r->down.readable);
    else if (r->state == RELAY_CLOSING)
        closing_finish(r);
}

/* ---- client to browser ---- */

/* Length of the control frame at data; 0 if its end is not there yet, 1 if it is longer than one may be. */
static size_t control_length(const uint8_t *data, size_t len)
{
    size_t want;

    if (len < 2)
        return 0;
    want = 2 + (size_t)(data[1] & 0x80 ? 4 : 0) + (data[1] & 0x7f);
    if ((data[1] & 0x7f) > 125)
        return 1;
    return want <= len ? want : 0;
}

static size_t control_payload(const uint8_t *frame, size_t len, uint8_t out[125])
{
    size_t head = frame[1] & 0x80 ? 6 : 2;

    if (len < head)
        return 0;
    for (size_t i = head; i < len; i++)
        out[i - head] = head == 6 ? frame[i] ^ frame[2 + (i - head) % 4] : frame[i];
    return len - head;
}

/* What a whole PONG or CLOSE frame of the client's means. Returns 1 if the browser shall not see it. */
static int control_take(struct gateway_relay *r, const uint8_t *frame, size_t len)
{
    uint8_t payload[125];
    size_t n = control_payload(frame, len, payload);

    if ((frame[0] & 0x0f) == WS_OP_PONG)
        return n == sizeof(PING_TEXT) - 1 && !memcmp(payload, PING_TEXT, n);
    r->client_closing = 1;
    r->close_code = n >= 2 ? payload[0] << 8 | payload[1] : WS_CLOSE_NORMAL;
    if (r->close_code < 1000 || (r->close_code >= 1004 && r->close_code <= 1006) || r->close_code > 4999)
        r->close_code = WS_CLOSE_NORMAL; /* not one that may be sent */
    timer_start(r, CLOSING_LIMIT_S);     /* for the browser to answer it */
    return 0;
}

/* Passes bytes on but for the answers to our pings. data has GATEWAY_CONTROL_MAX bytes before it if a frame
 * is held. */
static void up_feed(struct gateway_relay *r, uint8_t *data, size_t len)
{
    size_t at = 0, from = 0;
    int active = 0;

    if (r->held_len > 0) {
        data -= r->held_len;
        len += r->held_len;
        memcpy(data, r->held, r->held_len);
        r->held_len = 0;
    }
    while (at < len) {
        struct ws_piece piece;
        int opcode;
        long n;

        if (ws_scan_at_boundary(&r->up_scan)) {
            opcode = data[at] & 0x0f;
            if (opcode == WS_OP_PONG || opcode == WS_OP_CLOSE) {
                size_t whole = control_length(data + at, len - at);

                if (whole == 0) { /* decided when the rest has come */
                    r->held_len = (uint8_t)(len - at);
                    memcpy(r->held, data + at, r->held_len);
                    len = at;
                    break;
                }
                if (whole == 1 || !(data[at + 1] & 0x80))
                    goto broken;
                if (control_take(r, data + at, whole)) {
                    browser_write(r, data + from, at - from);
                    from = at += whole;
                    continue;
                }
            }
        }
        n = ws_scan_next(&r->up_scan, data + at, len - at, &piece);
        if (n < 0 || (piece.starts && !r->up_scan.masked)) /* the browser would hang up and say nothing */
            goto broken;
        active |= !(piece.opcode & 0x8);
        at += (size_t)n;
    }
    browser_write(r, data + from, len - from);
    if (active && !r->detached)
        r->on_activity(r->arg);
    return;
broken:
    closing_start(r, CLOSE_PROTOCOL, "not a WebSocket frame");
    relay_end(r, "client_protocol");
}

static void on_client_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct gateway_relay *r = w->data;
    uint8_t *chunk = r->hub->chunk + GATEWAY_CONTROL_MAX;
    ssize_t n = recv(r->client, chunk, GATEWAY_CHUNK, 0);

    (void)loop, (void)events;
    if (n > 0) {
        r->heard = 1;
        if (r->state == RELAY_OPEN)
            up_feed(r, chunk, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        gateway_relay_cut(r, r->client_closing ? "client_closed" : "client_gone");
    }
}

static void on_browser_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct gateway_relay *r = w->data;

    (void)events;
    if (gateway_pipe_flush(&r->up) < 0) {
        r->browser_deaf = 1;
        gateway_pipe_drop(&r->up);
    }
    if (!gateway_pipe_is_waiting(&r->up))
        ev_io_start(loop, &r->up.readable);
}

/* ---- the sweep ---- */

void gateway_relay_sweep(struct gateway_relay *r)
{
    if (r->state != RELAY_OPEN)
        return;
    if (gateway_pipe_is_waiting(&r->up)) {
        /* The browser is slow and we do not read: silence is ours, not its own. Its hang-up still shows. */
        struct pollfd p = {.fd = r->client, .events = POLLRDHUP};
        if (poll(&p, 1, 0) > 0)
            gateway_relay_cut(r, "client_gone");
        return;
    }
    if (r->heard) {
        r->unanswered = 0;
    } else if ((r->pinged || gateway_pipe_is_waiting(&r->down)) && ++r->unanswered >= UNANSWERED_MAX) {
        r->hub->stats->half_open++;
        gateway_relay_cut(r, "half_open");
        return;
    }
    r->heard = 0;
    if (gateway_pipe_is_waiting(&r->down)) /* a ping would only wait behind it; taking this shows life too */
        return;
    r->ping_due = 1;
    if (ws_scan_at_boundary(&r->down_scan) && boundary_insert(r) < 0)
        gateway_relay_cut(r, "client_gone");
}

/* ---- a relay ---- */

static void socket_setup(const struct gateway_relay *r)
{
    int on = 1;
    /* A second guard, for a peer that has gone while bytes are on the way to it; the pings are the first. */
    unsigned limit_ms = (unsigned)r->hub->ping_ms * 4;

    setsockopt(r->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(r->browser, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(r->client, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms));
}

struct gateway_relay *gateway_relay_new(struct gateway_hub *hub, const struct gateway_relay_config *config)
{
    struct gateway_relay *r = mem_alloc(sizeof(*r));

    r->hub = hub;
    r->client = config->client;
    r->browser = config->browser;
    r->lost_code = config->lost_code;
    r->lost_text = config->lost_text;
    r->on_activity = config->on_activity;
    r->on_end = config->on_end;
    r->arg = config->arg;
    socket_setup(r);
    gateway_pipe_init(&r->up, hub->loop, r->client, r->browser, on_client_readable, on_browser_writable, r);
    gateway_pipe_init(&r->down, hub->loop, r->browser, r->client, on_browser_readable, on_client_writable, r);
    ev_timer_init(&r->timer, on_relay_timer, 0., 0.);
    r->timer.data = r;
    gateway_hub_add(hub, r);

    r->detached = 1; /* no callback from in here */
    if (client_write(r, config->to_client->data, config->to_client->len) < 0)
        gateway_relay_cut(r, "client_gone");
    if (r->state == RELAY_OPEN)
        down_feed(r, (uint8_t *)config->from_browser->data, config->from_browser->len);
    if (r->state == RELAY_OPEN)
        up_feed(r, (uint8_t *)config->from_client->data, config->from_client->len);
    buf_cleanup(config->to_client);
    buf_cleanup(config->from_browser);
    buf_cleanup(config->from_client);
    if (r->state != RELAY_OPEN)
        return NULL;
    r->detached = 0;
    return r;
}

void gateway_relay_close(struct gateway_relay *r, int code, const char *text)
{
    assert(!r->detached);
    r->detached = 1;
    closing_start(r, code, text);
}
