/* relay.c: see relay.h.
 *
 * Each direction reads into one scratch buffer and writes on at once; only what the receiver does not take is
 * kept, and then its sender is not read until that is gone. So a direction holds at most one read, and an
 * idle relay next to nothing. An EOF or error of one side: its direction is finished, the other side is told
 * (shutdown), and has GRACE_S to finish too. */
#include "relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"

#define READ_SIZE 65536
/* After one side's end: how long the other may take to send its rest and the buffers to empty. */
#define GRACE_S 2.0

struct side {
    struct relay *relay;
    int fd;
    ev_io readable;
    ev_io writable; /* runs only while out has something */
    int eof;        /* sends no more */
    int shut;       /* gets no more */
    struct buf out; /* on its way to this side, from out_done on */
    size_t out_done;
};

struct relay {
    struct ev_loop *loop;
    struct side sides[2];
    ev_timer grace;
    void (*on_end)(void *arg);
    void *arg;
};

/* Shared by all relays: it is empty again before a callback returns (one loop, one thread). */
static char scratch[READ_SIZE];

static struct side *other_side(struct side *s)
{
    return &s->relay->sides[s == &s->relay->sides[0]];
}

void relay_close(struct relay *r)
{
    for (int i = 0; i < 2; i++) {
        struct side *s = &r->sides[i];
        ev_io_stop(r->loop, &s->readable);
        ev_io_stop(r->loop, &s->writable);
        close(s->fd);
        buf_cleanup(&s->out);
    }
    ev_timer_stop(r->loop, &r->grace);
    r->on_end(r->arg);
    free(r);
}

/* Passes ends on, and looks whether the relay is over: then it is gone when this returns. */
static void settle(struct relay *r)
{
    for (int i = 0; i < 2; i++) {
        struct side *s = &r->sides[i], *to = other_side(s);
        if (s->eof && !to->shut && to->out_done == to->out.len) {
            shutdown(to->fd, SHUT_WR);
            to->shut = 1;
        }
    }
    if (r->sides[0].shut && r->sides[1].shut)
        relay_close(r);
    else if (!ev_is_active(&r->grace))
        ev_timer_start(r->loop, &r->grace);
}

/* Nothing can be sent to s any more. What it sent before may still wait to be read. */
static void lose_output(struct side *s)
{
    struct relay *r = s->relay;

    ev_io_stop(r->loop, &s->writable);
    ev_io_stop(r->loop, &other_side(s)->readable); /* there is nobody to read it for */
    buf_cleanup(&s->out);
    s->out_done = 0;
    s->shut = 1;
}

static void on_side_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct side *s = w->data, *to = other_side(s);
    const ssize_t n = recv(s->fd, scratch, sizeof(scratch), 0);
    ssize_t sent;

    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        s->eof = 1;
        ev_io_stop(loop, &s->readable);
        if (n < 0)
            lose_output(s);
        settle(s->relay);
        return;
    }
    sent = send(to->fd, scratch, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        lose_output(to);
        settle(to->relay);
        return;
    }
    sent = sent < 0 ? 0 : sent;
    if (sent < n) {
        buf_add(&to->out, scratch + sent, (size_t)(n - sent));
        ev_io_stop(loop, &s->readable);
        ev_io_start(loop, &to->writable);
    }
}

static void on_side_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct side *s = w->data, *from = other_side(s);
    const ssize_t n = send(s->fd, s->out.data + s->out_done, s->out.len - s->out_done, MSG_NOSIGNAL);

    (void)revents;
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            lose_output(s);
            settle(s->relay);
        }
        return;
    }
    s->out_done += (size_t)n;
    if (s->out_done < s->out.len)
        return;
    buf_cleanup(&s->out);
    s->out_done = 0;
    ev_io_stop(loop, &s->writable);
    if (from->eof)
        settle(from->relay);
    else
        ev_io_start(loop, &from->readable);
}

static void on_grace_over(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    relay_close(w->data);
}

static void side_init(struct relay *r, struct side *s, int fd, struct buf *early)
{
    const int on = 1;

    s->relay = r;
    s->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on other sockets, and need not */
    ev_io_init(&s->readable, on_side_readable, fd, EV_READ);
    ev_io_init(&s->writable, on_side_writable, fd, EV_WRITE);
    s->readable.data = s->writable.data = s;
    if (early) {
        s->out = *early;
        *early = (struct buf){0};
    }
}

struct relay *relay_new(struct ev_loop *loop, int a, int b, struct buf *early_a, struct buf *early_b,
                        void (*on_end)(void *arg), void *arg)
{
    struct relay *r = mem_alloc(sizeof(*r));

    r->loop = loop;
    r->on_end = on_end;
    r->arg = arg;
    ev_timer_init(&r->grace, on_grace_over, GRACE_S, 0.0);
    r->grace.data = r;
    side_init(r, &r->sides[0], a, early_b);
    side_init(r, &r->sides[1], b, early_a);
    for (int i = 0; i < 2; i++) {
        struct side *s = &r->sides[i];
        if (s->out.len > 0)
            ev_io_start(loop, &s->writable);
        else
            ev_io_start(loop, &other_side(s)->readable);
    }
    return r;
}
