/* dns_tcp.c: see dns_tcp.h. */
#include "dns_tcp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/mem.h"
#include "../shared/random.h"

#define IDLE_S   10.0 /* without a whole query, or with a client that does not read */
#define PATIENCE 2    /* times what a resolver may take over UDP: it has to be connected to first */
#define TRIES    2

struct dns_tcp {
    struct ev_loop *loop;
    struct dns_upstreams *upstreams;
    ev_io client, upstream;
    ev_timer timer;
    int asking; /* a query is with the upstream */
    unsigned tries;
    uint16_t id;    /* of the query as asked */
    struct buf in;  /* from the client: 2 bytes of length and a query, … */
    struct buf out; /* to the client */
    struct buf ask; /* to the upstream: the query with its length; kept until answered */
    size_t asked;   /* bytes of it sent */
    struct buf got; /* from the upstream */
    struct dns_query query;
    long (*local)(void *arg, const uint8_t *query, size_t len, struct dns_query *q, uint8_t *out);
    void (*on_end)(void *arg, struct dns_tcp *t);
    void *arg;
};

static void step(struct dns_tcp *t);

static size_t framed_len(const struct buf *b)
{
    const uint8_t *p = (const uint8_t *)b->data;

    return b->len < 2 ? 0 : 2 + (size_t)(p[0] << 8 | p[1]);
}

static void add_framed(struct buf *b, const void *data, size_t len)
{
    uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};

    buf_add(b, head, 2);
    buf_add(b, data, len);
}

static void arm(struct dns_tcp *t, double seconds)
{
    ev_timer_stop(t->loop, &t->timer);
    ev_timer_set(&t->timer, seconds, 0);
    ev_timer_start(t->loop, &t->timer);
}

static void end(struct dns_tcp *t)
{
    ev_timer_stop(t->loop, &t->timer);
    ev_io_stop(t->loop, &t->client);
    ev_io_stop(t->loop, &t->upstream);
    t->on_end(t->arg, t);
}

/* ---- upstream ---- */

static void drop_upstream(struct dns_tcp *t)
{
    ev_io_stop(t->loop, &t->upstream);
    if (t->upstream.fd >= 0)
        close(t->upstream.fd);
    ev_io_set(&t->upstream, -1, 0);
    t->got.len = 0;
    t->asked = 0;
}

static void answered(struct dns_tcp *t, const void *answer, size_t len)
{
    drop_upstream(t);
    t->asking = 0;
    add_framed(&t->out, answer, len);
    dns_set_id((uint8_t *)t->out.data + t->out.len - len, t->query.id);
    buf_cleanup(&t->ask);
}

/* Asks the next resolver, or answers SERVFAIL after the last try. */
static void ask(struct dns_tcp *t)
{
    socklen_t len;

    drop_upstream(t);
    while (t->tries < TRIES) {
        const struct sockaddr *to = dns_upstream(t->upstreams, t->tries++, &len);
        int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && (connect(fd, to, len) == 0 || errno == EINPROGRESS)) {
            ev_io_set(&t->upstream, fd, EV_WRITE);
            ev_io_start(t->loop, &t->upstream);
            arm(t, PATIENCE * dns_upstream_timeout_s(t->upstreams));
            return;
        }
        if (fd >= 0)
            close(fd);
    }
    {
        uint8_t out[DNS_UDP_MAX];
        size_t n = dns_answer_code(out, (uint8_t *)t->ask.data + 2, &t->query, DNS_SERVFAIL);

        answered(t, out, n);
    }
}

static void on_upstream_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct dns_tcp *t = w->data;
    char chunk[4096];
    ssize_t n;

    if (revents & EV_WRITE) {
        n = send(w->fd, t->ask.data + t->asked, t->ask.len - t->asked, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            goto next;
        t->asked += n > 0 ? (size_t)n : 0;
        if (t->asked == t->ask.len) {
            ev_io_stop(loop, w);
            ev_io_set(w, w->fd, EV_READ);
            ev_io_start(loop, w);
        }
        return;
    }
    n = recv(w->fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        goto next;
    buf_add(&t->got, chunk, (size_t)n);
    if (t->got.len < 2 || t->got.len < framed_len(&t->got))
        return;
    if (!dns_is_answer((uint8_t *)t->got.data + 2, framed_len(&t->got) - 2, t->id, (uint8_t *)t->ask.data + 2,
                       &t->query))
        goto next;
    {
        size_t len = framed_len(&t->got) - 2;
        struct buf got = t->got;

        t->got = (struct buf){0};
        answered(t, got.data + 2, len);
        buf_cleanup(&got);
    }
    step(t);
    return;
next:
    ask(t);
    if (!t->asking)
        step(t);
}

/* ---- client ---- */

/* The next whole query, if there is one. 0, or -1: the client is to be dropped. */
static int take_query(struct dns_tcp *t)
{
    size_t len = framed_len(&t->in);
    uint8_t out[DNS_UDP_MAX];
    const uint8_t *query;
    long n;

    if (!len || t->in.len < len)
        return 0;
    if (len - 2 > DNS_UDP_MAX)
        return -1; /* no question is that long */
    query = (uint8_t *)t->in.data + 2;
    n = t->local(t->arg, query, len - 2, &t->query, out);
    if (n < 0)
        return -1;
    if (n > 0) {
        add_framed(&t->out, out, (size_t)n);
    } else {
        t->id = (uint16_t)(random_unit() * 65536);
        add_framed(&t->ask, query, len - 2);
        dns_set_id((uint8_t *)t->ask.data + 2, t->id);
        t->asking = 1;
        t->tries = 0;
        ask(t);
    }
    buf_consume(&t->in, len);
    return 0;
}

/* Sends what is to be sent, takes queries, and watches for what can come next. */
static void step(struct dns_tcp *t)
{
    int events;

    while (!t->asking && !t->out.len && framed_len(&t->in) && t->in.len >= framed_len(&t->in)) {
        if (take_query(t) != 0) {
            end(t);
            return;
        }
    }
    events = t->out.len ? EV_WRITE : t->asking ? 0 : EV_READ;
    ev_io_stop(t->loop, &t->client);
    ev_io_set(&t->client, t->client.fd, events);
    if (events) {
        ev_io_start(t->loop, &t->client);
        arm(t, IDLE_S);
    }
}

static void on_client_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct dns_tcp *t = w->data;
    char chunk[4096];
    ssize_t n;

    (void)loop;
    if (revents & EV_WRITE) {
        n = send(w->fd, t->out.data, t->out.len, MSG_NOSIGNAL);
        if (n > 0)
            buf_consume(&t->out, (size_t)n);
    } else {
        n = recv(w->fd, chunk, sizeof(chunk), 0);
        if (n > 0)
            buf_add(&t->in, chunk, (size_t)n);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        end(t);
        return;
    }
    if (!t->out.len || revents & EV_READ)
        step(t);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct dns_tcp *t = w->data;

    (void)loop;
    (void)revents;
    if (!t->asking) {
        end(t);
        return;
    }
    ask(t);
    if (!t->asking)
        step(t);
}

struct dns_tcp *dns_tcp_new(struct ev_loop *loop, struct dns_upstreams *upstreams, int fd,
                            long (*local)(void *arg, const uint8_t *query, size_t len, struct dns_query *q,
                                          uint8_t *out),
                            void (*on_end)(void *arg, struct dns_tcp *t), void *arg)
{
    struct dns_tcp *t = mem_alloc(sizeof(*t));

    t->loop = loop;
    t->upstreams = upstreams;
    t->local = local;
    t->on_end = on_end;
    t->arg = arg;
    ev_io_init(&t->client, on_client_io, fd, EV_READ);
    ev_io_init(&t->upstream, on_upstream_io, -1, 0);
    ev_init(&t->timer, on_timer);
    t->client.data = t->upstream.data = t->timer.data = t;
    step(t);
    return t;
}

void dns_tcp_free(struct dns_tcp *t)
{
    if (!t)
        return;
    drop_upstream(t);
    ev_timer_stop(t->loop, &t->timer);
    ev_io_stop(t->loop, &t->client);
    close(t->client.fd);
    buf_cleanup(&t->in);
    buf_cleanup(&t->out);
    buf_cleanup(&t->ask);
    buf_cleanup(&t->got);
    free(t);
}
