/* child_exec.c: a new child's way from clone3 to execve. It has a copy of the worker's memory, in which other
 * threads may hold locks: nothing but system calls, and no return. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child_internal.h"

#define HIGH_FD 100 /* where descriptors are parked while 0, 1, 2 … are filled */

static void die(const char *step) __attribute__((noreturn));
static void die(const char *step)
{
    dprintf(2, "berth: cannot start the child: %s: %s\n", step, strerror(errno));
    _exit(127);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die(path);
    close(fd);
}

/* A user namespace that knows only the worker's own user. */
static void map_user(uid_t uid, gid_t gid)
{
    char line[64];

    write_file("/proc/self/setgroups", "deny");
    snprintf(line, sizeof(line), "%d %d 1", (int)uid, (int)uid);
    write_file("/proc/self/uid_map", line);
    snprintf(line, sizeof(line), "%d %d 1", (int)gid, (int)gid);
    write_file("/proc/self/gid_map", line);
}

/* /proc of the new PID namespace, in a mount namespace of its own: bwrap looks itself up there, and would
 * find another process, or none where the worker itself runs in a container. Where it is not allowed, the
 * worker's own has to do. */
static void mount_proc(const struct child_spec *spec)
{
    int own = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;

    if (own)
        (void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    else if (spec->bind_count)
        die("a mount namespace");
    for (int i = 0; i < spec->bind_count; i++) {
        const struct child_bind *b = &spec->binds[i];
        unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | (b->writable ? 0 : MS_RDONLY);

        if (mount(b->from, b->to, NULL, MS_BIND, NULL) != 0 || mount(NULL, b->to, NULL, flags, NULL) != 0)
            die(b->to);
    }
}

static void place_fds(const struct child_spec *spec)
{
    int high[CHILD_FDS_MAX];

    for (int i = 0; i < spec->fd_count; i++) {
        high[i] = fcntl(spec->fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
        if (high[i] < 0)
            die("fcntl");
    }
    for (int i = 0; i < spec->fd_count; i++) {
        if (dup2(high[i], i) < 0)
            die("dup2");
    }
    if (syscall(SYS_close_range, (unsigned)spec->fd_count, ~0U, 0) != 0)
        die("close_range");
}

static void limit(const struct child_limit *l)
{
    struct rlimit now, next = {l->value, l->value};

    if (getrlimit(l->resource, &now) != 0)
        die("getrlimit");
    if (next.rlim_max > now.rlim_max)
        next.rlim_cur = next.rlim_max = now.rlim_max;
    if (setrlimit(l->resource, &next) != 0)
        die("setrlimit");
}

static void reset_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &dfl, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void enter(const struct child_spec *spec, uid_t uid, gid_t gid, int worker_pidfd)
{
    char score[16];

    if (spec->user_ns)
        map_user(uid, gid);
    for (int i = 0; i < spec->cgroup_count; i++) {
        if (write(spec->cgroups[i], "0", 1) != 1)
            die("joining the cgroup");
    }
    if (spec->oom_score_adj) {
        snprintf(score, sizeof(score), "%d", spec->oom_score_adj);
        write_file("/proc/self/oom_score_adj", score);
    }
    if (spec->pid_ns)
        mount_proc(spec);
    if (spec->net_ns >= 0 && setns(spec->net_ns, CLONE_NEWNET) != 0)
        die("joining the network namespace");
    if (spec->uid >= 0) {
        /* Not glibc's, which would look for the worker's other threads. */
        if (syscall(SYS_setgroups, 0, NULL) != 0 ||
            syscall(SYS_setresgid, spec->uid, spec->uid, spec->uid) != 0 ||
            syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid) != 0)
            die("changing the user");
    }
    /* After the change of user, which would clear it. If the worker died before this line no signal comes any
     * more, so look. */
    if (spec->pid_ns) {
        struct pollfd worker = {.fd = worker_pidfd, .events = POLLIN};

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
            die("PR_SET_PDEATHSIG");
        if (poll(&worker, 1, 0) != 0)
            _exit(127);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("PR_SET_NO_NEW_PRIVS");
}

void child_exec(const struct child_spec *spec, uid_t uid, gid_t gid, int worker_pidfd)
{
    static char *const no_env[] = {NULL};

    /* Messages of the steps before place_fds go where the child's own will. */
    if (spec->fd_count > 2)
        dup2(spec->fds[2], 2);
    enter(spec, uid, gid, worker_pidfd);
    reset_signals();
    place_fds(spec);
    /* Not before: until then it has all of the worker's descriptors. */
    for (int i = 0; i < spec->limit_count; i++)
        limit(&spec->limits[i]);
    execve(spec->argv[0], spec->argv, spec->envp ? spec->envp : no_env);
    die(spec->argv[0]);
}
