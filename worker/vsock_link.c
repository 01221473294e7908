/* vsock_link.c: see vsock_link.h: the handshake; the bytes after it are shared/relay.c's. */
#include "vsock_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/relay.h"

#define ANSWER_MAX    32 /* "OK 4294967295\n" is 14 */
#define FIRST_RETRY_S 0.01
#define MAX_RETRY_S   0.25

struct vsock_link {
    struct ev_loop *loop;
    int local;  /* -1: the relay's, or closed */
    int remote; /* during the handshake; -1 */
    unsigned port;
    int (*open)(void *arg);
    void *arg;
    ev_io answered;
    ev_timer retry;
    double pause;
    char answer[ANSWER_MAX];
    size_t length;
    struct relay *relay;
};

int vsock_link_parse(const char *data, size_t len, size_t *used)
{
    static const char start[] = "OK ";
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) : len, compared = n < 3 ? n : 3;

    if (memcmp(data, start, compared) != 0 || n > 13)
        return -1;
    for (size_t i = compared; i < n; i++) {
        if (data[i] < '0' || data[i] > '9')
            return -1;
    }
    if (!end)
        return 0;
    if (n < 4)
        return -1;
    *used = n + 1;
    return 1;
}

static void hang_up(struct vsock_link *l)
{
    ev_io_stop(l->loop, &l->answered);
    if (l->remote >= 0)
        close(l->remote);
    l->remote = -1;
}

static void again(struct vsock_link *l)
{
    hang_up(l);
    ev_timer_set(&l->retry, l->pause, 0);
    ev_timer_start(l->loop, &l->retry);
    l->pause = l->pause * 2 < MAX_RETRY_S ? l->pause * 2 : MAX_RETRY_S;
}

static void on_relay_end(void *arg)
{
    struct vsock_link *l = arg;

    l->relay = NULL;
}

static void connected(struct vsock_link *l, size_t used)
{
    struct buf early = {0};

    if (l->length > used)
        buf_add(&early, l->answer + used, l->length - used);
    ev_io_stop(l->loop, &l->answered);
    l->relay = relay_new(l->loop, l->local, l->remote, NULL, &early, on_relay_end, l);
    l->local = l->remote = -1;
}

static void on_answer(struct ev_loop *loop, ev_io *w, int revents)
{
    struct vsock_link *l = w->data;
    ssize_t n = recv(l->remote, l->answer + l->length, sizeof(l->answer) - l->length, 0);
    size_t used = 0;
    int done;

    (void)loop;
    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        again(l); /* nobody listens in the guest yet */
        return;
    }
    l->length += (size_t)n;
    done = vsock_link_parse(l->answer, l->length, &used);
    if (done > 0) {
        connected(l, used);
    } else if (done < 0) {
        log_warn("vsock_nonsense", "port=%u", l->port);
        again(l);
    }
}

static void try(struct vsock_link *l)
{
    char request[32];
    int n = snprintf(request, sizeof(request), "CONNECT %u\n", l->port);

    l->length = 0;
    l->remote = l->open(l->arg);
    /* A new socket's buffer takes these few bytes at once. */
    if (l->remote < 0 || send(l->remote, request, (size_t)n, MSG_NOSIGNAL) != n) {
        again(l);
        return;
    }
    ev_io_set(&l->answered, l->remote, EV_READ);
    ev_io_start(l->loop, &l->answered);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    try(w->data);
}

struct vsock_link *vsock_link_new(struct ev_loop *loop, int local, unsigned port)
{
    struct vsock_link *l = mem_alloc(sizeof(*l));

    l->loop = loop;
    l->local = local;
    l->remote = -1;
    l->port = port;
    l->pause = FIRST_RETRY_S;
    ev_init(&l->answered, on_answer);
    ev_init(&l->retry, on_retry);
    l->answered.data = l->retry.data = l;
    return l;
}

void vsock_link_start(struct vsock_link *l, int (*open)(void *arg), void *arg)
{
    l->open = open;
    l->arg = arg;
    try(l);
}

void vsock_link_free(struct vsock_link *l)
{
    if (!l)
        return;
    hang_up(l);
    ev_timer_stop(l->loop, &l->retry);
    if (l->relay)
        relay_close(l->relay);
    if (l->local >= 0)
        close(l->local);
    free(l);
}
