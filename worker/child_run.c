/* child_run.c: programs run to their end, blocking. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "child_internal.h"

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
    pid = child_spawn(spec, &pidfd);
    if (pid < 0)
        goto cleanup;
    close(out[1]);
    out[1] = -1;
    result = collect(out[0], output, until);
    if (result == 0)
        result = child_wait_end(pidfd, (int)(until - clock_mono_ms()) + 1);
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
