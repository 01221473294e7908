/* reach.c: attacks that look for what is not the berth's: addresses, sockets, files, processes, memory. */
#include "hostile.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_S 4.0
#define PAIRS_MAX 100
#define HELD_MAX  32 /* its own are above */

static socklen_t address(struct sockaddr_storage *out, const char *host, const char *port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        return sizeof(*v4);
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)atoi(port));
    inet_pton(AF_INET6, host, &v6->sin6_addr);
    return sizeof(*v6);
}

static int begin(const char *host, const char *port, int type)
{
    struct sockaddr_storage to;
    socklen_t len = address(&to, host, port);
    int fd = socket(to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* All at once: what gives no answer is told from what refuses. */
void attack_tcp(int argc, char **argv)
{
    int fds[PAIRS_MAX], count = argc / 2 < PAIRS_MAX ? argc / 2 : PAIRS_MAX, left = count;
    double until = hostile_now() + CONNECT_S;
    char key[100];

    for (int i = 0; i < count; i++) {
        fds[i] = begin(argv[2 * i], argv[2 * i + 1], SOCK_STREAM);
        if (fds[i] < 0) {
            snprintf(key, sizeof(key), "tcp %s %s", argv[2 * i], argv[2 * i + 1]);
            hostile_outcome(key, -1);
            left--;
        }
    }
    while (left > 0) {
        int late = hostile_now() > until;

        for (int i = 0; i < count; i++) {
            struct pollfd p = {.fd = fds[i], .events = POLLOUT};
            int error = ETIMEDOUT;
            socklen_t len = sizeof(error);

            if (fds[i] < 0 || (poll(&p, 1, 0) == 0 && !late))
                continue;
            if (p.revents)
                getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &len);
            snprintf(key, sizeof(key), "tcp %s %s", argv[2 * i], argv[2 * i + 1]);
            errno = error;
            hostile_outcome(key, error ? -1 : 0);
            close(fds[i]);
            fds[i] = -1;
            left--;
        }
        usleep(2000);
    }
}

void attack_udp(int argc, char **argv)
{
    for (int i = 0; i + 1 < argc; i += 2) {
        int fd = begin(argv[i], argv[i + 1], SOCK_DGRAM);
        char key[100];

        snprintf(key, sizeof(key), "udp %s %s", argv[i], argv[i + 1]);
        hostile_outcome(key, fd < 0 ? -1 : send(fd, "hostile", 7, 0));
        if (fd >= 0)
            close(fd);
    }
}

void attack_unix(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        size_t len = strlen(argv[i]);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char key[200];

        if (len >= sizeof(to.sun_path))
            len = sizeof(to.sun_path) - 1;
        memcpy(to.sun_path, argv[i], len);
        if (*argv[i] == '@')
            to.sun_path[0] = '\0';
        snprintf(key, sizeof(key), "unix %.180s", argv[i]);
        hostile_outcome(key, connect(fd, (struct sockaddr *)&to,
                                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)));
        close(fd);
    }
}

void attack_files(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        char key[300], byte;
        struct dirent *e = NULL;
        DIR *d;

        snprintf(key, sizeof(key), "read %.280s", argv[i]);
        d = fd >= 0 ? fdopendir(fd) : NULL;
        while (d && (e = readdir(d)) && e->d_name[0] == '.')
            ;
        /* A folder that is there but empty tells nothing. */
        if (d)
            errno = ENOENT;
        hostile_outcome(key, fd < 0 ? -1 : d ? (e ? 0 : -1) : read(fd, &byte, 1) == 1 ? 0 : -1);
        if (d)
            closedir(d);
        else if (fd >= 0)
            close(fd);
    }
}

void attack_write(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        size_t len = strlen(argv[i]);
        char path[300], key[300];
        int fd;

        /* "…/" is a folder to make something in, all else is to be opened. */
        snprintf(path, sizeof(path), "%.250s%s", argv[i], argv[i][len - 1] == '/' ? "hostile" : "");
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | (argv[i][len - 1] == '/' ? O_CREAT : 0), 0666);
        snprintf(key, sizeof(key), "write %.280s", argv[i]);
        hostile_outcome(key, fd);
        if (fd >= 0) {
            close(fd);
            if (argv[i][len - 1] == '/')
                unlink(path);
        }
    }
}

/* The file's first byte as it is, so that it stays the same where it could be written. */
static int rewrite(int fd, int to)
{
    char byte;

    return pread(fd, &byte, 1, 0) == 1 && pwrite(to, &byte, 1, 0) == 1 ? 0 : -1;
}

/* Descriptors that came with it: written through, opened anew for writing, mapped to be written. What others
 * share with it must not change. */
void attack_held(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int fd = 0; fd < HELD_MAX; fd++) {
        struct stat st;
        char path[64], key[64];
        void *at;
        int again;

        if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        snprintf(key, sizeof(key), "held %d written", fd);
        hostile_outcome(key, rewrite(fd, fd));
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        again = open(path, O_RDWR | O_CLOEXEC);
        snprintf(key, sizeof(key), "held %d opened and written", fd);
        hostile_outcome(key, again < 0 ? -1 : rewrite(fd, again));
        at = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, again < 0 ? fd : again, 0);
        snprintf(key, sizeof(key), "held %d mapped", fd);
        hostile_outcome(key, at == MAP_FAILED ? -1 : 0);
        if (at != MAP_FAILED)
            munmap(at, 1);
        if (again >= 0)
            close(again);
    }
}

/* Where it is, how the super block and the mount may be written, what it is; "in PATH" for a name in cgroups.
 */
void attack_mounts(int argc, char **argv)
{
    char line[4096];
    FILE *f = fopen("/proc/self/mountinfo", "re");

    (void)argc;
    (void)argv;
    while (f && fgets(line, sizeof(line), f)) {
        char where[1024], options[256], type[64];
        const char *rest = strstr(line, " - ");

        if (rest && sscanf(line, "%*s %*s %*s %*s %1023s %255s", where, options) == 2 &&
            sscanf(rest, " - %63s", type) == 1)
            hostile_say("mount %s %s %s", where, options, type);
    }
    if (f)
        fclose(f);
    f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        hostile_say("cgroup %s", line);
    }
    if (f)
        fclose(f);
    if (gethostname(line, sizeof(line)) == 0)
        hostile_say("hostname %s", line);
}

void attack_shm(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        void *at = shmat(atoi(argv[i]), NULL, 0);
        char key[64];

        snprintf(key, sizeof(key), "shm %.20s", argv[i]);
        hostile_outcome(key, at == (void *)-1 ? -1 : 0);
        if (at != (void *)-1)
            hostile_say("shm text: %.40s", (char *)at);
    }
}

/* The names of all processes that can be seen, and whether each of them can be touched. */
void attack_processes(int argc, char **argv)
{
    DIR *d = opendir("/proc");
    struct dirent *e;

    (void)argc;
    (void)argv;
    while (d && (e = readdir(d))) {
        char path[300], name[64] = "?";
        FILE *f;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
        f = fopen(path, "re");
        if (f && fgets(name, sizeof(name), f))
            name[strcspn(name, "\n")] = '\0';
        if (f)
            fclose(f);
        snprintf(path, sizeof(path), "/proc/%.20s/mem", e->d_name);
        hostile_say("process %s %s kill=%d mem=%d", e->d_name, name, kill(atoi(e->d_name), 0) == 0,
                    access(path, R_OK) == 0);
    }
    if (d)
        closedir(d);
}

void attack_listen(int argc, char **argv)
{
    static const char text[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    struct sockaddr_storage at;
    socklen_t len = address(&at, "0.0.0.0", argc > 0 ? argv[0] : "0");
    int fd = socket(AF_INET, SOCK_STREAM, 0), peer;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 16) != 0) {
        hostile_outcome("listen", -1);
        return;
    }
    hostile_outcome("listen", 0);
    if (fork() != 0)
        return;
    while ((peer = accept(fd, NULL, NULL)) >= 0) {
        char request[4096];

        (void)!read(peer, request, sizeof(request));
        (void)!write(peer, text, sizeof(text) - 1);
        close(peer);
    }
}

void attack_hold(int argc, char **argv)
{
    int fd = argc == 2 ? begin(argv[0], argv[1], SOCK_STREAM) : -1, error = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(error);

    if (fd >= 0 && poll(&p, 1, (int)(CONNECT_S * 1000)) == 1)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    else
        error = ETIMEDOUT;
    errno = error;
    hostile_outcome("hold", error ? -1 : 0);
    for (int i = 0; i < 3; i++) {
        if (fork() != 0)
            continue;
        setsid();
        if (fork() != 0)
            _exit(0);
        for (int sig = 1; sig < NSIG; sig++)
            signal(sig, SIG_IGN);
        prctl(PR_SET_NAME, "hostile-stays", 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
        for (;;) {
            (void)!write(fd, "x", 1);
            usleep(50000);
        }
    }
}
