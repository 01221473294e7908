/* docker_stream.h: a container's standard input and output over one connection to the Docker Engine
 * ("attach"). Nothing is ever sent, but when the connection closes, with the worker or by it, the container's
 * standard input ends. */
#ifndef BERTH_DOCKER_STREAM_H
#define BERTH_DOCKER_STREAM_H
#include <ev.h>
#include <stddef.h>

struct docker_stream;

struct docker_stream_events {
    void (*on_open)(void *arg); /* what the container prints from now on is not lost */
    void (*on_data)(void *arg, const char *data, size_t len);
    /* Over: the container has ended, or something failed (why; NULL for the former). The stream is freed
     * after it. */
    void (*on_end)(void *arg, const char *why);
    void *arg;
};

/* NULL with errno. No callback from inside. path: as for docker_engine_call, with the version. */
struct docker_stream *docker_stream_new(struct ev_loop *loop, const char *socket_path, const char *path,
                                        const struct docker_stream_events *events);
void docker_stream_pause(struct docker_stream *s); /* stays open; no more callbacks */
void docker_stream_free(struct docker_stream *s);  /* NULL is fine; not from inside a callback */

/* The frames that standard output and error come in: 8 bytes (stream, 0, 0, 0, length in network order), then
 * the bytes. Any cut of the input does. */
struct docker_frames {
    unsigned char head[8];
    unsigned have;      /* of head */
    unsigned long left; /* of the payload */
};
void docker_frames_feed(struct docker_frames *f, const char *data, size_t len,
                        void (*on_data)(void *arg, const char *data, size_t len), void *arg);

#endif
