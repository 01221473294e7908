/* host_lock.c: see host_lock.h. The name is an abstract unix socket address. */
#include "host_lock.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "net_clean.h"

#define TRY_EVERY_MS 10

int host_lock_take(const char *name, int wait_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "berth/%s", name);
    double until = clock_mono_ms() + wait_ms;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || len >= (int)sizeof(address.sun_path) - 1) {
        if (fd >= 0) {
            close(fd);
            errno = ENAMETOOLONG;
        }
        return -1;
    }
    for (;;) {
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);

        if (bind(fd, (struct sockaddr *)&address, size) == 0)
            return fd;
        if (errno != EADDRINUSE || clock_mono_ms() >= until) {
            int saved = errno;

            close(fd);
            errno = saved;
            return -1;
        }
        poll(NULL, 0, TRY_EVERY_MS);
    }
}

int host_lock_take_worker(const char *worker_id, char *err, unsigned errlen)
{
    char name[96];
    int fd;

    if (!*worker_id || strlen(worker_id) > 64) {
        snprintf(err, errlen, "a worker id has 1 to 64 characters");
        return -1;
    }
    snprintf(name, sizeof(name), NET_CLEAN_WORKER_LOCK, worker_id);
    /* A worker that was just killed may take a moment to be gone. */
    fd = host_lock_take(name, 2000);
    if (fd >= 0)
        return fd;
    if (errno == EADDRINUSE)
        snprintf(
            err, errlen,
            "a worker with the id %s already runs on this host: give this one another BERTH_WORKER_ID (and "
            "one driver: of its profiles only sim may be beside another)",
            worker_id);
    else
        snprintf(err, errlen, "cannot take the lock of worker %s: %s", worker_id, strerror(errno));
    return -1;
}
