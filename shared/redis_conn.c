/* redis_conn.c: the connection: connects, drops, connects again; carries commands out and replies back.
 *
 * hiredis formats nothing and moves no bytes here, it only reads replies (redisReader). Its asynchronous
 * layer is left out: it cannot reconnect or limit time, asserts on replies it did not expect, and asks the
 * loop for one more epoll_ctl per command. With a ring of our own, every reply that Redis sends has a place
 * to go, and a connection can be dropped whenever no callback of it runs. */
#include "redis_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "random.h"

#define GREETING_MS      5000 /* limit of connect(2) and greeting, each */
#define RETRY_FIRST_MS   20
#define RETRY_LONGEST_MS 2000
#define STABLE_MS        1000  /* a connection that lived longer starts the back-off anew */
#define SAY_AGAIN_MS     30000 /* the same failure to connect is logged this often */
#define READ_BYTES       65536
#define FEED_BYTES       4096 /* at a time: the reader moves what it has not read yet with each reply */

static void set_state(struct redis *r, enum conn_state state, const char *why);

/* ---- rings ---- */

static void ring_push(struct pending_ring *ring, struct pending p)
{
    if (ring->count == ring->cap) {
        size_t cap = ring->cap ? 2 * ring->cap : 16;
        struct pending *at = mem_alloc(cap * sizeof(*at));
        for (size_t i = 0; i < ring->count; i++)
            at[i] = ring->at[(ring->first + i) % ring->cap];
        free(ring->at);
        *ring = (struct pending_ring){.at = at, .count = ring->count, .cap = cap};
    }
    ring->at[(ring->first + ring->count++) % ring->cap] = p;
}

static struct pending ring_shift(struct pending_ring *ring)
{
    struct pending p = ring->at[ring->first];

    ring->first = (ring->first + 1) % ring->cap;
    ring->count--;
    return p;
}

/* Calls those that are in the ring now, not those that the callbacks add. */
static void ring_fail(struct redis *r, struct pending_ring *ring)
{
    r->in_callback++;
    for (size_t n = ring->count; n > 0; n--) {
        struct pending p = ring_shift(ring);
        if (p.cb)
            p.cb(p.arg, NULL);
    }
    r->in_callback--;
}

/* ---- timer ---- */

/* The loop's own clock may be old when a long callback has just ended, so the due time is kept beside it and
 * looked at again when the timer fires. */
static void timer_set(struct redis *r, double ms)
{
    r->due_ms = clock_mono_ms() + ms;
    ev_timer_stop(r->loop, &r->timer);
    ev_timer_set(&r->timer, ms / 1000.0, 0.);
    ev_timer_start(r->loop, &r->timer);
}

static void timer_watch_oldest(struct redis *r)
{
    if (r->timeout_ms > 0 && r->waiting.count > 0) {
        double left = r->waiting.at[r->waiting.first].due_ms - clock_mono_ms();
        timer_set(r, left > 0 ? left : 0);
    }
}

/* ---- dropping ---- */

static double backoff_ms(unsigned failures)
{
    double ms = RETRY_FIRST_MS;

    for (unsigned i = 1; i < failures && ms < RETRY_LONGEST_MS; i++)
        ms *= 2;
    if (ms > RETRY_LONGEST_MS)
        ms = RETRY_LONGEST_MS;
    return ms * (0.5 + 0.5 * random_unit()); /* so that many clients do not come back at once */
}

static void log_failure(struct redis *r, const char *why)
{
    double now = clock_mono_ms();

    if (strcmp(r->said, why) == 0 && now - r->said_ms < SAY_AGAIN_MS)
        return;
    snprintf(r->said, sizeof(r->said), "%s", why);
    r->said_ms = now;
    log_warn("redis_unreachable", "connection=%s address=%s attempts=%u why=%s", r->name,
             redis_address_text(r->address), r->failures, why);
}

static void release_socket(struct redis *r)
{
    ev_io_stop(r->loop, &r->io);
    ev_prepare_stop(r->loop, &r->flush);
    ev_timer_stop(r->loop, &r->timer);
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    redis_reader_free(r->reader, &r->memory);
    r->reader = NULL;
    r->out.len = 0;
    r->sent = 0;
    r->doomed[0] = '\0';
}

/* Everything that waits is told, then the owner; commands given meanwhile are refused. */
static void drop(struct redis *r, const char *reason)
{
    int was_up = r->state == CONN_UP;
    char why[sizeof(r->doomed)];

    assert(r->in_callback == 0);
    snprintf(why, sizeof(why), "%s", reason);
    if (was_up && clock_mono_ms() - r->up_since_ms >= STABLE_MS)
        r->failures = 0;
    r->failures++;
    release_socket(r);
    set_state(r, CONN_DOWN, why);
    if (!was_up)
        log_failure(r, why);
    timer_set(r, backoff_ms(r->failures));
    ring_fail(r, &r->waiting);
    if (was_up && r->on_state) {
        r->in_callback++;
        r->on_state(r->arg, 0);
        r->in_callback--;
    }
}

/* Runs on_deferred_timer in the next loop iteration. */
static void defer(struct redis *r)
{
    if (ev_is_active(&r->deferred))
        return;
    ev_timer_set(&r->deferred, 0., 0.);
    ev_timer_start(r->loop, &r->deferred);
}

void redis_conn_doom(struct redis *r, const char *why)
{
    if (r->doomed[0] || r->state == CONN_DOWN)
        return;
    snprintf(r->doomed, sizeof(r->doomed), "%s", *why ? why : "unknown");
    defer(r);
}

void redis_conn_refuse(struct redis *r, redis_reply_cb *cb, void *arg)
{
    if (!cb || r->freeing)
        return;
    ring_push(&r->refused, (struct pending){.cb = cb, .arg = arg});
    defer(r);
}

static void on_deferred_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis *r = w->data;

    (void)loop;
    (void)events;
    ring_fail(r, &r->refused);
    if (r->doomed[0])
        drop(r, r->doomed);
}

/* ---- writing ---- */

static void want_events(struct redis *r, int events)
{
    if ((r->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(r->loop, &r->io);
    ev_io_set(&r->io, r->fd, events);
    ev_io_start(r->loop, &r->io);
}

/* A failure to write is left to reading, which sees it too and may find the last replies first. */
static void write_out(struct redis *r)
{
    while (r->sent < r->out.len) {
        ssize_t n = send(r->fd, r->out.data + r->sent, r->out.len - r->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            want_events(r, EV_READ | EV_WRITE);
            return;
        }
        if (n < 0) {
            redis_conn_doom(r, strerror(errno));
            break;
        }
        r->sent += (size_t)n;
    }
    r->out.len = 0;
    r->sent = 0;
    if (r->out.cap > 1024 * 1024)
        buf_cleanup(&r->out);
    want_events(r, EV_READ);
}

static void on_loop_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    struct redis *r = w->data;

    (void)events;
    ev_prepare_stop(loop, w);
    if (r->state >= CONN_GREETING)
        write_out(r);
}

void redis_conn_queued(struct redis *r, redis_reply_cb *cb, void *arg)
{
    ring_push(&r->waiting, (struct pending){.cb = cb, .arg = arg, .due_ms = clock_mono_ms() + r->timeout_ms});
    ev_prepare_start(r->loop, &r->flush);
    if (r->state == CONN_UP && !ev_is_active(&r->timer))
        timer_watch_oldest(r);
}

void redis_conn_queue(struct redis *r, redis_reply_cb *cb, void *arg, const char *command, size_t len)
{
    buf_add(&r->out, command, len);
    redis_conn_queued(r, cb, arg);
}

void redis_conn_queue_unanswered(struct redis *r, const char *command, size_t len)
{
    assert(r->on_push && r->state == CONN_UP);
    buf_add(&r->out, command, len);
    ev_prepare_start(r->loop, &r->flush);
}

/* ---- reading ---- */

static void take_reply(struct redis *r, redisReply *reply)
{
    struct pending p;

    /* A primary that has become a replica: the address may lead to the new primary by now. */
    if (redis_is_error(reply, "READONLY") || redis_is_error(reply, "MASTERDOWN"))
        redis_conn_doom(r, reply->str);
    r->in_callback++;
    if (r->waiting.count > 0) {
        p = ring_shift(&r->waiting);
        if (p.cb)
            p.cb(p.arg, reply);
    } else if (r->on_push && r->state == CONN_UP) {
        r->on_push(r->arg, reply);
    } else {
        redis_conn_doom(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "a reply to no command");
    }
    r->in_callback--;
    redis_reader_reset(&r->memory);
}

/* Hands bytes to the reader and takes what replies are whole. */
static const char *feed(struct redis *r, const char *bytes, size_t len)
{
    void *reply;

    if (redisReaderFeed(r->reader, bytes, len) != REDIS_OK)
        return "out of memory";
    for (;;) {
        if (redisReaderGetReply(r->reader, &reply) != REDIS_OK)
            return "not the Redis protocol";
        if (!reply)
            return NULL;
        take_reply(r, reply);
    }
}

/* Why the connection is of no more use, or NULL. */
static const char *read_replies(struct redis *r)
{
    char bytes[READ_BYTES];
    ssize_t n;

    do {
        n = recv(r->fd, bytes, sizeof(bytes), 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? NULL : strerror(errno);
    if (n == 0)
        return "closed by Redis";
    for (const char *at = bytes, *end = bytes + n; at < end; at += FEED_BYTES) {
        const char *why = feed(r, at, end - at < FEED_BYTES ? (size_t)(end - at) : FEED_BYTES);

        if (why)
            return why;
    }
    return NULL;
}

static void on_socket_connected(struct redis *r)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error) {
        drop(r, strerror(error));
        return;
    }
    r->reader = redis_reader_new(&r->memory);
    set_state(r, CONN_GREETING, "connected");
    want_events(r, EV_READ);
    timer_set(r, GREETING_MS);
    redis_greet(r);
}

static void on_socket_io(struct ev_loop *loop, ev_io *w, int events)
{
    struct redis *r = w->data;
    const char *why;

    (void)loop;
    if (r->state == CONN_CONNECTING) {
        on_socket_connected(r);
        return;
    }
    if (events & EV_WRITE)
        write_out(r);
    if ((events & EV_READ) && (why = read_replies(r)))
        drop(r, why);
    else if (r->doomed[0])
        drop(r, r->doomed);
}

/* ---- states ---- */

static void set_state(struct redis *r, enum conn_state state, const char *why)
{
    static const char *const names[] = {"down", "connecting", "greeting", "up"};
    enum conn_state from = r->state;

    r->state = state;
    if (state == CONN_UP)
        log_info("redis_up", "connection=%s address=%s attempts=%u", r->name, redis_address_text(r->address),
                 r->failures);
    else if (from == CONN_UP)
        log_warn("redis_down", "connection=%s address=%s waiting=%zu why=%s", r->name,
                 redis_address_text(r->address), r->waiting.count, why);
    else
        log_debug("redis_state", "connection=%s from=%s to=%s why=%s", r->name, names[from], names[state],
                  why);
}

static void start_connecting(struct redis *r)
{
    char why[sizeof(r->doomed)];

    r->fd = redis_address_connect(r->address, r->attempts++, why, sizeof(why));
    if (r->fd < 0) {
        r->failures++;
        log_failure(r, why);
        timer_set(r, backoff_ms(r->failures));
        return;
    }
    set_state(r, CONN_CONNECTING, "timer");
    ev_io_set(&r->io, r->fd, EV_WRITE);
    ev_io_start(r->loop, &r->io);
    timer_set(r, GREETING_MS);
}

void redis_conn_greeted(struct redis *r)
{
    if (r->doomed[0])
        return;
    ev_timer_stop(r->loop, &r->timer);
    r->up_since_ms = clock_mono_ms();
    r->said[0] = '\0';
    set_state(r, CONN_UP, "greeted");
    redis_script_on_up(r);
    if (r->on_state)
        r->on_state(r->arg, 1); /* in_callback is set: a reply brought us here */
}

static void on_limit_passed(struct redis *r)
{
    /* This process may have been what stood still: what has come in meanwhile counts. */
    const char *why = r->state == CONN_CONNECTING ? NULL : read_replies(r);

    if (why) {
        drop(r, why);
    } else if (r->doomed[0]) {
        drop(r, r->doomed);
    } else if (r->state != CONN_UP) {
        drop(r, "timed out while connecting");
    } else if (r->waiting.count > 0 && r->waiting.at[r->waiting.first].due_ms <= clock_mono_ms()) {
        drop(r, "a command timed out");
    } else {
        timer_watch_oldest(r);
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis *r = w->data;
    double left = r->due_ms - clock_mono_ms();

    (void)loop;
    (void)events;
    if (left > 0)
        timer_set(r, left);
    else if (r->state == CONN_DOWN)
        start_connecting(r);
    else
        on_limit_passed(r);
}

/* ---- making and freeing ---- */

void redis_conn_start(struct redis *r)
{
    r->fd = -1;
    ev_io_init(&r->io, on_socket_io, -1, 0);
    ev_prepare_init(&r->flush, on_loop_prepare);
    ev_timer_init(&r->timer, on_timer, 0., 0.);
    ev_timer_init(&r->deferred, on_deferred_timer, 0., 0.);
    r->io.data = r->flush.data = r->timer.data = r->deferred.data = r;
    start_connecting(r);
}

void redis_conn_stop(struct redis *r)
{
    assert(r->in_callback == 0);
    release_socket(r);
    r->state = CONN_DOWN;
    r->freeing = 1;
    ring_fail(r, &r->waiting);
    ring_fail(r, &r->refused);
    ev_timer_stop(r->loop, &r->deferred);
    free(r->waiting.at);
    free(r->refused.at);
    buf_cleanup(&r->out);
}
