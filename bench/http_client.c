/* http_client.c: see http_client.h. */
#include "http_client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/mem.h"

#define READ_SIZE 16384

struct http_client {
    struct ev_loop *loop;
    struct sockaddr_in address;
    http_client_cb *cb;
    void *arg;
    int fd, busy;
    ev_io io;
    struct buf out, in;
};

static void close_connection(struct http_client *c)
{
    if (c->fd >= 0) {
        ev_io_stop(c->loop, &c->io);
        close(c->fd);
    }
    c->fd = -1;
    c->out.len = c->in.len = 0;
}

static void fail(struct http_client *c)
{
    int was_busy = c->busy;

    close_connection(c);
    c->busy = 0;
    if (was_busy)
        c->cb(c->arg, 0, "", 0);
}

static void watch(struct http_client *c, int events)
{
    if ((c->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(c->loop, &c->io);
    ev_io_set(&c->io, c->fd, events);
    ev_io_start(c->loop, &c->io);
}

/* 0, or -1 when the connection is lost. */
static int flush_out(struct http_client *c)
{
    ssize_t n = c->out.len ? write(c->fd, c->out.data, c->out.len) : 0;

    if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
        return -1;
    if (n > 0)
        buf_consume(&c->out, (size_t)n);
    watch(c, c->out.len ? EV_READ | EV_WRITE : EV_READ);
    return 0;
}

/* Calls back if the reply is whole. */
static void take_reply(struct http_client *c)
{
    const char *end = c->in.len ? strstr(c->in.data, "\r\n\r\n") : NULL, *length;
    size_t head, body = 0;
    int status = 0;

    if (!end)
        return;
    head = (size_t)(end - c->in.data) + 4;
    length = strcasestr(c->in.data, "\r\nContent-Length:");
    if (length && length < end)
        body = strtoul(length + 17, NULL, 10);
    if (c->in.len < head + body)
        return;
    if (c->in.len > 12)
        status = atoi(c->in.data + 9);
    /* The callback may send, and the reply's bytes have to outlive that: the next reply comes from the loop.
     */
    c->in.data[head + body] = '\0';
    c->in.len = 0;
    c->busy = 0;
    c->cb(c->arg, status, c->in.data + head, body);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
    struct http_client *c = w->data;
    ssize_t n;

    (void)loop;
    if ((revents & EV_WRITE) && flush_out(c) != 0) {
        fail(c);
        return;
    }
    if (!(revents & EV_READ))
        return;
    buf_reserve(&c->in, READ_SIZE);
    n = read(c->fd, c->in.data + c->in.len, READ_SIZE);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        fail(c);
        return;
    }
    if (n < 0)
        return;
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    if (c->busy)
        take_reply(c);
}

static int open_connection(struct http_client *c)
{
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(c->fd, (struct sockaddr *)&c->address, sizeof(c->address)) != 0 && errno != EINPROGRESS) {
        close(c->fd);
        c->fd = -1;
        return -1;
    }
    ev_io_set(&c->io, c->fd, EV_READ | EV_WRITE);
    ev_io_start(c->loop, &c->io);
    return 0;
}

struct http_client *http_client_new(struct ev_loop *loop, const struct sockaddr_in *address,
                                    http_client_cb *cb, void *arg)
{
    struct http_client *c = mem_alloc(sizeof(*c));

    c->loop = loop;
    c->address = *address;
    c->cb = cb;
    c->arg = arg;
    c->fd = -1;
    ev_init(&c->io, on_io);
    c->io.data = c;
    return c;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    close_connection(c);
    buf_cleanup(&c->out);
    buf_cleanup(&c->in);
    free(c);
}

void http_client_send(struct http_client *c, const char *method, const char *path, const char *body)
{
    char host[INET_ADDRSTRLEN];

    assert(!c->busy);
    c->busy = 1;
    if (c->fd < 0 && open_connection(c) != 0) {
        ev_feed_event(c->loop, &c->io, EV_READ); /* fails from the loop, not from in here */
        return;
    }
    buf_addf(&c->out, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n", method, path,
             inet_ntop(AF_INET, &c->address.sin_addr, host, sizeof(host)), ntohs(c->address.sin_port));
    if (body)
        buf_addf(&c->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                 body);
    else
        buf_adds(&c->out, "\r\n");
    if (flush_out(c) != 0)
        ev_feed_event(c->loop, &c->io, EV_READ);
}
