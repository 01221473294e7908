/* guard.c: see guard.h. */
#include "guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "processes.h"

#define RENDERER "--type=renderer"

struct look {
    const char *proc;
    struct guard *out;
};

static int add_renderer(void *arg, const struct process *p)
{
    const struct look *look = arg;
    struct guard *g = look->out;

    if (p->flags & PROCESS_KERNEL || p->state == 'Z' || p->state == 'X' ||
        !process_has_argument(look->proc, p->pid, RENDERER))
        return 0;
    if (g->count == GUARD_MAX) {
        errno = E2BIG;
        return -1;
    }
    g->renderers[g->count++] = (struct guard_renderer){p->pid, p->start};
    return 0;
}

int guard_look(const char *proc, struct guard *out)
{
    struct look look = {proc, out};

    out->count = 0;
    return processes_walk(proc, add_renderer, &look);
}

int guard_has(const struct guard *g, pid_t pid)
{
    for (int i = 0; i < g->count; i++)
        if (g->renderers[i].pid == pid)
            return 1;
    return 0;
}

int guard_left(const struct guard *then, const struct guard *now)
{
    int left = 0;

    for (int i = 0; i < then->count; i++)
        for (int k = 0; k < now->count; k++)
            left += then->renderers[i].pid == now->renderers[k].pid &&
                    then->renderers[i].start == now->renderers[k].start;
    return left;
}

/* A pidfd of that very process; -1: it is gone, or an error with errno other than ESRCH. */
static int open_process(const char *proc, const struct guard_renderer *r)
{
    int fd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    struct process p;

    if (fd >= 0 && (process_read(proc, r->pid, &p) != 0 || p.start != r->start)) {
        close(fd);
        errno = ESRCH;
        return -1;
    }
    return fd;
}

int guard_kill(const char *proc, const struct guard *g, int limit_ms)
{
    int fds[GUARD_MAX], result = 0, error = 0;

    for (int i = 0; i < g->count; i++) {
        fds[i] = open_process(proc, &g->renderers[i]);
        if ((fds[i] < 0 || syscall(SYS_pidfd_send_signal, fds[i], SIGKILL, NULL, 0) != 0) && errno != ESRCH) {
            error = errno;
            result = -1;
        }
    }
    /* All die at once: the limit is of the slowest. */
    for (int i = 0; i < g->count; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        if (fds[i] < 0)
            continue;
        if (result == 0 && poll(&p, 1, limit_ms) != 1) {
            error = ETIMEDOUT;
            result = -1;
        }
        close(fds[i]);
    }
    errno = error;
    return result;
}
