/* page_server.c: see page_server.h. The socket and the monitor's one message (page_server_hello.h) are the
 * loop's business; with what came in it the thread (page_server_io.h) serves faults.
 *
 * Owns everything in struct page_server, what the thread uses too: it is joined before any of it goes. */
#include "page_server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "page_server_hello.h"
#include "page_server_io.h"

#define HUGE_BYTES  (2u << 20)
#define STACK_BYTES (1 << 20)

struct page_server {
    struct ev_loop *loop;
    char *path;
    int folder; /* that the socket is in: the path may be too long for a socket's address */
    long uid;
    int listener;
    uint64_t file_size;
    ev_io acceptable, readable;
    ev_async ended; /* the thread's last act */
    struct page_hello hello;
    struct page_io io;
    pthread_t thread;
    int running;                   /* the thread was started, and not joined */
    _Atomic(const char *) verdict; /* why the thread ended by itself */
    void (*on_failure)(void *arg, const char *why);
    void *arg;
};

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- the thread ---- */

static void *serve(void *arg)
{
    struct page_server *s = arg;
    const char *why;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    why = page_io_run(&s->io);
    if (why) {
        atomic_store(&s->verdict, why);
        ev_async_send(s->loop, &s->ended);
    }
    return NULL;
}

/* Signals are the loop's. 0, or -1 with errno. */
static int start_thread(struct page_server *s)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int e;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    e = pthread_create(&s->thread, &attr, serve, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    errno = e;
    s->running = e == 0;
    return e ? -1 : 0;
}

static void stop_thread(struct page_server *s)
{
    if (!s->running)
        return;
    eventfd_write(s->io.stop, 1);
    pthread_cancel(s->thread); /* only a read that the monitor made blocking is left by this */
    pthread_join(s->thread, NULL);
    s->running = 0;
}

/* ---- ends ---- */

static void stop_listening(struct page_server *s)
{
    const char *name = strrchr(s->path, '/') + 1;

    ev_io_stop(s->loop, &s->acceptable);
    if (s->listener >= 0)
        unlinkat(s->folder, name, 0);
    drop(&s->listener);
}

static void fail(struct page_server *s, const char *why)
{
    ev_io_stop(s->loop, &s->readable);
    stop_listening(s);
    log_warn("page_server_failed", "path=%s error=%s", s->path, why);
    s->on_failure(s->arg, why);
}

static void on_async_ended(struct ev_loop *loop, ev_async *w, int events)
{
    struct page_server *s = w->data;

    (void)loop, (void)events;
    fail(s, atomic_load(&s->verdict));
}

void page_server_free(struct page_server *s)
{
    if (!s)
        return;
    stop_thread(s);
    ev_io_stop(s->loop, &s->readable);
    ev_async_stop(s->loop, &s->ended);
    stop_listening(s);
    drop(&s->folder);
    drop(&s->io.connection);
    drop(&s->io.uffd);
    drop(&s->io.stop);
    if (s->io.memory)
        munmap(s->io.memory, s->file_size);
    if (s->io.zeros)
        munmap(s->io.zeros, HUGE_BYTES);
    free(s->io.removed);
    free(s->io.set.ranges);
    free(s->path);
    free(s);
}

/* ---- what the monitor says ---- */

static int has_huge_pages(const struct page_io *io)
{
    for (int i = 0; i < io->region_count; i++)
        if (io->regions[i].page == HUGE_BYTES)
            return 1;
    return 0;
}

/* The regions and the userfaultfd have come. NULL: the thread serves; else what is wrong. */
static const char *begin(struct page_server *s)
{
    if (has_huge_pages(&s->io)) {
        void *zeros = mmap(NULL, HUGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (zeros == MAP_FAILED)
            return strerror(errno);
        s->io.zeros = zeros;
    }
    s->io.removed = mem_alloc(s->file_size / PAGE_BYTES / 8 + 1);
    return start_thread(s) ? strerror(errno) : NULL;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct page_server *s = w->data;
    char wrong[128];
    const char *why = wrong;

    (void)events;
    switch (page_hello_read(&s->hello, &s->io, s->file_size, wrong, sizeof(wrong))) {
    case PAGE_HELLO_MORE:
        return;
    case PAGE_HELLO_WHOLE:
        why = begin(s);
        break;
    case PAGE_HELLO_WRONG:
        break;
    }
    ev_io_stop(loop, &s->readable);
    if (why)
        fail(s, why);
}

/* ---- the socket ---- */

static int is_allowed(const struct page_server *s, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return s->uid < 0 ||
           (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (long)peer.uid == s->uid);
}

static void on_acceptable(struct ev_loop *loop, ev_io *w, int events)
{
    struct page_server *s = w->data;
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    if (!is_allowed(s, fd)) {
        close(fd);
        return;
    }
    stop_listening(s);
    s->io.connection = fd;
    ev_io_set(&s->readable, fd, EV_READ);
    ev_io_start(loop, &s->readable);
}

/* 0, or -1 with errno. */
static int listen_at(struct page_server *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *slash = strrchr(s->path, '/');
    const char *name = slash + 1;

    *slash = '\0';
    s->folder = open(slash == s->path ? "/" : s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *slash = '/';
    if (s->folder < 0)
        return -1;
    if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", s->folder, name) >=
        (int)sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (unlinkat(s->folder, name, 0) != 0 && errno != ENOENT)
        return -1;
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0)
        return -1;
    if (bind(s->listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(s->listener, 4) != 0)
        return -1;
    if (s->uid < 0)
        return 0;
    return fchownat(s->folder, name, (uid_t)s->uid, (gid_t)s->uid, AT_SYMLINK_NOFOLLOW);
}

/* 0, or -1 with errno. The mapping is only ever read by the kernel for us, which takes pages that a shorter
 * file does not have for an error, not for a signal. */
static int map_memory(struct page_server *s, int memory)
{
    struct stat file;
    void *at;

    if (fstat(memory, &file) != 0)
        return -1;
    if (file.st_size < PAGE_BYTES) {
        errno = EINVAL;
        return -1;
    }
    s->file_size = (uint64_t)file.st_size;
    at = mmap(NULL, s->file_size, PROT_READ, MAP_SHARED, memory, 0);
    if (at == MAP_FAILED)
        return -1;
    s->io.memory = at;
    return 0;
}

static void copy_set(struct working_set *to, const struct working_set *from)
{
    if (!from || from->count == 0)
        return;
    to->ranges = mem_alloc(from->count * sizeof(*to->ranges));
    memcpy(to->ranges, from->ranges, from->count * sizeof(*to->ranges));
    to->count = from->count;
    to->pages = from->pages;
}

struct page_server *page_server_new(const struct page_server_config *config)
{
    struct page_server *s;
    int e;

    if (!strchr(config->path, '/')) {
        errno = EINVAL;
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->loop = config->loop;
    s->path = mem_strdup(config->path);
    s->uid = config->uid;
    s->on_failure = config->on_failure;
    s->arg = config->arg;
    s->folder = s->listener = s->io.uffd = s->io.connection = -1;
    ev_io_init(&s->acceptable, on_acceptable, -1, EV_READ);
    ev_io_init(&s->readable, on_readable, -1, EV_READ);
    ev_async_init(&s->ended, on_async_ended);
    s->acceptable.data = s->readable.data = s->ended.data = s;
    copy_set(&s->io.set, config->set);
    s->io.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->io.stop < 0 || map_memory(s, config->memory) || listen_at(s)) {
        e = errno;
        page_server_free(s);
        errno = e;
        return NULL;
    }
    ev_async_start(s->loop, &s->ended);
    ev_io_set(&s->acceptable, s->listener, EV_READ);
    ev_io_start(s->loop, &s->acceptable);
    return s;
}

void page_server_stats(const struct page_server *s, struct page_server_stats *out)
{
    *out = (struct page_server_stats){
        .connected = s->running,
        .faults = atomic_load(&s->io.faults),
        .prefetched = atomic_load(&s->io.prefetched),
        .zeros = atomic_load(&s->io.zeroed),
        .fault_us = (double)atomic_load(&s->io.fault_us),
    };
}
