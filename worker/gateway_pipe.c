/* gateway_pipe.c: see gateway_pipe.h. */
#include "gateway_pipe.h"

#include <errno.h>
#include <sys/socket.h>

static ssize_t send_some(int fd, const void *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

void gateway_pipe_init(struct gateway_pipe *p, struct ev_loop *loop, int from, int to,
                       void (*on_readable)(struct ev_loop *loop, ev_io *w, int events),
                       void (*on_writable)(struct ev_loop *loop, ev_io *w, int events), void *data)
{
    p->loop = loop;
    p->to = to;
    ev_io_init(&p->readable, on_readable, from, EV_READ);
    ev_io_init(&p->writable, on_writable, to, EV_WRITE);
    p->readable.data = p->writable.data = data;
    ev_io_start(loop, &p->readable);
}

int gateway_pipe_write(struct gateway_pipe *p, const void *data, size_t len)
{
    size_t done = 0;

    if (len == 0)
        return 0;
    if (p->waiting.len == 0) {
        ssize_t n = send_some(p->to, data, len);
        if (n < 0)
            return -1;
        if ((done = (size_t)n) == len)
            return 0;
        ev_io_start(p->loop, &p->writable);
        ev_io_stop(p->loop, &p->readable);
    }
    buf_add(&p->waiting, (const char *)data + done, len - done);
    return 0;
}

ssize_t gateway_pipe_flush(struct gateway_pipe *p)
{
    ssize_t n = send_some(p->to, p->waiting.data + p->sent, p->waiting.len - p->sent);

    if (n > 0 && (p->sent += (size_t)n) == p->waiting.len)
        gateway_pipe_drop(p);
    return n;
}

int gateway_pipe_is_waiting(const struct gateway_pipe *p)
{
    return p->waiting.len > 0;
}

void gateway_pipe_drop(struct gateway_pipe *p)
{
    ev_io_stop(p->loop, &p->writable);
    buf_cleanup(&p->waiting);
    p->sent = 0;
}

void gateway_pipe_cleanup(struct gateway_pipe *p)
{
    ev_io_stop(p->loop, &p->readable);
    gateway_pipe_drop(p);
}
