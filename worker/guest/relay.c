/* relay.c: see relay.h.
 *
 * Descriptors are registered once, edge-triggered, for everything; an event on either end pumps both
 * directions until neither moves. A pair that always has more to do gives way to the others after some rounds
 * and is pumped again when they had theirs (`busy`). Pairs are freed when no event can name them any more: at
 * the end of the round. */
#include "relay.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 16
#define ALL_EDGES  (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* From one end to the other. */
struct flow {
    char *data;         /* NULL: holds nothing */
    size_t start, used; /* data[start … start + used) waits to be written */
    int read_ended, write_ended;
};

struct end {
    struct watch watch;
    struct relay_pair *pair;
};

struct relay_pair {
    struct relay *relay;
    struct relay_pair *next;
    struct end ends[2];   /* 0: the client, 1: the browser */
    struct flow flows[2]; /* flows[i] reads from ends[i] */
    int connecting, busy, dead;
};

/* What a call on a non-blocking socket may say without being wrong. */
static int would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static int flow_read(struct flow *f, int fd)
{
    ssize_t n;

    if (f->read_ended || f->used > 0)
        return 0;
    if (!f->data && !(f->data = malloc(RELAY_BUFFER_SIZE)))
        return -1;
    n = recv(fd, f->data, RELAY_BUFFER_SIZE, 0);
    if (n > 0) {
        f->start = 0;
        f->used = (size_t)n;
        return 1;
    }
    free(f->data);
    f->data = NULL;
    if (n < 0)
        return would_block() ? 0 : -1;
    f->read_ended = 1;
    return 1;
}

static int flow_write(struct flow *f, int fd)
{
    ssize_t n;

    if (f->used == 0) {
        if (!f->read_ended || f->write_ended)
            return 0;
        f->write_ended = 1;
        shutdown(fd, SHUT_WR);
        return 1;
    }
    n = send(fd, f->data + f->start, f->used, MSG_NOSIGNAL);
    if (n < 0)
        return would_block() ? 0 : -1;
    f->start += (size_t)n;
    f->used -= (size_t)n;
    if (f->used == 0) {
        free(f->data);
        f->data = NULL;
    }
    return n > 0;
}

static void pair_close(struct relay_pair *p)
{
    if (p->dead)
        return;
    p->dead = 1;
    for (int i = 0; i < 2; i++) {
        if (p->ends[i].watch.fd >= 0)
            close(p->ends[i].watch.fd);
        free(p->flows[i].data);
        p->flows[i].data = NULL;
    }
    p->relay->loop->pending = 1; /* on_idle frees it */
}

/* 0: the browser's end is connected; 1: not yet; -1: it will not be. */
static int pair_connected(const struct relay_pair *p)
{
    int error = 0;
    socklen_t size = sizeof(error);
    struct sockaddr_in peer;
    socklen_t peer_size = sizeof(peer);

    if (getsockopt(p->ends[1].watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error)
        return -1;
    return getpeername(p->ends[1].watch.fd, (struct sockaddr *)&peer, &peer_size) == 0 ? 0 : 1;
}

static void pair_pump(struct relay_pair *p)
{
    int moved = 1;

    p->busy = 0;
    if (p->connecting) {
        int state = pair_connected(p);
        if (state < 0)
            pair_close(p);
        if (state != 0)
            return;
        p->connecting = 0;
    }
    for (int round = 0; moved && round < ROUNDS_MAX; round++) {
        moved = 0;
        for (int i = 0; i < 2; i++) {
            int got = flow_read(&p->flows[i], p->ends[i].watch.fd);
            int put = got < 0 ? -1 : flow_write(&p->flows[i], p->ends[1 - i].watch.fd);
            if (put < 0) {
                pair_close(p);
                return;
            }
            moved |= got | put;
        }
        if (p->flows[0].write_ended && p->flows[1].write_ended) {
            pair_close(p);
            return;
        }
    }
    p->busy = moved;
}

static void on_end_event(struct watch *w, uint32_t events)
{
    struct end *e = (struct end *)((char *)w - offsetof(struct end, watch));

    (void)events; /* reading and writing tell */
    if (!e->pair->dead)
        pair_pump(e->pair);
}

/* Takes client. */
static void pair_open(struct relay *r, int client)
{
    struct relay_pair *p = calloc(1, sizeof(*p));
    int one = 1;

    if (!p) {
        close(client);
        return;
    }
    p->relay = r;
    p->next = r->list;
    r->list = p;
    r->pairs++;
    p->connecting = 1;
    for (int i = 0; i < 2; i++) {
        p->ends[i].pair = p;
        p->ends[i].watch.on_event = on_end_event;
    }
    p->ends[0].watch.fd = client;
    p->ends[1].watch.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    for (int i = 0; i < 2; i++)
        setsockopt(p->ends[i].watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (p->ends[1].watch.fd < 0 ||
        (connect(p->ends[1].watch.fd, (const struct sockaddr *)&r->target, sizeof(r->target)) != 0 &&
         errno != EINPROGRESS) ||
        loop_watch(r->loop, &p->ends[0].watch, ALL_EDGES) != 0 ||
        loop_watch(r->loop, &p->ends[1].watch, ALL_EDGES) != 0)
        pair_close(p);
}

static void accept_all(struct relay *r)
{
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    int fd;

    while (r->pairs < RELAY_PAIRS_MAX && (fd = accept4(r->listener.fd, (struct sockaddr *)&from, &len,
                                                       SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        len = sizeof(from);
        /* The guest's own pages reach eth0's address too, whatever device the socket is bound to. */
        if (r->peer.s_addr && from.sin_addr.s_addr != r->peer.s_addr)
            close(fd);
        else
            pair_open(r, fd);
    }
}

static void on_listener_event(struct watch *w, uint32_t events)
{
    (void)events;
    accept_all((struct relay *)((char *)w - offsetof(struct relay, listener)));
}

/* Frees the dead, pumps the busy, and lets in who waited for a place. */
static void on_loop_idle(void *arg)
{
    struct relay *r = arg;
    struct relay_pair **at = &r->list, *p;
    int freed = 0;

    while ((p = *at)) {
        if (p->dead) {
            *at = p->next;
            free(p);
            r->pairs--;
            freed = 1;
            continue;
        }
        if (p->busy)
            pair_pump(p);
        if (p->busy)
            r->loop->pending = 1;
        at = &p->next;
    }
    if (freed)
        accept_all(r);
}

int relay_init(struct relay *r, struct loop *loop, int listener, struct sockaddr_in target)
{
    r->loop = loop;
    r->target = target;
    r->pairs = 0;
    r->list = NULL;
    r->listener.fd = listener;
    r->listener.on_event = on_listener_event;
    if (loop_watch(loop, &r->listener, EPOLLIN | EPOLLET) != 0)
        return -1;
    loop->on_idle = on_loop_idle;
    loop->arg = r;
    accept_all(r); /* who came before the edge */
    return 0;
}

void relay_cleanup(struct relay *r)
{
    close(r->listener.fd);
    r->listener.fd = -1; /* nobody else is let in */
    for (struct relay_pair *p = r->list; p; p = p->next)
        pair_close(p);
    on_loop_idle(r);
    r->loop->on_idle = NULL;
}
