/* child.c: see child.h.
 *
 * clone3 instead of fork: it makes the namespaces and gives a pidfd in one step, so that a kill can never hit
 * another process that got the same number. The child then only makes system calls until execve. */
#include "child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"

#define HIGH_FD 100 /* where descriptors are parked while 0, 1, 2 … are filled */

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

/* ---- in the child: system calls only ---- */

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
    for (int i = 0; i < spec->limit_count; i++)
        limit(&spec->limits[i]);
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

static void run(const struct child_spec *spec, uid_t uid, gid_t gid, int worker_pidfd)
    __attribute__((noreturn));
static void run(const struct child_spec *spec, uid_t uid, gid_t gid, int worker_pidfd)
{
    static char *const no_env[] = {NULL};

    /* Messages of the steps before place_fds go where the child's own will. */
    if (spec->fd_count > 2)
        dup2(spec->fds[2], 2);
    enter(spec, uid, gid, worker_pidfd);
    reset_signals();
    place_fds(spec);
    execve(spec->argv[0], spec->argv, spec->envp ? spec->envp : no_env);
    die(spec->argv[0]);
}

/* ---- in the worker ---- */

static pid_t spawn(const struct child_spec *spec, int *pidfd)
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
        run(spec, uid, gid, worker_pidfd);
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
    pid = spawn(spec, &pidfd);
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

/* 0 once it has ended, -1 after limit_ms. Leaves it to be reaped. */
static int wait_end(int pidfd, int limit_ms)
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
    result = wait_end(c->pidfd, limit_ms);
    if (result == 0)
        waitpid(child_pid(c), NULL, 0);
    child_free(c);
    return result;
}

/* ---- programs run to their end ---- */

/* Collects output until the program closes its outputs. 0, or -1 with errno. */
static int collect(int out, struct buf *output, double until)
{
    struct pollfd p = {.fd = out, .events = POLLIN};
    char chunk[4096];

    for (;;) {
        double ms = until - clock_mono_ms();
        ssize_t n;

        if (ms <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        n = poll(&p, 1, (int)ms + 1);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n <= 0)
            continue;
        n = read(out, chunk, sizeof(chunk));
        if (n == 0)
            return 0;
        if (n > 0 && output && output->len < 65536)
            buf_add(output, chunk, (size_t)n);
    }
}

int child_input(const char *text)
{
    int fd = text ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t len = text ? strlen(text) : 0;

    while (fd >= 0 && len) {
        ssize_t n = write(fd, text, len);

        if (n < 0) {
            close(fd);
            return -1;
        }
        text += n;
        len -= (size_t)n;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

int child_run_spec(struct child_spec *spec, const char *input, struct buf *output, int limit_ms)
{
    int in = child_input(input), out[2] = {-1, -1}, pidfd = -1, status = -1, result = -1, saved = 0;
    double until = clock_mono_ms() + limit_ms;
    pid_t pid = -1;

    if (in < 0 || pipe2(out, O_CLOEXEC) != 0)
        goto cleanup;
    spec->fds[0] = in;
    spec->fds[1] = spec->fds[2] = out[1];
    if (spec->fd_count < 3)
        spec->fd_count = 3;
    pid = spawn(spec, &pidfd);
    if (pid < 0)
        goto cleanup;
    close(out[1]);
    out[1] = -1;
    result = collect(out[0], output, until);
    if (result == 0)
        result = wait_end(pidfd, (int)(until - clock_mono_ms()) + 1);
cleanup:
    saved = result == 0 ? 0 : errno ? errno : EIO;
    if (pid > 0) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0)
            close(out[i]);
    }
    if (in >= 0)
        close(in);
    if (pidfd >= 0)
        close(pidfd);
    errno = saved;
    if (result != 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_run(char *const argv[], const char *input, struct buf *output, int limit_ms)
{
    static char *const env[] = {(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                (char *)"LC_ALL=C", NULL};
    struct child_spec spec = {.argv = argv, .envp = env, .net_ns = -1, .uid = -1};

    return child_run_spec(&spec, input, output, limit_ms);
}

void child_describe(int status, char *out, size_t outlen)
{
    if (WIFSIGNALED(status))
        snprintf(out, outlen, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, outlen, "exited with status %d", WEXITSTATUS(status));
}

int child_find_program(const char *name, char *out, size_t outlen)
{
    static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                          "/usr/bin",        "/sbin",          "/bin"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(out, outlen, "%s/%s", folders[i], name);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return -1;
}
