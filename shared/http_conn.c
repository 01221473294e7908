/* http_conn.c: one client connection: its states, what is read and written when, its deadlines.
 *
 *   IDLE ─byte─▶ READING ─complete─▶ WAITING ─reply─▶ WRITING ─written─▶ IDLE
 *                                                        └─the last─▶ LINGERING ─client's EOF─▶ DEAD
 *
 * The hot path is one read and one write: input goes through the server's one scratch buffer straight into
 * the request, the reply is written at once, and watchers and the timer stay as they are. Only what must wait
 * is copied: pipelined input (`in`) and reply bytes the socket did not take (`out`). So a connection that
 * waits holds its request and little else.
 *
 * While a request waits, reading goes on: it is how a hang-up is seen. An EOF counts as one, though the
 * client may have shut only its sending side: whoever wants an answer that takes time has to stay. A client
 * that pipelines more than `in` holds behind such a request (an EOF would be stuck behind it, were it not
 * read) loses what it pipelined and is told so: the reply says Connection: close. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "mem.h"

#define CONN_MAGIC 0x6874636eu
/* After the last reply a client may go on sending for so long, and so many bytes, before it is cut off. */
#define LINGER_S      2.0
#define DISCARD_BYTES (1 << 20)

static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";

static const char *const state_names[] = {"idle", "reading", "waiting", "writing", "lingering", "dead"};

static size_t in_left(const struct http_conn *c)
{
    return c->in.len - c->in_done;
}

static size_t out_left(const struct http_conn *c)
{
    return c->out.len - c->out_done;
}

static void drop_in(struct http_conn *c)
{
    buf_cleanup(&c->in);
    c->in_done = 0;
}

/* ---- state and deadline */

static void set_deadline(struct http_conn *c, double seconds)
{
    struct ev_loop *loop = c->server->loop;

    c->deadline = clock_mono_ms() / 1000.0 + seconds;
    if (ev_is_active(&c->timer) && ev_timer_remaining(loop, &c->timer) <= seconds)
        return;
    ev_timer_stop(loop, &c->timer);
    ev_timer_set(&c->timer, seconds, 0.0);
    ev_timer_start(loop, &c->timer);
}

/* The one writer of c->state. */
static void set_state(struct http_conn *c, enum http_conn_state state)
{
    const struct http_limits *limits = &c->server->config.limits;

    assert(c->state != HTTP_CONN_DEAD);
    c->state = state;
    switch (state) {
    case HTTP_CONN_IDLE:
        set_deadline(c, limits->idle_ms / 1000.0);
        break;
    case HTTP_CONN_READING:
        set_deadline(c, limits->request_ms / 1000.0);
        break;
    case HTTP_CONN_WRITING:
        set_deadline(c, limits->write_ms / 1000.0);
        break;
    case HTTP_CONN_LINGERING:
        set_deadline(c, LINGER_S);
        break;
    case HTTP_CONN_WAITING:
    case HTTP_CONN_DEAD:
        c->deadline = 0;
        break;
    }
}

static void drop_exchange(struct http_conn *c)
{
    struct http_exchange *x = c->x;

    c->x = NULL;
    if (x)
        http_exchange_put(c->server, x);
}

static void bury(struct http_conn *c)
{
    struct ev_loop *loop = c->server->loop;

    set_state(c, HTTP_CONN_DEAD);
    ev_io_stop(loop, &c->readable);
    ev_io_stop(loop, &c->writable);
    ev_timer_stop(loop, &c->timer);
    drop_exchange(c);
    drop_in(c);
    buf_cleanup(&c->out);
    c->out_done = 0;
    http_server_bury(c->server, c);
}

void http_conn_close(struct http_conn *c)
{
    struct http_exchange *x = c->state == HTTP_CONN_WAITING ? c->x : NULL;
    const int fd = c->fd;

    if (x && x->on_gone)
        x->on_gone(x, x->user);
    bury(c);
    close(fd);
}

/* The client will send no more. What it had sent in full and waits to be written is still written. */
static void on_eof(struct http_conn *c)
{
    if (c->state != HTTP_CONN_WRITING) {
        http_conn_close(c);
        return;
    }
    c->eof = 1;
    ev_io_stop(c->server->loop, &c->readable);
}

/* ---- writing */

/* Sends what it can now and keeps the rest in out. -1: the connection is broken. */
static int send_bytes(struct http_conn *c, const void *head, size_t head_len, const void *body, size_t len)
{
    struct iovec parts[2] = {{(void *)head, head_len}, {(void *)body, len}};
    const struct msghdr msg = {.msg_iov = parts, .msg_iovlen = len ? 2 : 1};
    ssize_t n = 0;

    if (out_left(c) == 0) {
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        n = n < 0 ? 0 : n;
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t skip = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;
        n -= (ssize_t)skip;
        if (skip < parts[i].iov_len)
            buf_add(&c->out, (const char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
    }
    if (out_left(c) > 0)
        ev_io_start(c->server->loop, &c->writable);
    return 0;
}

/* Says that we are done, and waits for the client to be: closing at once would reset the connection under a
 * reply not yet read. */
static void linger(struct http_conn *c)
{
    if (c->eof || shutdown(c->fd, SHUT_WR)) {
        http_conn_close(c);
        return;
    }
    drop_in(c);
    ev_io_start(c->server->loop, &c->readable);
    set_state(c, HTTP_CONN_LINGERING);
}

static void on_reply_written(struct http_conn *c)
{
    if (c->last_reply || c->eof || c->server->draining) {
        linger(c);
        return;
    }
    set_state(c, HTTP_CONN_IDLE);
    /* Not from here: the handler that replied does not expect to be called with the next request. */
    if (in_left(c) > 0 && !c->running)
        ev_feed_event(c->server->loop, &c->readable, EV_READ);
}

void http_conn_reply(struct http_conn *c, int status, const struct buf *head, const void *body, size_t len)
{
    struct http_server *s = c->server;
    struct http_exchange *x = c->x;
    int broken;

    assert(c->magic == CONN_MAGIC && c->state == HTTP_CONN_WAITING);
    c->last_reply = !x->keep_alive;
    set_state(c, HTTP_CONN_WRITING);
    broken = send_bytes(c, head->data, head->len, body, len);
    if (s->config.on_done)
        s->config.on_done(s->config.arg, x, status, head->len + len, http_age_ms(x));
    drop_exchange(c);
    if (broken)
        http_conn_close(c);
    else if (out_left(c) == 0)
        on_reply_written(c);
}

static void on_conn_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_conn *c = w->data;
    ssize_t n;

    (void)revents;
    assert(c->magic == CONN_MAGIC);
    n = send(c->fd, c->out.data + c->out_done, out_left(c), MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            http_conn_close(c);
        return;
    }
    c->out_done += (size_t)n;
    if (c->state == HTTP_CONN_WRITING)
        set_deadline(c, c->server->config.limits.write_ms / 1000.0);
    if (out_left(c) > 0)
        return;
    ev_io_stop(loop, w);
    buf_cleanup(&c->out);
    c->out_done = 0;
    if (c->state == HTTP_CONN_WRITING)
        on_reply_written(c);
}

int http_conn_detach(struct http_conn *c, struct buf *early)
{
    const int fd = c->fd;

    assert(c->magic == CONN_MAGIC && c->state == HTTP_CONN_WAITING);
    if (in_left(c) > 0)
        buf_add(early, c->in.data + c->in_done, in_left(c));
    if (c->overflow) /* what it said is lost in part: to the new owner it has hung up */
        shutdown(fd, SHUT_RDWR);
    bury(c);
    return fd;
}

/* ---- requests */

/* Ends the exchange that is arriving with an error. The rest of the input cannot be told apart: it is the
 * last reply. */
static void refuse(struct http_conn *c)
{
    struct http_exchange *x = c->x;

    log_debug("http_refused", "request=%s peer=%s code=%s", x->request_id, c->peer, err_name(x->refusal));
    if (x->phase != HTTP_PHASE_COMPLETE)
        x->arrived_ms = clock_mono_ms();
    x->keep_alive = 0;
    set_state(c, HTTP_CONN_WAITING);
    http_reply_error(x, x->refusal, x->refusal_text, NULL);
}

void http_conn_refuse(struct http_conn *c, enum err e)
{
    c->x = http_exchange_get(c->server, c);
    c->x->refusal = e;
    refuse(c);
}

static void on_request_complete(struct http_conn *c)
{
    struct http_exchange *x = c->x;

    x->arrived_ms = clock_mono_ms();
    set_state(c, HTTP_CONN_WAITING);
    if (strcmp(http_path(x), "*") == 0) {
        http_add_header(x, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        http_reply(x, 204, NULL, NULL, 0);
        return;
    }
    c->server->config.on_request(c->server->config.arg, x);
}

/* Takes at most one request from data (len > 0). It does not answer yet; returns how many bytes were used. */
static size_t take_request(struct http_conn *c, const char *data, size_t len, enum http_feed *result)
{
    size_t blank = 0, used = 0;

    *result = HTTP_FEED_MORE;
    if (c->state == HTTP_CONN_IDLE) {
        while (blank < len && (data[blank] == '\r' || data[blank] == '\n')) /* RFC 9112 §2.2 */
            blank++;
        if (blank == len)
            return len;
        c->x = http_exchange_get(c->server, c);
        set_state(c, HTTP_CONN_READING);
    }
    *result = http_request_feed(c->x, data + blank, len - blank, &used);
    return blank + used;
}

/* Does what a fed request asks for. */
static void act(struct http_conn *c, enum http_feed result)
{
    if (result == HTTP_FEED_REFUSED)
        refuse(c);
    else if (result == HTTP_FEED_COMPLETE)
        on_request_complete(c);
    else if (c->x && c->x->wants_continue) {
        c->x->wants_continue = 0;
        if (send_bytes(c, CONTINUE, sizeof(CONTINUE) - 1, NULL, 0))
            http_conn_close(c);
    }
}

/* Takes requests from what waits in `in`, as long as each is answered at once. */
static void run_pipeline(struct http_conn *c)
{
    enum http_feed result;

    c->running = 1;
    while ((c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_READING) && in_left(c) > 0) {
        c->in_done += take_request(c, c->in.data + c->in_done, in_left(c), &result);
        act(c, result);
    }
    c->running = 0;
    if (c->state == HTTP_CONN_DEAD)
        return;
    if (in_left(c) == 0)
        drop_in(c);
    if (!c->eof)
        ev_io_start(c->server->loop, &c->readable); /* it stops while `in` is full and a reply is written */
}

/* ---- reading */

/* Input that nobody will look at. A client that does not stop is cut off. */
static void discard(struct http_conn *c, size_t len)
{
    c->discarded += len;
    if (c->discarded > DISCARD_BYTES)
        http_conn_close(c);
}

/* Input behind a request that is being answered. */
static void keep_input(struct http_conn *c, const char *data, size_t len)
{
    if (c->overflow) {
        discard(c, len);
        return;
    }
    buf_consume(&c->in, c->in_done);
    c->in_done = 0;
    buf_add(&c->in, data, len);
    if (in_left(c) < HTTP_READ_SIZE)
        return;
    if (c->state == HTTP_CONN_WRITING) {
        ev_io_stop(c->server->loop, &c->readable); /* its write deadline watches the client */
        return;
    }
    c->overflow = 1;
    drop_in(c);
}

static void on_bytes(struct http_conn *c, const char *data, size_t len)
{
    enum http_feed result;
    size_t used;

    if (c->state == HTTP_CONN_LINGERING) {
        discard(c, len);
        return;
    }
    if (c->state == HTTP_CONN_WAITING || c->state == HTTP_CONN_WRITING) {
        keep_input(c, data, len);
        return;
    }
    used = take_request(c, data, len, &result);
    if (used < len)
        buf_add(&c->in, data + used, len - used);
    act(c, result);
    if (c->state != HTTP_CONN_DEAD && in_left(c) > 0)
        run_pipeline(c);
}

static void on_conn_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_conn *c = w->data;
    ssize_t n;

    (void)loop, (void)revents;
    assert(c->magic == CONN_MAGIC);
    if (in_left(c) > 0 && (c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_READING)) {
        run_pipeline(c); /* on_reply_written asked for it */
        return;
    }
    n = recv(c->fd, c->server->scratch, HTTP_READ_SIZE, 0);
    if (n > 0)
        on_bytes(c, c->server->scratch, (size_t)n);
    else if (n == 0)
        on_eof(c);
    else if (errno != EAGAIN && errno != EINTR)
        http_conn_close(c);
}

void http_conn_drain(struct http_conn *c)
{
    if (c->state != HTTP_CONN_IDLE)
        return;
    on_conn_readable(c->server->loop, &c->readable, EV_READ);
    if (c->state == HTTP_CONN_IDLE)
        http_conn_close(c);
}

static void on_conn_deadline(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_conn *c = w->data;
    const double left = c->deadline - clock_mono_ms() / 1000.0;

    (void)loop, (void)revents;
    assert(c->magic == CONN_MAGIC);
    if (c->deadline == 0)
        return;
    if (left > 0) {
        set_deadline(c, left);
        return;
    }
    log_debug("http_timeout", "peer=%s state=%s", c->peer, state_names[c->state]);
    if (c->state == HTTP_CONN_READING) {
        c->x->refusal = ERR_request_timeout;
        refuse(c);
    } else
        http_conn_close(c);
}

struct http_conn *http_conn_new(struct http_server *s, int fd, const char *peer)
{
    struct http_conn *c = mem_alloc(sizeof(*c));
    const struct http_limits *limits = &s->config.limits;

    c->magic = CONN_MAGIC;
    c->server = s;
    c->fd = fd;
    strncpy(c->peer, peer, sizeof(c->peer) - 1);
    ev_io_init(&c->readable, on_conn_readable, fd, EV_READ);
    ev_io_init(&c->writable, on_conn_writable, fd, EV_WRITE);
    ev_init(&c->timer, on_conn_deadline);
    c->readable.data = c->writable.data = c->timer.data = c;
    ev_io_start(s->loop, &c->readable);
    set_state(c, HTTP_CONN_IDLE);
    if (limits->request_ms < limits->idle_ms) /* who has just connected has something to say */
        set_deadline(c, limits->request_ms / 1000.0);
    return c;
}
