/* page_monitor.c: see page_monitor.h. */
#include "page_monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "page_fixture.h"

unsigned page_monitor_unit = PAGE_MONITOR_PAGE;

uint64_t page_monitor_content(unsigned n)
{
    return 0x9e3779b97f4a7c15u * (n + 1);
}

int page_monitor_is(const unsigned char *page, uint64_t word)
{
    for (unsigned i = 0; i < PAGE_MONITOR_PAGE / 8; i++)
        if (((const volatile uint64_t *)page)[i] != word)
            return 0;
    return 1;
}

int page_monitor_userfaultfd(void)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

        if (device < 0)
            return -1;
        fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        close(device);
    }
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int page_monitor_connect(int n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir = open(page_fixture.folder, O_PATH), fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/s%d", dir, n);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        _exit(90);
    return fd;
}

int page_monitor_send(int connection, const char *text, size_t len, const int *fds, int count)
{
    union {
        char space[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {(void *)(uintptr_t)text, len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (count) {
        struct cmsghdr *c = &control.align;

        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
    }
    return sendmsg(connection, &m, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

void page_monitor_regions(char *out, size_t size, const struct page_monitor *m)
{
    snprintf(
        out, size,
        "[{\"base_host_virt_addr\":%llu,\"size\":%zu,\"offset\":%zu,\"page_size\":%u,\"page_size_kib\":%u},"
        "{\"base_host_virt_addr\":%llu,\"size\":%zu,\"offset\":0,\"page_size\":%u,\"page_size_kib\":%u}]",
        (unsigned long long)(uintptr_t)m->mem, PAGE_MONITOR_HALF, PAGE_MONITOR_HALF, page_monitor_unit,
        page_monitor_unit, (unsigned long long)(uintptr_t)(m->mem + PAGE_MONITOR_HALF), PAGE_MONITOR_HALF,
        page_monitor_unit, page_monitor_unit);
}

unsigned char *page_monitor_place(const struct page_monitor *m, unsigned n)
{
    return m->mem + (n < PAGE_MONITOR_PAGES / 2 ? PAGE_MONITOR_HALF : 0) +
           (size_t)(n % (PAGE_MONITOR_PAGES / 2)) * PAGE_MONITOR_PAGE;
}

void page_monitor_open(struct page_monitor *m, int n)
{
    struct uffdio_register r = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    int huge = page_monitor_unit == PAGE_MONITOR_HUGE ? MAP_HUGETLB | PAGE_MONITOR_MAP_2MB : 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    m->uffd = page_monitor_userfaultfd();
    m->mem = mmap(NULL, PAGE_MONITOR_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | huge, -1, 0);
    r.range.start = (uintptr_t)m->mem;
    r.range.len = PAGE_MONITOR_SIZE;
    if (m->uffd < 0 || m->mem == MAP_FAILED || ioctl(m->uffd, UFFDIO_REGISTER, &r) != 0)
        _exit(91);
    m->connection = page_monitor_connect(n);
}

void page_monitor_begin(struct page_monitor *m, int n)
{
    char text[512];

    page_monitor_open(m, n);
    page_monitor_regions(text, sizeof(text), m);
    if (page_monitor_send(m->connection, text, strlen(text), &m->uffd, 1))
        _exit(92);
}

void page_monitor_expect_all(const struct page_monitor *m)
{
    for (unsigned i = 0; i < PAGE_MONITOR_PAGES; i++) {
        unsigned n = i * 769 % PAGE_MONITOR_PAGES; /* every page, in no order */

        if (!page_monitor_is(page_monitor_place(m, n), page_monitor_content(n)))
            _exit(1);
    }
}

void page_monitor_reads_all(int n)
{
    struct page_monitor m;

    page_monitor_begin(&m, n);
    page_monitor_expect_all(&m);
    _exit(0);
}

void page_monitor_waits(int n)
{
    struct page_monitor m;

    page_monitor_begin(&m, n);
    if (!page_monitor_is(page_monitor_place(&m, 7), page_monitor_content(7)))
        _exit(1);
    for (;;)
        pause();
}
