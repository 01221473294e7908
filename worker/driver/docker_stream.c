/* docker_stream.c: see docker_stream.h. An upgraded connection: libcurl cannot keep the sending side open for
 * nothing, so this one is by hand. */
#include "docker_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../shared/buf.h"
#include "../../shared/mem.h"

#define HEAD_MAX     8192
#define OPEN_LIMIT_S 20.0
#define READS_A_TURN 8

struct docker_stream {
    struct ev_loop *loop;
    struct docker_stream_events events;
    int fd;
    ev_io io;
    ev_timer limit;
    int open;
    struct buf head;
    struct docker_frames frames;
};

void docker_frames_feed(struct docker_frames *f, const char *data, size_t len,
                        void (*on_data)(void *arg, const char *data, size_t len), void *arg)
{
    while (len) {
        size_t n;

        if (f->left == 0) {
            f->head[f->have++] = (unsigned char)*data++;
            len--;
            if (f->have == sizeof(f->head)) {
                f->have = 0;
                f->left = ((unsigned long)f->head[4] << 24) | ((unsigned long)f->head[5] << 16) |
                          ((unsigned long)f->head[6] << 8) | f->head[7];
            }
            continue;
        }
        n = len < f->left ? len : f->left;
        on_data(arg, data, n);
        f->left -= n;
        data += n;
        len -= n;
    }
}

void docker_stream_free(struct docker_stream *s)
{
    if (!s)
        return;
    ev_io_stop(s->loop, &s->io);
    ev_timer_stop(s->loop, &s->limit);
    if (s->fd >= 0)
        close(s->fd);
    buf_cleanup(&s->head);
    free(s);
}

void docker_stream_pause(struct docker_stream *s)
{
    ev_io_stop(s->loop, &s->io);
    ev_timer_stop(s->loop, &s->limit);
}

static void end(struct docker_stream *s, const char *why)
{
    struct docker_stream_events events = s->events;
    char text[200];

    /* why may be in what is freed here */
    if (why)
        snprintf(text, sizeof(text), "%s", why);
    docker_stream_free(s);
    events.on_end(events.arg, why ? text : NULL);
}

/* The head of the reply. Returns where the stream begins in it; 0: more of it has to come; -1: refused. */
static long read_head(struct docker_stream *s, char *why, size_t len)
{
    const char *empty;

    if (!s->head.data)
        return 0;
    empty = strstr(s->head.data, "\r\n\r\n");
    if (!empty) {
        if (s->head.len <= HEAD_MAX && !memchr(s->head.data, '\0', s->head.len))
            return 0;
        snprintf(why, len, "the Docker Engine did not answer in HTTP");
        return -1;
    }
    if (strncmp(s->head.data, "HTTP/1.1 101", 12) == 0)
        return empty + 4 - s->head.data;
    snprintf(why, len, "the Docker Engine did not attach: %.*s", (int)strcspn(s->head.data, "\r\n"),
             s->head.data);
    return -1;
}

/* Returns -1 when s is gone. */
static int take(struct docker_stream *s, const char *data, size_t len)
{
    char why[160];
    long begins;

    if (s->open) {
        docker_frames_feed(&s->frames, data, len, s->events.on_data, s->events.arg);
        return 0;
    }
    buf_add(&s->head, data, len);
    begins = read_head(s, why, sizeof(why));
    if (begins < 0) {
        end(s, why);
        return -1;
    }
    if (begins > 0) {
        s->open = 1;
        ev_timer_stop(s->loop, &s->limit);
        s->events.on_open(s->events.arg);
        docker_frames_feed(&s->frames, s->head.data + begins, s->head.len - (size_t)begins, s->events.on_data,
                           s->events.arg);
        buf_cleanup(&s->head);
    }
    return 0;
}

static void on_socket(struct ev_loop *loop, ev_io *w, int revents)
{
    struct docker_stream *s = w->data;
    char chunk[8192];

    (void)loop;
    (void)revents;
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = read(s->fd, chunk, sizeof(chunk));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            end(s, n < 0 ? strerror(errno) : s->open ? NULL : "the Docker Engine closed the connection");
            return;
        }
        if (take(s, chunk, (size_t)n) != 0)
            return;
    }
}

static void on_limit(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    end(w->data, "the Docker Engine did not attach in time");
}

static int dial(const char *socket_path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd, saved;

    if (strlen(socket_path) >= sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(to.sun_path, socket_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

struct docker_stream *docker_stream_new(struct ev_loop *loop, const char *socket_path, const char *path,
                                        const struct docker_stream_events *events)
{
    struct docker_stream *s;
    char *request;
    int fd = dial(socket_path), ok, saved;

    if (fd < 0)
        return NULL;
    request = mem_printf("POST %s HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                         "Content-Length: 0\r\n\r\n",
                         path);
    /* A new connection's buffer is empty: it takes this at once. */
    ok = send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request);
    saved = errno;
    free(request);
    if (!ok) {
        close(fd);
        errno = saved;
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->loop = loop;
    s->events = *events;
    s->fd = fd;
    ev_io_init(&s->io, on_socket, fd, EV_READ);
    s->io.data = s;
    ev_timer_init(&s->limit, on_limit, OPEN_LIMIT_S, 0);
    s->limit.data = s;
    ev_now_update(loop);
    ev_io_start(loop, &s->io);
    ev_timer_start(loop, &s->limit);
    return s;
}
