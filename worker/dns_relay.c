/* dns_relay.c: see dns_relay.h.
 *
 * Each UDP query goes out on a socket of its own (its own random port and id), connected to the resolver, and
 * its answer has to repeat the question: nobody off the path can slip an answer in. Nothing is cached. */
#include "dns_relay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "dns_message.h"
#include "dns_tcp.h"

#define TRIES        3
#define LOCAL_ZONE   "berth.internal"
#define LOCAL_HOST   "host.berth.internal"
#define LOCAL_TTL_S  5
#define READS_A_TURN 32

struct pending {
    struct dns_relay *relay;
    ev_io io; /* fd -1: this place is free */
    ev_timer timer;
    struct sockaddr_in client;
    struct dns_query query;
    uint8_t *message; /* with the id under which it was asked */
    size_t len;
    uint16_t id;
    unsigned tries;
};

struct dns_relay {
    struct ev_loop *loop;
    struct dns_upstreams *upstreams;
    struct in_addr host;
    int host_allowed;
    ev_io udp, tcp;
    struct dns_limits limits;
    struct pending **pending; /* limits.queries at most */
    int pending_count;
    struct dns_tcp **clients; /* limits.connections at most */
    int client_count;
};

/* What needs no resolver. The answer's length, 0: ask, -1: drop. */
static long answer_here(void *arg, const uint8_t *message, size_t len, struct dns_query *q, uint8_t *out)
{
    struct dns_relay *r = arg;
    size_t name_len, zone_len = strlen(LOCAL_ZONE);
    int code = dns_parse_query(message, len, q);

    if (code < 0)
        return -1;
    if (code > 0)
        return (long)dns_answer_code(out, message, NULL, (enum dns_rcode)code);
    name_len = strlen(q->name);
    if (name_len < zone_len || strcmp(q->name + name_len - zone_len, LOCAL_ZONE) != 0 ||
        (name_len > zone_len && q->name[name_len - zone_len - 1] != '.'))
        return 0;
    if (strcmp(q->name, LOCAL_HOST) != 0 || !r->host_allowed)
        return (long)dns_answer_code(out, message, q, DNS_NXDOMAIN);
    if (q->type == DNS_TYPE_A && q->class == DNS_CLASS_IN)
        return (long)dns_answer_address(out, message, q, r->host, LOCAL_TTL_S);
    return (long)dns_answer_code(out, message, q, DNS_NOERROR);
}

/* ---- UDP ---- */

static void pending_close(struct pending *p)
{
    ev_io_stop(p->relay->loop, &p->io);
    if (p->io.fd >= 0)
        close(p->io.fd);
    ev_io_set(&p->io, -1, EV_READ);
}

static void pending_free(struct pending *p)
{
    struct dns_relay *r = p->relay;

    pending_close(p);
    ev_timer_stop(r->loop, &p->timer);
    for (int i = 0; i < r->pending_count; i++) {
        if (r->pending[i] == p) {
            r->pending[i] = r->pending[--r->pending_count];
            break;
        }
    }
    if (r->pending_count == r->limits.queries - 1)
        ev_io_start(r->loop, &r->udp);
    free(p->message);
    free(p);
}

static void reply(struct dns_relay *r, const struct sockaddr_in *to, const void *data, size_t len)
{
    (void)!sendto(r->udp.fd, data, len, MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof(*to));
}

/* Asks the next resolver; gives up with SERVFAIL after the last try. */
static void pending_ask(struct pending *p)
{
    struct dns_relay *r = p->relay;
    uint8_t out[DNS_UDP_MAX];
    socklen_t len;

    pending_close(p);
    while (p->tries < TRIES) {
        const struct sockaddr *to = dns_upstream(r->upstreams, p->tries++, &len);
        int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, to, len) == 0 && send(fd, p->message, p->len, MSG_NOSIGNAL) >= 0) {
            ev_io_set(&p->io, fd, EV_READ);
            ev_io_start(r->loop, &p->io);
            ev_timer_again(r->loop, &p->timer);
            return;
        }
        if (fd >= 0)
            close(fd);
    }
    dns_set_id(p->message, p->query.id);
    len = (socklen_t)dns_answer_code(out, p->message, &p->query, DNS_SERVFAIL);
    reply(r, &p->client, out, len);
    pending_free(p);
}

static void on_answer(struct ev_loop *loop, ev_io *w, int revents)
{
    struct pending *p = w->data;
    static uint8_t answer[DNS_MESSAGE_MAX];
    ssize_t n = recv(w->fd, answer, sizeof(answer), 0);

    (void)loop;
    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) { /* refused: nobody listens there */
        pending_ask(p);
        return;
    }
    if (!dns_is_answer(answer, (size_t)n, p->id, p->message, &p->query))
        return;
    dns_set_id(answer, p->query.id);
    reply(p->relay, &p->client, answer, (size_t)n);
    pending_free(p);
}

static void on_answer_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    pending_ask(w->data);
}

static void handle_query(struct dns_relay *r, const uint8_t *message, size_t len,
                         const struct sockaddr_in *from)
{
    uint8_t out[DNS_UDP_MAX + 16];
    struct pending *p;
    struct dns_query q;
    long n = answer_here(r, message, len, &q, out);

    if (n > 0)
        reply(r, from, out, (size_t)n);
    if (n != 0)
        return;
    p = mem_alloc(sizeof(*p));
    p->relay = r;
    p->client = *from;
    p->query = q;
    p->message = mem_alloc(len);
    memcpy(p->message, message, len);
    p->len = len;
    p->id = (uint16_t)(random_unit() * 65536);
    dns_set_id(p->message, p->id);
    ev_io_init(&p->io, on_answer, -1, EV_READ);
    ev_init(&p->timer, on_answer_timeout);
    p->timer.repeat = dns_upstream_timeout_s(r->upstreams);
    p->io.data = p->timer.data = p;
    r->pending[r->pending_count++] = p;
    if (r->pending_count == r->limits.queries)
        ev_io_stop(r->loop, &r->udp); /* the kernel's buffer drops what is too much */
    pending_ask(p);
}

static void on_query(struct ev_loop *loop, ev_io *w, int revents)
{
    struct dns_relay *r = w->data;
    uint8_t message[DNS_UDP_MAX];

    (void)loop;
    (void)revents;
    for (int i = 0; i < READS_A_TURN && r->pending_count < r->limits.queries; i++) {
        struct sockaddr_in from = {0};
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(w->fd, message, sizeof(message), MSG_TRUNC, (struct sockaddr *)&from, &from_len);

        if (n < 0)
            return;
        if ((size_t)n <= sizeof(message) && from_len == sizeof(from) && from.sin_family == AF_INET)
            handle_query(r, message, (size_t)n, &from);
    }
}

/* ---- TCP ---- */

static void on_tcp_end(void *arg, struct dns_tcp *t)
{
    struct dns_relay *r = arg;

    for (int i = 0; i < r->client_count; i++) {
        if (r->clients[i] == t) {
            r->clients[i] = r->clients[--r->client_count];
            break;
        }
    }
    dns_tcp_free(t);
    ev_io_start(r->loop, &r->tcp);
}

static void on_tcp_connect(struct ev_loop *loop, ev_io *w, int revents)
{
    struct dns_relay *r = w->data;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)revents;
    if (fd < 0)
        return;
    r->clients[r->client_count++] = dns_tcp_new(loop, r->upstreams, fd, answer_here, on_tcp_end, r);
    if (r->client_count == r->limits.connections)
        ev_io_stop(loop, w);
}

/* ---- the relay ---- */

struct dns_relay *dns_relay_new(struct ev_loop *loop, struct dns_upstreams *upstreams,
                                const struct dns_limits *limits, int udp_fd, int tcp_fd, struct in_addr host)
{
    struct dns_relay *r = mem_alloc(sizeof(*r));

    assert(limits->queries > 0 && limits->connections > 0);
    r->limits = *limits;
    r->pending = mem_alloc((size_t)limits->queries * sizeof(struct pending *));
    r->clients = mem_alloc((size_t)limits->connections * sizeof(struct dns_tcp *));
    r->loop = loop;
    r->upstreams = upstreams;
    r->host = host;
    ev_io_init(&r->udp, on_query, udp_fd, EV_READ);
    ev_io_init(&r->tcp, on_tcp_connect, tcp_fd, EV_READ);
    r->udp.data = r->tcp.data = r;
    ev_io_start(loop, &r->udp);
    ev_io_start(loop, &r->tcp);
    return r;
}

void dns_relay_allow_host(struct dns_relay *r, int allowed)
{
    r->host_allowed = allowed;
}

void dns_relay_reset(struct dns_relay *r)
{
    char byte;

    while (recv(r->udp.fd, &byte, 1, 0) >= 0)
        ; /* what the kernel still holds is the former session's too */
    while (r->pending_count)
        pending_free(r->pending[0]);
    while (r->client_count)
        dns_tcp_free(r->clients[--r->client_count]);
    ev_io_start(r->loop, &r->tcp);
    ev_io_start(r->loop, &r->udp);
}

void dns_relay_free(struct dns_relay *r)
{
    if (!r)
        return;
    dns_relay_reset(r);
    ev_io_stop(r->loop, &r->udp);
    ev_io_stop(r->loop, &r->tcp);
    close(r->udp.fd);
    close(r->tcp.fd);
    free(r->pending);
    free(r->clients);
    free(r);
}
