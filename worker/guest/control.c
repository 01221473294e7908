/* control.c: see control.h. A port is watched for edges: while no host has it open it would report a hang-up
 * all the time. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "boot.h"

#define STREAM_EVENTS (EPOLLIN | EPOLLOUT | EPOLLET)

static void control_flush(struct control *c)
{
    while (c->stream.fd >= 0 && c->queued > 0) {
        ssize_t n = write(c->stream.fd, c->queue, c->queued);
        if (n <= 0)
            return; /* later: an edge tells */
        c->queued -= (unsigned)n;
        memmove(c->queue, c->queue + n, c->queued);
    }
}

/* A port's host may come back; a connection's comes as a new one. */
static void control_hang_up(struct control *c)
{
    memset(&c->lines, 0, sizeof(c->lines));
    if (c->listener.fd >= 0) {
        close(c->stream.fd);
        c->stream.fd = -1;
    }
}

static void control_read(struct control *c)
{
    while (c->stream.fd >= 0) {
        size_t size, length;
        char *room = guest_lines_room(&c->lines, &size), *line;
        ssize_t n = read(c->stream.fd, room, size);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            control_hang_up(c);
            return;
        }
        guest_lines_added(&c->lines, (size_t)n);
        while ((line = guest_lines_next(&c->lines, &length)))
            c->on_line(c->arg, line, length);
        if (length == SIZE_MAX) {
            control_say(c, GUEST_REFUSED " why=the_line_is_too_long");
            control_hang_up(c);
        }
    }
}

static void on_stream_event(struct watch *w, uint32_t events)
{
    struct control *c = (struct control *)((char *)w - offsetof(struct control, stream));

    (void)events;
    control_flush(c);
    control_read(c);
}

static void on_listener_event(struct watch *w, uint32_t events)
{
    struct control *c = (struct control *)((char *)w - offsetof(struct control, listener));
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    if (c->stream.fd >= 0)
        control_hang_up(c);
    c->stream.fd = fd;
    if (loop_watch(c->loop, &c->stream, STREAM_EVENTS) != 0)
        control_hang_up(c);
}

static int open_port(struct control *c)
{
    char path[64];

    if (boot_find_port(GUEST_PORT_NAME, path, sizeof(path)) != 0)
        return -1;
    c->stream.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return c->stream.fd < 0 ? -1 : loop_watch(c->loop, &c->stream, STREAM_EVENTS);
}

static int listen_vsock(struct control *c)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = GUEST_VSOCK_PORT};

    c->listener.fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->listener.fd < 0 || bind(c->listener.fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(c->listener.fd, 1) != 0)
        return -1;
    return loop_watch(c->loop, &c->listener, EPOLLIN);
}

int control_init(struct control *c, struct loop *loop)
{
    c->loop = loop;
    c->stream.fd = c->listener.fd = -1;
    c->stream.on_event = on_stream_event;
    c->listener.on_event = on_listener_event;
    c->queued = 0;
    memset(&c->lines, 0, sizeof(c->lines));
    return open_port(c) == 0 ? 0 : listen_vsock(c);
}

void control_say(struct control *c, const char *format, ...)
{
    char line[GUEST_LINE_MAX];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof(line) - 1 || c->queued + (unsigned)n + 1 > sizeof(c->queue))
        return;
    memcpy(c->queue + c->queued, line, (size_t)n);
    c->queued += (unsigned)n;
    c->queue[c->queued++] = '\n';
    control_flush(c);
}
