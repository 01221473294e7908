/* guest_link.c: see guest_link.h. */
#include "guest_link.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

void guest_link_close(struct guest_link *g)
{
    if (g->fd < 0 || !g->loop)
        return;
    ev_io_stop(g->loop, &g->readable);
    ev_io_stop(g->loop, &g->writable);
    close(g->fd);
    g->fd = -1;
    buf_cleanup(&g->out);
}

static void end(struct guest_link *g, const char *why)
{
    guest_link_close(g);
    g->on_close(g->arg, why);
}

static void take_lines(struct guest_link *g)
{
    struct guest_message m;
    size_t length;
    char *line;

    while (g->fd >= 0) {
        line = guest_lines_next(&g->lines, &length);
        if (!line) {
            if (length == SIZE_MAX)
                end(g, "the guest's line is too long");
            return;
        }
        if (guest_message_parse(line, length, &m) != 0) {
            end(g, "the guest talks nonsense");
            return;
        }
        g->on_message(g->arg, &m);
    }
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct guest_link *g = w->data;
    size_t room;
    char *to = guest_lines_room(&g->lines, &room);
    ssize_t n = read(g->fd, to, room);

    (void)loop;
    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(g, NULL);
        return;
    }
    guest_lines_added(&g->lines, (size_t)n);
    take_lines(g);
}

static void flush(struct guest_link *g)
{
    while (g->out.len) {
        ssize_t n = write(g->fd, g->out.data, g->out.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* EAGAIN; an error shows when reading */
        buf_consume(&g->out, (size_t)n);
    }
    if (g->out.len)
        ev_io_start(g->loop, &g->writable);
    else
        ev_io_stop(g->loop, &g->writable);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    (void)revents;
    flush(w->data);
}

void guest_link_open(struct guest_link *g, struct ev_loop *loop, int fd)
{
    g->loop = loop;
    g->fd = fd;
    memset(&g->lines, 0, sizeof(g->lines));
    ev_io_init(&g->readable, on_readable, fd, EV_READ);
    ev_io_init(&g->writable, on_writable, fd, EV_WRITE);
    g->readable.data = g->writable.data = g;
    ev_io_start(loop, &g->readable);
}

void guest_link_send(struct guest_link *g, const char *text, size_t len)
{
    if (g->fd < 0)
        return;
    buf_add(&g->out, text, len);
    flush(g);
}
