/* page_server_io.c: see page_server_io.h.
 *
 * Faults come first; between them the working set is copied, a few pages at a time. What the kernel cannot
 * take now (EAGAIN: the guest is giving memory back, and the event of that has to be read first) is not
 * kept: the page's waiters are woken and ask again. */
#include "page_server_io.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HUGE_BYTES  (2u << 20)
#define MESSAGES    64 /* read at a time */
#define BATCH_PAGES 64 /* of the working set, between two looks for faults */

/* What came of an attempt; what is wrong with a failed one is in errno. */
enum outcome { DONE, LATER, GONE, FAILED };

/* ---- regions ---- */

static const char *check_region(const struct page_region *r, uint64_t file_size)
{
    if (r->page != PAGE_BYTES && r->page != HUGE_BYTES)
        return "a region's page size is neither 4 KiB nor 2 MiB";
    if (r->size == 0 || r->size % r->page || r->base % r->page || r->offset % PAGE_BYTES)
        return "a region is not of whole pages";
    if (r->size > file_size || r->offset > file_size - r->size)
        return "a region is outside of the snapshot's memory";
    if (r->base > UINT64_MAX - r->size)
        return "a region wraps around";
    return NULL;
}

static int overlap(uint64_t a, uint64_t b, const struct page_region *x, const struct page_region *y)
{
    return a < b + y->size && b < a + x->size;
}

const char *page_io_check(const struct page_io *io, uint64_t file_size)
{
    const char *why = io->region_count ? NULL : "there is no region";

    for (int i = 0; i < io->region_count && !why; i++) {
        const struct page_region *x = &io->regions[i];

        why = check_region(x, file_size);
        for (int k = 0; k < i && !why; k++) {
            const struct page_region *y = &io->regions[k];

            if (overlap(x->base, y->base, x, y) || overlap(x->offset, y->offset, x, y))
                why = "two regions overlap";
        }
    }
    return why;
}

static const struct page_region *region_at(const struct page_io *io, uint64_t address)
{
    for (int i = 0; i < io->region_count; i++)
        if (address - io->regions[i].base < io->regions[i].size)
            return &io->regions[i];
    return NULL;
}

static const struct page_region *region_of(const struct page_io *io, uint64_t offset)
{
    for (int i = 0; i < io->region_count; i++)
        if (offset - io->regions[i].offset < io->regions[i].size)
            return &io->regions[i];
    return NULL;
}

/* ---- what the guest gave back ---- */

static int is_removed(const struct page_io *io, uint64_t offset)
{
    uint64_t page = offset / PAGE_BYTES;

    return io->removed[page / 8] >> page % 8 & 1;
}

static void remove_range(struct page_io *io, uint64_t start, uint64_t end)
{
    for (int i = 0; i < io->region_count; i++) {
        const struct page_region *r = &io->regions[i];
        uint64_t from = start > r->base ? start : r->base;
        uint64_t to = end < r->base + r->size ? end : r->base + r->size;

        for (; from < to; from += PAGE_BYTES) {
            uint64_t page = (from - r->base + r->offset) / PAGE_BYTES;

            io->removed[page / 8] |= (unsigned char)(1 << page % 8);
        }
    }
}

/* ---- filling ---- */

static void wake(const struct page_io *io, uint64_t address, uint64_t len)
{
    struct uffdio_range range = {address, len};

    (void)ioctl(io->uffd, UFFDIO_WAKE, &range);
}

/* ENOENT: that memory is not registered any more, whoever waited there has been let go. */
static enum outcome outcome_of(int error)
{
    switch (error) {
    case EAGAIN:
        return LATER;
    case ENOENT:
        return DONE;
    case ESRCH:
        return GONE;
    default:
        errno = error;
        return FAILED;
    }
}

/* Fills len bytes at address, all in region r, from there; pages that are there already stay as they are. */
static enum outcome copy(const struct page_io *io, const struct page_region *r, uint64_t address,
                         const unsigned char *from, uint64_t len)
{
    while (len > 0) {
        struct uffdio_copy c = {.dst = address, .src = (uintptr_t)from, .len = len};
        uint64_t done;
        int error = ioctl(io->uffd, UFFDIO_COPY, &c) == 0 ? 0 : errno;

        if (error == 0)
            return DONE;
        if (c.copy > 0) {
            done = (uint64_t)c.copy;
        } else if (error == EEXIST) {
            wake(io, address, r->page);
            done = r->page;
        } else {
            return outcome_of(error);
        }
        address += done;
        from += done;
        len -= done < len ? done : len;
    }
    return DONE;
}

static enum outcome zero(const struct page_io *io, const struct page_region *r, uint64_t address)
{
    struct uffdio_zeropage z = {.range = {address, r->page}};

    if (r->page != PAGE_BYTES)
        return copy(io, r, address, io->zeros, r->page);
    if (ioctl(io->uffd, UFFDIO_ZEROPAGE, &z) == 0)
        return DONE;
    if (errno != EEXIST)
        return outcome_of(errno);
    wake(io, address, r->page);
    return DONE;
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static enum outcome serve_fault(struct page_io *io, uint64_t address)
{
    const struct page_region *r = region_at(io, address);
    uint64_t begun = now_us(), offset;
    enum outcome o;
    int zeros;

    if (!r) {
        errno = EADDRNOTAVAIL;
        return FAILED;
    }
    address -= (address - r->base) % r->page;
    offset = address - r->base + r->offset;
    zeros = is_removed(io, offset);
    o = zeros ? zero(io, r, address) : copy(io, r, address, io->memory + offset, r->page);
    if (o == LATER)
        wake(io, address, r->page);
    if (o != DONE)
        return o;
    atomic_fetch_add(zeros ? &io->zeroed : &io->faults, 1);
    atomic_fetch_add(&io->fault_us, now_us() - begun);
    return DONE;
}

/* ---- events ---- */

/* The monitor may have made the descriptor blocking since: a read that blocks is left by cancelling it. */
static ssize_t read_events(int fd, struct uffd_msg *events, size_t size)
{
    int old;
    ssize_t n;

    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    n = read(fd, events, size);
    pthread_setcancelstate(old, NULL);
    return n;
}

static enum outcome serve_events(struct page_io *io)
{
    struct uffd_msg events[MESSAGES];
    ssize_t n = read_events(io->uffd, events, sizeof(events));
    enum outcome o = DONE;
    size_t count;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? DONE : FAILED;
    if (n == 0)
        return GONE;
    count = (size_t)n / sizeof(*events);
    for (size_t i = 0; i < count; i++) {
        if (events[i].event == UFFD_EVENT_REMOVE)
            remove_range(io, events[i].arg.remove.start, events[i].arg.remove.end);
        else if (events[i].event == UFFD_EVENT_FORK) /* not ours to serve */
            close((int)events[i].arg.fork.ufd);
    }
    for (size_t i = 0; i < count && (o == DONE || o == LATER); i++)
        if (events[i].event == UFFD_EVENT_PAGEFAULT)
            o = serve_fault(io, events[i].arg.pagefault.address);
    return o == LATER ? DONE : o;
}

/* ---- ahead of demand ---- */

static int has_more(const struct page_io *io)
{
    return io->range < io->set.count;
}

static void advance(struct page_io *io, unsigned pages)
{
    io->page += pages;
    if (io->page >= io->set.ranges[io->range].count) {
        io->range++;
        io->page = 0;
    }
}

/* The next pages of the working set: one run of them, or some that are not to be copied. */
static enum outcome prefetch(struct page_io *io)
{
    const struct working_set_range *range = &io->set.ranges[io->range];
    uint64_t offset = ((uint64_t)range->first + io->page) * PAGE_BYTES, in_region;
    const struct page_region *r = region_of(io, offset);
    unsigned pages = range->count - io->page, n;
    enum outcome o;

    if (!r || is_removed(io, offset)) {
        advance(io, 1);
        return DONE;
    }
    in_region = offset - r->offset;
    if (r->page != PAGE_BYTES) { /* what has one small page has the huge one around it */
        in_region -= in_region % r->page;
        n = (unsigned)((in_region + r->page + r->offset - offset) / PAGE_BYTES);
        n = n < pages ? n : pages;
        o = copy(io, r, r->base + in_region, io->memory + r->offset + in_region, r->page);
    } else {
        pages = pages < BATCH_PAGES ? pages : BATCH_PAGES;
        for (n = 1; n < pages && in_region + n * PAGE_BYTES < r->size; n++)
            if (is_removed(io, offset + n * PAGE_BYTES))
                break;
        o = copy(io, r, r->base + in_region, io->memory + offset, n * PAGE_BYTES);
    }
    if (o == LATER)
        return DONE;
    if (o == DONE) {
        atomic_fetch_add(&io->prefetched, n);
        advance(io, n);
    }
    return o;
}

/* ---- the thread ---- */

/* The connection has nothing more to say: its end is the monitor's. */
static enum outcome hear(const struct page_io *io)
{
    char byte;
    ssize_t n = recv(io->connection, &byte, 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return DONE;
    if (n <= 0)
        return GONE;
    errno = EPROTO;
    return FAILED;
}

const char *page_io_run(struct page_io *io)
{
    enum outcome o = DONE;

    while (o == DONE) {
        struct pollfd fds[3] = {{io->stop, POLLIN, 0}, {io->connection, POLLIN, 0}, {io->uffd, POLLIN, 0}};

        if (poll(fds, 3, has_more(io) ? 0 : -1) < 0 && errno != EINTR)
            return strerror(errno);
        if (fds[0].revents)
            return NULL;
        if (fds[1].revents)
            o = hear(io);
        if (o == DONE && fds[2].revents & POLLIN)
            o = serve_events(io);
        else if (o == DONE && fds[2].revents)
            return "the userfaultfd cannot be polled";
        if (o == DONE && has_more(io))
            o = prefetch(io);
    }
    return o == GONE ? NULL : strerror(errno);
}
