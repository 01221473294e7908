/* http_server.c: the listening socket, the list of connections, the pool of exchanges. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "random.h"

#define BACKLOG 4096
/* Per wake-up, so that a flood of connections does not keep the others waiting. */
#define ACCEPT_BATCH 64
/* Connections over the limit that are being told so; any more are just closed. */
#define OVERFLOW_CONNECTIONS 64
#define POOL_EXCHANGES       256
/* Descriptors that clients never get, a quarter at most: without them a full process could neither reach
 * Redis again nor start anything. */
#define SPARE_DESCRIPTORS 256
/* Out of descriptors: the pause before the next try. */
#define STARVED_S   0.1
#define FULL_SAID_S 10.0

/* ---- addresses */

/* "127.0.0.1:80", "[::1]:80", "name:80"; caller frees with freeaddrinfo. NULL with a message in err. */
static struct addrinfo *resolve_listen(const char *listen_text, char *err, size_t errlen)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    const char *colon = strrchr(listen_text, ':'), *host = listen_text;
    size_t len = colon ? (size_t)(colon - listen_text) : 0;
    char name[256];
    int e;

    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len))
        len = 0; /* IPv6 without brackets: which colon parts the port is a guess */
    if (len == 0 || len >= sizeof(name) || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        atoi(colon + 1) > 65535) {
        snprintf(err, errlen, "\"%s\" is not an address and port, like 127.0.0.1:3000 or [::1]:3000",
                 listen_text);
        return NULL;
    }
    snprintf(name, sizeof(name), "%.*s", (int)len, host);
    e = getaddrinfo(name, colon + 1, &hints, &list);
    if (e) {
        snprintf(err, errlen, "cannot listen on %s: %s", listen_text, gai_strerror(e));
        return NULL;
    }
    return list;
}

static int is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
    }
    return 0;
}

int http_listen_is_loopback(const char *listen_text)
{
    char err[256];
    struct addrinfo *list = resolve_listen(listen_text, err, sizeof(err));
    int all = list != NULL;

    for (const struct addrinfo *a = list; a; a = a->ai_next)
        all = all && is_loopback(a->ai_addr);
    if (list)
        freeaddrinfo(list);
    return all;
}

/* "1.2.3.4:5678" or "[::1]:5678"; out has at least 56 bytes. */
static void format_peer(const struct sockaddr_storage *address, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";

    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, size, "%s:%d", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        snprintf(out, size, "[%s]:%d", host, ntohs(in6->sin6_port));
    } else
        snprintf(out, size, "local");
}

/* Options that accepted sockets inherit. Keep-alive probes find clients that vanished while their request
 * waits. */
static void set_socket_options(int fd)
{
    const int on = 1, idle_s = 30, interval_s = 10, probes = 3;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static int open_listener(const char *listen_text, int *port, char *err, size_t errlen)
{
    struct addrinfo *list = resolve_listen(listen_text, err, errlen);
    struct sockaddr_storage bound;
    char service[8];
    socklen_t len = sizeof(bound);
    int fd = -1;

    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
            set_socket_options(fd);
            if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
                break;
        }
        snprintf(err, errlen, "cannot listen on %s: %s", listen_text, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (list)
        freeaddrinfo(list);
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
        getnameinfo((struct sockaddr *)&bound, len, NULL, 0, service, sizeof(service), NI_NUMERICSERV) == 0)
        *port = (int)strtol(service, NULL, 10);
    return fd;
}

/* ---- what connections need */

struct http_exchange *http_exchange_get(struct http_server *s, struct http_conn *c)
{
    struct http_exchange *x = s->pool;

    if (x) {
        s->pool = x->next;
        s->n_pool--;
        x->next = NULL;
    } else
        x = mem_alloc(sizeof(*x));
    http_exchange_init(x, c, &s->config.limits);
    snprintf(x->request_id, sizeof(x->request_id), "%s-%llx", s->id_prefix, ++s->serial);
    return x;
}

void http_exchange_put(struct http_server *s, struct http_exchange *x)
{
    if (s->n_pool == POOL_EXCHANGES) {
        http_exchange_cleanup(x);
        free(x);
        return;
    }
    http_exchange_reset(x);
    x->next = s->pool;
    s->pool = x;
    s->n_pool++;
}

const char *http_server_date(struct http_server *s)
{
    const time_t now = (time_t)ev_now(s->loop);
    struct tm t;

    if (now != s->date_at && gmtime_r(&now, &t)) {
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &t);
        s->date_at = now;
    }
    return s->date;
}

struct http_conn *http_server_adopt(struct http_server *s, int fd, const char *peer)
{
    struct http_conn *c = http_conn_new(s, fd, peer);

    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    s->conns = c;
    s->n_conns++;
    return c;
}

void http_server_bury(struct http_server *s, struct http_conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->n_conns--;
    c->next_dead = s->dead;
    s->dead = c;
    ev_prepare_start(s->loop, &s->reaper);
}

static void reap(struct http_server *s)
{
    while (s->dead) {
        struct http_conn *c = s->dead;
        s->dead = c->next_dead;
        c->magic = 0;
        free(c);
    }
    ev_prepare_stop(s->loop, &s->reaper);
}

static void on_loop_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
    (void)loop, (void)revents;
    reap(w->data);
}

/* ---- accepting */

static void starve(struct http_server *s)
{
    if (!s->starved)
        log_warn("http_accept_paused", "error=%s connections=%d", strerror(errno), s->n_conns);
    s->starved = 1;
    ev_io_stop(s->loop, &s->acceptable);
    ev_timer_set(&s->retry, STARVED_S, 0.0);
    ev_timer_start(s->loop, &s->retry);
}

/* Once in a while: who is turned away by the thousand must not fill the log too. */
static void say_full(struct http_server *s, int fd)
{
    if (ev_now(s->loop) - s->full_said < FULL_SAID_S)
        return;
    s->full_said = ev_now(s->loop);
    log_warn("http_full", "connections=%d descriptors=%d", s->n_conns, fd);
}

static void accept_one(struct http_server *s, int fd, const struct sockaddr_storage *address)
{
    const int limit = s->config.limits.connections;
    char peer[64];

    s->starved = 0;
    if (s->n_conns >= limit || fd >= s->fd_room)
        say_full(s, fd);
    /* The kernel gives the lowest number free, so a number says how many are in use. */
    if (s->n_conns >= limit + OVERFLOW_CONNECTIONS || fd >= s->fd_room + OVERFLOW_CONNECTIONS) {
        close(fd);
        return;
    }
    format_peer(address, peer, sizeof(peer));
    if (s->n_conns < limit && fd < s->fd_room)
        http_server_adopt(s, fd, peer);
    else
        http_conn_refuse(http_server_adopt(s, fd, peer), ERR_too_many_connections);
}

/* At most max connections; stops when there are no more. */
static void accept_some(struct http_server *s, int max)
{
    for (int i = 0; i < max; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof(address);
        int fd = accept4(s->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            accept_one(s, fd, &address);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            starve(s);
            return;
        } else if (errno == EAGAIN)
            return;
        /* The rest are errors of that one connection (accept(2)). */
    }
}

static void on_server_acceptable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    accept_some(w->data, ACCEPT_BATCH);
}

static void on_server_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct http_server *s = w->data;

    (void)revents;
    if (!s->draining)
        ev_io_start(loop, &s->acceptable);
}

/* ---- life */

static int descriptor_room(void)
{
    struct rlimit limit;
    rlim_t spare;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= INT_MAX)
        return INT_MAX - OVERFLOW_CONNECTIONS;
    spare = limit.rlim_cur / 4 < SPARE_DESCRIPTORS ? limit.rlim_cur / 4 : SPARE_DESCRIPTORS;
    return (int)(limit.rlim_cur - spare);
}

struct http_server *http_server_new(struct ev_loop *loop, const char *listen_text,
                                    const struct http_server_config *config, char *err, size_t errlen)
{
    struct http_server *s = mem_alloc(sizeof(*s));

    s->loop = loop;
    s->config = *config;
    s->fd_room = descriptor_room();
    s->fd = open_listener(listen_text, &s->port, err, errlen);
    if (s->fd < 0) {
        free(s);
        return NULL;
    }
    random_hex(s->id_prefix, sizeof(s->id_prefix));
    ev_io_init(&s->acceptable, on_server_acceptable, s->fd, EV_READ);
    ev_init(&s->retry, on_server_retry);
    ev_prepare_init(&s->reaper, on_loop_prepare);
    s->acceptable.data = s->retry.data = s->reaper.data = s;
    ev_io_start(loop, &s->acceptable);
    return s;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

int http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

static void stop_accepting(struct http_server *s)
{
    ev_io_stop(s->loop, &s->acceptable);
    ev_timer_stop(s->loop, &s->retry);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void http_server_drain(struct http_server *s)
{
    if (s->draining)
        return;
    accept_some(s, BACKLOG); /* who is in the queue has been promised a connection */
    s->draining = 1;
    stop_accepting(s);
    for (struct http_conn *c = s->conns; c; c = c->next)
        http_conn_drain(c);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->draining = 1;
    stop_accepting(s);
    while (s->conns)
        http_conn_close(s->conns);
    reap(s);
    while (s->pool) {
        struct http_exchange *x = s->pool;
        s->pool = x->next;
        http_exchange_cleanup(x);
        free(x);
    }
    buf_cleanup(&s->reply);
    free(s);
}
