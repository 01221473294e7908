/* vsock.c: see vsock.h. */
#include "vsock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "faults.h"
#include "guest.h"
#include "loop.h"
#include "worker/guest/protocol.h"

#define FIRST_PORT (1U << 30)
#define LINE_MIN   10 /* "connect 0\n" */
#define LINE_MAX_  32

static int listener = -1;
static struct watch door;
static unsigned next_port = FIRST_PORT;
static int deaf;

int vsock_listen(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), saved;

    if (fd < 0)
        return -1;
    if (strlen(path) >= sizeof(at.sun_path)) {
        errno = EINVAL;
    } else {
        strcpy(at.sun_path, path);
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 128) == 0) {
            if (listener >= 0)
                close(listener);
            listener = fd;
            return 0;
        }
    }
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The line must be there whole, as the real one does not wait for the rest of it. */
static void on_line(struct watch *w, short events)
{
    char line[LINE_MAX_ + 1] = "", word[LINE_MAX_ + 1], answer[40];
    ssize_t n = recv(w->fd, line, LINE_MAX_, MSG_PEEK);
    char *end = n > 0 ? strchr(line, '\n') : NULL;
    unsigned port;
    int fd = w->fd;

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return;
    loop_remove(w);
    free(w);
    if (end && n >= LINE_MIN && recv(fd, line, (size_t)(end - line) + 1, 0) > 0 &&
        sscanf(line, "%32s %u", word, &port) == 2 && strcasecmp(word, "connect") == 0 &&
        port == GUEST_VSOCK_PORT && guest_listens() && !faults_has("guest", "refuse")) {
        int len = snprintf(answer, sizeof(answer), "OK %u\n", next_port++);

        if (send(fd, answer, (size_t)len, MSG_NOSIGNAL) == len) {
            guest_connected(fd);
            return;
        }
    }
    close(fd); /* nobody listens there, or it was no request */
}

static void on_door(struct watch *w, short events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct watch *line;

    (void)events;
    if (fd < 0)
        return;
    line = calloc(1, sizeof(*line));
    line->guest = 1;
    line->on_ready = on_line;
    loop_add(line, fd, deaf ? 0 : POLLIN);
}

void vsock_deafen(void)
{
    deaf = 1;
    guest_deafen();
}

void vsock_serve(void)
{
    door = (struct watch){.fd = -1, .guest = 1, .on_ready = on_door};
    loop_add(&door, listener, POLLIN);
}
