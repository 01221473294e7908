/* gateway_pipe.h: one direction of a connection: writes at once, and keeps what the destination does not
 * take. While it keeps anything the source is not read, so at most one chunk waits, and a connection that
 * keeps up has no buffer at all. */
#ifndef BERTH_GATEWAY_PIPE_H
#define BERTH_GATEWAY_PIPE_H
#include <ev.h>
#include <sys/types.h>

#include "../shared/buf.h"

struct gateway_pipe {
    struct ev_loop *loop;
    int to;
    struct buf waiting; /* [sent, len) is still to be written */
    size_t sent;
    ev_io readable; /* of the source */
    ev_io writable; /* of the destination; runs while something waits */
};

/* Starts reading. The callbacks' watchers carry data. The sockets stay the caller's. */
void gateway_pipe_init(struct gateway_pipe *p, struct ev_loop *loop, int from, int to,
                       void (*on_readable)(struct ev_loop *loop, ev_io *w, int events),
                       void (*on_writable)(struct ev_loop *loop, ev_io *w, int events), void *data);
/* 0, or -1 when the destination is gone. Stops the reading if something has to wait. */
int gateway_pipe_write(struct gateway_pipe *p, const void *data, size_t len);
/* To be called when the destination is writable: the bytes that went, or -1 when it is gone. Reading stays
 * stopped. */
ssize_t gateway_pipe_flush(struct gateway_pipe *p);
int gateway_pipe_is_waiting(const struct gateway_pipe *p);
void gateway_pipe_drop(struct gateway_pipe *p); /* forgets what waits */
void gateway_pipe_cleanup(
    struct gateway_pipe *p); /* stops both watchers; to be called before either socket is closed */

#endif
