/* control.h: the guest's end of the control channel (protocol.h): a virtio-serial port if there is one,
 * otherwise a vsock port that the host connects to. */
#ifndef BERTH_GUEST_CONTROL_H
#define BERTH_GUEST_CONTROL_H
#include "loop.h"
#include "protocol.h"

#define CONTROL_QUEUE_MAX 4096

struct control {
    struct loop *loop;
    struct watch stream;   /* port or connection; fd -1: nobody is connected */
    struct watch listener; /* vsock; fd -1: a port is used */
    struct guest_lines lines;
    char queue[CONTROL_QUEUE_MAX]; /* what the host has not taken yet */
    unsigned queued;
    void (*on_line)(void *arg, char *line, unsigned long length);
    void *arg;
};

/* on_line, arg: set before. 0, or -1 with errno: there is no channel. */
int control_init(struct control *c, struct loop *loop) __attribute__((warn_unused_result));
/* One line, printf-like, without its \n. A guest whose queue is full drops it: the host does not listen. */
void control_say(struct control *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
