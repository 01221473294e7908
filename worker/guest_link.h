/* guest_link.h: the worker's end of a guest's control port (guest/protocol.h). The guest is hostile: lines
 * are bounded, and nonsense ends the link with a reason. */
#ifndef BERTH_GUEST_LINK_H
#define BERTH_GUEST_LINK_H
#include <ev.h>

#include "../shared/buf.h"
#include "guest/protocol.h"

struct guest_link {
    struct ev_loop *loop;
    int fd; /* -1: closed */
    ev_io readable, writable;
    struct guest_lines lines;
    struct buf out;
    void (*on_message)(void *arg, const struct guest_message *m); /* may close the link */
    /* It is closed already. why: what the guest said that it may not; NULL: the other end has closed it. */
    void (*on_close)(void *arg, const char *why);
    void *arg;
};

/* The callbacks are set already. fd: non-blocking; the link's from now on. */
void guest_link_open(struct guest_link *g, struct ev_loop *loop, int fd);
void guest_link_close(struct guest_link *g); /* may be repeated; no on_close */
void guest_link_send(struct guest_link *g, const char *text, size_t len);

#endif
