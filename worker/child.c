/* child.c: see child.h.
 *
 * clone3 instead of fork: it makes the namespaces and gives a pidfd in one step, so that a kill can never hit
 * another process that got the same number. */
#include <assert.h>
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "child_internal.h"

struct child {
    struct ev_loop *loop;
    ev_child exited;
    int pidfd;
    void (*on_exit)(void *arg, int status);
    void *arg;
};

int child_init_subreaper(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

pid_t child_spawn(const struct child_spec *spec, int *pidfd)
{
    struct clone_args args = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD};
    int worker_pidfd = -1, fd = -1, saved;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    sigset_t all, before;
    pid_t pid = -1;

    assert(spec->fd_count <= CHILD_FDS_MAX && spec->limit_count <= CHILD_LIMITS_MAX);
    if (spec->pid_ns) {
        args.flags |= CLONE_NEWPID | (spec->user_ns ? CLONE_NEWUSER : 0);
        worker_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
        if (worker_pidfd < 0)
            return -1;
    }
    args.pidfd = (uint64_t)(uintptr_t)&fd;
    /* A signal in the child must not run the worker's handlers, which share its event loop's descriptors. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0)
        child_exec(spec, uid, gid, worker_pidfd);
    saved = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (worker_pidfd >= 0)
        close(worker_pidfd);
    *pidfd = fd;
    errno = saved;
    return pid;
}

static void child_free(struct child *c)
{
    ev_child_stop(c->loop, &c->exited);
    if (c->pidfd >= 0)
        close(c->pidfd);
    free(c);
}

static void on_child_exit(struct ev_loop *loop, ev_child *w, int revents)
{
    struct child *c = w->data;

    (void)loop;
    (void)revents;
    if (!WIFEXITED(w->rstatus) && !WIFSIGNALED(w->rstatus))
        return;
    ev_child_stop(c->loop, &c->exited);
    c->on_exit(c->arg, w->rstatus);
    child_free(c);
}

struct child *child_start(struct ev_loop *loop, const struct child_spec *spec,
                          void (*on_exit)(void *arg, int status), void *arg)
{
    struct child *c;
    int pidfd;
    pid_t pid;

    assert(ev_is_default_loop(loop));
    pid = child_spawn(spec, &pidfd);
    if (pid < 0)
        return NULL;
    c = mem_alloc(sizeof(*c));
    c->loop = loop;
    c->pidfd = pidfd;
    c->on_exit = on_exit;
    c->arg = arg;
    ev_child_init(&c->exited, on_child_exit, pid, 0);
    c->exited.data = c;
    ev_child_start(loop, &c->exited);
    return c;
}

pid_t child_pid(const struct child *c)
{
    return c->exited.pid;
}

void child_kill(struct child *c)
{
    if (syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0) != 0 && errno != ESRCH)
        log_error("child_kill_failed", "pid=%d error=%s", (int)child_pid(c), strerror(errno));
}

int child_wait_end(int pidfd, int limit_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    double until = clock_mono_ms() + limit_ms;
    int n;

    do {
        double left = until - clock_mono_ms();

        n = poll(&p, 1, left > 0 ? (int)left + 1 : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : -1;
}

int child_finish(struct child *c, int limit_ms)
{
    int result;

    child_kill(c);
    result = child_wait_end(c->pidfd, limit_ms);
    if (result == 0)
        waitpid(child_pid(c), NULL, 0);
    child_free(c);
    return result;
}

void child_describe(int status, char *out, size_t outlen)
{
    if (WIFSIGNALED(status))
        snprintf(out, outlen, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, outlen, "exited with status %d", WEXITSTATUS(status));
}
