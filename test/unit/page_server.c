/* links: worker/page_server.c worker/page_server_hello.c worker/page_server_io.c */
/* Unit tests of the page server. The monitor is a child process with a real userfaultfd: it registers memory
 * of its own, sends what a monitor sends (or nonsense), and looks at what it finds in its pages. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "worker/page_server.h"

#define PAGE        4096u
#define HUGE_PAGE   (2u << 20)
#define HUGE_2MB    (21 << 26) /* of mmap, with MAP_HUGETLB */
#define PAGES       2048u      /* of the snapshot's memory */
#define SIZE        ((size_t)PAGES * PAGE)
#define HALF        (SIZE / 2)
#define PATIENCE_MS 90000
#define SERVERS     2

static struct ev_loop *loop;
static int memory = -1;
static char folder[64], paths[SERVERS][256];
static struct page_server *servers[SERVERS];
static char failures[SERVERS][200];
static int failed[SERVERS];
static const char *refused;  /* why there are no userfaultfds here */
static unsigned unit = PAGE; /* the pages of the monitor's memory */

/* ---- the monitor: none of this may assert, a child's verdict is its exit status ---- */

struct monitor {
    int uffd, connection;
    unsigned char *mem;
};

/* What page n of the snapshot has in all of its words. */
static uint64_t content(unsigned n)
{
    return 0x9e3779b97f4a7c15u * (n + 1);
}

static int page_is(const unsigned char *page, uint64_t word)
{
    for (unsigned i = 0; i < PAGE / 8; i++)
        if (((const volatile uint64_t *)page)[i] != word)
            return 0;
    return 1;
}

static int open_userfaultfd(void)
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

static int connect_to(int n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir = open(folder, O_PATH), fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/s%d", dir, n);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        _exit(90);
    return fd;
}

static int send_with(int connection, const char *text, size_t len, const int *fds, int count)
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

/* Memory in two halves that lie the other way round than in the file. */
static void regions(char *out, size_t size, const struct monitor *m)
{
    snprintf(
        out, size,
        "[{\"base_host_virt_addr\":%llu,\"size\":%zu,\"offset\":%zu,\"page_size\":%u,\"page_size_kib\":%u},"
        "{\"base_host_virt_addr\":%llu,\"size\":%zu,\"offset\":0,\"page_size\":%u,\"page_size_kib\":%u}]",
        (unsigned long long)(uintptr_t)m->mem, HALF, HALF, unit, unit,
        (unsigned long long)(uintptr_t)(m->mem + HALF), HALF, unit, unit);
}

/* Where page n of the file is in the monitor's memory. */
static unsigned char *place(const struct monitor *m, unsigned n)
{
    return m->mem + (n < PAGES / 2 ? HALF : 0) + (size_t)(n % (PAGES / 2)) * PAGE;
}

static void monitor_open(struct monitor *m, int n)
{
    struct uffdio_register r = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    int huge = unit == HUGE_PAGE ? MAP_HUGETLB | HUGE_2MB : 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    m->uffd = open_userfaultfd();
    m->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | huge, -1, 0);
    r.range.start = (uintptr_t)m->mem;
    r.range.len = SIZE;
    if (m->uffd < 0 || m->mem == MAP_FAILED || ioctl(m->uffd, UFFDIO_REGISTER, &r) != 0)
        _exit(91);
    m->connection = connect_to(n);
}

static void monitor_begin(struct monitor *m, int n)
{
    char text[512];

    monitor_open(m, n);
    regions(text, sizeof(text), m);
    if (send_with(m->connection, text, strlen(text), &m->uffd, 1))
        _exit(92);
}

static void expect_all(const struct monitor *m)
{
    for (unsigned i = 0; i < PAGES; i++) {
        unsigned n = i * 769 % PAGES; /* every page, in no order */

        if (!page_is(place(m, n), content(n)))
            _exit(1);
    }
}

static void reads_all(int n)
{
    struct monitor m;

    monitor_begin(&m, n);
    expect_all(&m);
    _exit(0);
}

/* A balloon can take huge pages, too, from Linux 5.18 on. */
static void gives_back_huge(int n)
{
    struct monitor m;

    monitor_begin(&m, n);
    expect_all(&m);
    if (madvise(place(&m, 0), HUGE_PAGE, MADV_DONTNEED) != 0)
        _exit(errno == EINVAL ? 0 : 2);
    for (unsigned i = 0; i < HUGE_PAGE / PAGE; i++)
        if (!page_is(place(&m, i), 0))
            _exit(3);
    if (!page_is(place(&m, HUGE_PAGE / PAGE), content(HUGE_PAGE / PAGE)))
        _exit(4);
    _exit(0);
}

/* A balloon: pages that were there or not are given back, while another thread of it faults. */
static void gives_back(int n)
{
    struct monitor m;

    monitor_begin(&m, n);
    for (unsigned i = 0; i < 64; i++)
        if (!page_is(place(&m, i), content(i)))
            _exit(1);
    if (madvise(place(&m, 32), 64 * PAGE, MADV_DONTNEED) != 0)
        _exit(2);
    for (unsigned i = 0; i < 32; i++)
        if (!page_is(place(&m, i), content(i)))
            _exit(3);
    for (unsigned i = 32; i < 96; i++)
        if (!page_is(place(&m, i), 0))
            _exit(4);
    for (unsigned i = 96; i < 128; i++)
        if (!page_is(place(&m, i), content(i)))
            _exit(5);
    _exit(0);
}

/* One thread reads while another gives back: the kernel says EAGAIN to who fills meanwhile. */
static void *give_back_all(void *arg)
{
    const struct monitor *m = arg;

    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < PAGES; i += 16)
            if (madvise(m->mem + (size_t)i * PAGE, 16 * PAGE, MADV_DONTNEED) != 0)
                _exit(2);
    return NULL;
}

static void gives_back_at_once(int n)
{
    struct monitor m;
    pthread_t other;

    monitor_begin(&m, n);
    if (pthread_create(&other, NULL, give_back_all, &m) != 0)
        _exit(93);
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < PAGES; i++) {
            uint64_t word = *(const volatile uint64_t *)place(&m, i);

            if (word != content(i) && word != 0)
                _exit(1);
        }
    pthread_join(other, NULL);
    for (unsigned i = 0; i < PAGES; i++)
        if (!page_is(place(&m, i), 0))
            _exit(3);
    _exit(0);
}

/* The message byte for byte, its descriptor with the first one. */
static void speaks_slowly(int n)
{
    struct monitor m;
    char text[512];

    monitor_open(&m, n);
    regions(text, sizeof(text), &m);
    for (size_t i = 0; text[i]; i++)
        if (send_with(m.connection, text + i, 1, &m.uffd, i == 0))
            _exit(92);
    expect_all(&m);
    _exit(0);
}

static void waits_to_be_killed(int n)
{
    struct monitor m;

    monitor_begin(&m, n);
    if (!page_is(place(&m, 7), content(7)))
        _exit(1);
    for (;;)
        pause();
}

/* Its descriptor blocks, and it takes the events itself: the server's read may wait for ever. */
static void takes_events_itself(int n)
{
    struct monitor m;
    struct uffd_msg event;

    monitor_begin(&m, n);
    if (!page_is(place(&m, 7), content(7)))
        _exit(1);
    for (;;) {
        fcntl(m.uffd, F_SETFL, 0);
        fcntl(m.uffd, F_SETFL, O_NONBLOCK);
        (void)!read(m.uffd, &event, sizeof(event));
    }
}

/* Hostile messages. %B: the base of its memory. */
static const struct nonsense {
    const char *text;
    int fds;         /* 1: its userfaultfd, 2: that twice, -1: another descriptor */
    const char *why; /* is part of what the worker is told */
} nonsense[] = {
    {"hello", 1, "no array"},
    {"{\"base_host_virt_addr\":1}", 1, "no array"},
    {"[", -2, "hung up"},
    {"[1,2,]", 1, ""},
    {"[]", 1, "no region"},
    {"[7]", 1, "lacks"},
    {"[{}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":%B,\"size\":\"4096\",\"offset\":0,\"page_size\":4096}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":-4096,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":1e300,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096.5,\"offset\":0,\"page_size\":4096}]", 1, "lacks"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0,\"page_size\":512}]", 1, "page size"},
    {"[{\"base_host_virt_addr\":%B,\"size\":0,\"offset\":0,\"page_size\":4096}]", 1, "whole pages"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4095,\"offset\":0,\"page_size\":4096}]", 1, "whole pages"},
    {"[{\"base_host_virt_addr\":17,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 1, "whole pages"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":1,\"page_size\":4096}]", 1, "whole pages"},
    {"[{\"base_host_virt_addr\":%B,\"size\":8392704,\"offset\":0,\"page_size\":4096}]", 1, "outside"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":8388608,\"page_size\":4096}]", 1, "outside"},
    {"[{\"base_host_virt_addr\":%B,\"size\":8388608,\"offset\":4096,\"page_size\":4096}]", 1, "outside"},
    {"[{\"base_host_virt_addr\":%B,\"size\":8192,\"offset\":0,\"page_size\":4096},"
     "{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":8192,\"page_size\":4096}]",
     1, "overlap"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 0, "no descriptor"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 2, "more than one"},
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0,\"page_size\":4096}]", -1, "no userfaultfd"},
    /* Regions that are not all of what it registered: the rest cannot be served. */
    {"[{\"base_host_virt_addr\":%B,\"size\":4096,\"offset\":0,\"page_size\":4096}]", 1, ""},
};

static const struct nonsense *told; /* to the next child */

static void speaks_nonsense(int n)
{
    struct monitor m;
    char text[1024];
    size_t len = 0;
    int fds[2];

    monitor_open(&m, n);
    for (const char *p = told->text; *p; p++) {
        if (p[0] == '%') {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%llu",
                                    (unsigned long long)(uintptr_t)m.mem);
            p++;
        } else {
            text[len++] = *p;
        }
    }
    fds[0] = fds[1] = told->fds == -1 ? open("/dev/zero", O_RDONLY) : m.uffd;
    if (send_with(m.connection, text, len, fds, told->fds < 0 ? 1 : told->fds))
        _exit(92);
    if (told->fds == -2)
        _exit(0);
    (void)page_is(m.mem + SIZE - PAGE, 0); /* hangs */
    _exit(0);
}

/* ---- the worker ---- */

static void on_failure(void *arg, const char *why)
{
    int n = (int)(intptr_t)arg;

    failed[n]++;
    snprintf(failures[n], sizeof(failures[n]), "%s", why);
}

static void start(int n, const struct working_set *set)
{
    struct page_server_config config = {.loop = loop,
                                        .path = paths[n],
                                        .uid = (long)geteuid(),
                                        .memory = memory,
                                        .set = set,
                                        .on_failure = on_failure,
                                        .arg = (void *)(intptr_t)n};

    failed[n] = 0;
    failures[n][0] = '\0';
    servers[n] = page_server_new(&config);
    assert_non_null(servers[n]);
}

static pid_t run_child(void (*monitor)(int n), int n)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        monitor(n);
        _exit(99);
    }
    return pid;
}

static void on_tick(struct ev_loop *l, ev_timer *t, int events)
{
    (void)l, (void)t, (void)events;
}

/* Turns the loop once, for 5 ms at most. */
static void turn(double since)
{
    ev_timer tick;

    assert_true(clock_mono_ms() - since < PATIENCE_MS);
    ev_now_update(loop);
    ev_timer_init(&tick, on_tick, 0.005, 0);
    ev_timer_start(loop, &tick);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &tick);
}

#define UNTIL(condition)                                                                                     \
    do                                                                                                       \
        for (double since_ = clock_mono_ms(); !(condition);)                                                 \
            turn(since_);                                                                                    \
    while (0)

/* Its exit status; -1: a signal. */
static int reap(pid_t pid)
{
    int status = 0;

    UNTIL(waitpid(pid, &status, WNOHANG) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void kill_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(reap(pid), -1);
}

static void stop(int n)
{
    page_server_free(servers[n]);
    servers[n] = NULL;
    assert_int_not_equal(access(paths[n], F_OK), 0);
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int count = 0;

    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* A thread that has been joined may be seen for another moment. */
static void expect_as_before(int fds, int threads)
{
    assert_int_equal(entries("/proc/self/fd"), fds);
    UNTIL(entries("/proc/self/task") == threads);
}

static void test_serves(void **state)
{
    struct page_server_stats stats;

    (void)state;
    if (refused)
        skip();
    start(0, NULL);
    assert_int_equal(reap(run_child(reads_all, 0)), 0);
    page_server_stats(servers[0], &stats);
    assert_int_equal(stats.connected, 1);
    assert_int_equal(stats.faults, PAGES);
    assert_int_equal(stats.prefetched, 0);
    assert_int_equal(failed[0], 0);
    print_message("%u faults, %.1f us each\n", PAGES, stats.fault_us / PAGES);
    stop(0);
}

static void test_prefetches(void **state)
{
    /* The last ones are no pages of the file. */
    struct working_set_range ranges[] = {{1000, 300}, {5, 1}, {0, 20}, {2000, 100}, {90000, 3}};
    struct working_set set = {ranges, 5, 424};
    struct page_server_stats stats;
    pid_t pid;

    (void)state;
    if (refused)
        skip();
    start(0, &set);
    pid = run_child(waits_to_be_killed, 0);
    UNTIL((page_server_stats(servers[0], &stats), stats.prefetched >= 300 + 1 + 20 + 48));
    kill_child(pid);
    stop(0);
    start(0, &set);
    assert_int_equal(reap(run_child(reads_all, 0)), 0);
    page_server_stats(servers[0], &stats);
    assert_true(stats.faults >= PAGES - (300 + 20 + 48));
    assert_true(stats.faults <= PAGES);
    assert_int_equal(failed[0], 0);
    stop(0);
}

/* Without pages that the host has set aside there is nothing to see. */
static void test_huge_pages(void **state)
{
    struct page_server_stats stats;
    void *probe = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | HUGE_2MB, -1, 0);

    (void)state;
    if (probe == MAP_FAILED)
        print_message("skipped: no huge pages here: %s\n", strerror(errno));
    else
        munmap(probe, SIZE);
    if (refused || probe == MAP_FAILED)
        skip();
    unit = HUGE_PAGE;
    start(0, NULL);
    assert_int_equal(reap(run_child(gives_back_huge, 0)), 0);
    page_server_stats(servers[0], &stats);
    assert_int_equal(stats.faults, SIZE / HUGE_PAGE);
    assert_true(stats.zeros <= 1);
    assert_int_equal(failed[0], 0);
    stop(0);
    unit = PAGE;
}

static void test_given_back(void **state)
{
    struct page_server_stats stats;

    (void)state;
    if (refused)
        skip();
    start(0, NULL);
    assert_int_equal(reap(run_child(gives_back, 0)), 0);
    page_server_stats(servers[0], &stats);
    assert_int_equal(stats.zeros, 64);
    assert_int_equal(failed[0], 0);
    stop(0);
    start(0, NULL);
    assert_int_equal(reap(run_child(gives_back_at_once, 0)), 0);
    assert_int_equal(failed[0], 0);
    stop(0);
}

static void test_slow_message(void **state)
{
    (void)state;
    if (refused)
        skip();
    start(0, NULL);
    assert_int_equal(reap(run_child(speaks_slowly, 0)), 0);
    assert_int_equal(failed[0], 0);
    stop(0);
}

/* Each fails its own machine, and is told; the one beside it goes on. */
static void test_nonsense(void **state)
{
    struct page_server_stats stats;
    int fds, threads;
    pid_t beside;

    (void)state;
    if (refused)
        skip();
    start(1, NULL);
    beside = run_child(waits_to_be_killed, 1);
    UNTIL((page_server_stats(servers[1], &stats), stats.faults > 0));
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
        pid_t pid;

        told = &nonsense[i];
        start(0, NULL);
        pid = run_child(speaks_nonsense, 0);
        UNTIL(failed[0]);
        assert_int_equal(failed[0], 1);
        if (!strstr(failures[0], told->why))
            fail_msg("%s: %s", told->text, failures[0]);
        kill(pid, SIGKILL);
        reap(pid);
        stop(0);
    }
    expect_as_before(fds, threads);
    assert_int_equal(failed[1], 0);
    kill_child(beside);
    stop(1);
}

/* However the monitor is when the server goes: nothing is left, and it is no failure. */
static void test_ends(void **state)
{
    static void (*const monitors[])(int n) = {waits_to_be_killed, takes_events_itself, reads_all};
    struct page_server_stats stats;
    int fds, threads;

    (void)state;
    if (refused)
        skip();
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    start(0, NULL); /* nobody came */
    stop(0);
    expect_as_before(fds, threads);
    for (size_t i = 0; i < sizeof(monitors) / sizeof(*monitors); i++) {
        for (int killed_first = 0; killed_first < 2; killed_first++) {
            pid_t pid;

            start(0, NULL);
            pid = run_child(monitors[i], 0);
            UNTIL((page_server_stats(servers[0], &stats), stats.faults > 0 || failed[0]));
            if (killed_first) {
                kill(pid, SIGKILL);
                reap(pid);
            }
            if (monitors[i] != takes_events_itself)
                assert_int_equal(failed[0], 0);
            stop(0);
            if (!killed_first) {
                kill(pid, SIGKILL);
                reap(pid);
            }
            expect_as_before(fds, threads);
        }
    }
}

/* The file lost its second half: who asks for what is not there is to be killed, the worker lives. */
static void test_short_file(void **state)
{
    pid_t pid;

    (void)state;
    if (refused)
        skip();
    start(0, NULL);
    assert_int_equal(ftruncate(memory, HALF), 0);
    pid = run_child(reads_all, 0);
    UNTIL(failed[0]);
    assert_int_equal(failed[0], 1);
    kill_child(pid);
    stop(0);
}

static void comes_as_nobody(int n)
{
    if (setuid(65534) != 0)
        _exit(94);
    connect_to(n);
    _exit(0);
}

static void test_strangers(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root to be somebody else\n");
        skip();
    }
    start(0, NULL);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(paths[0], 0777), 0);
    assert_int_equal(reap(run_child(comes_as_nobody, 0)), 0);
    if (!refused)
        assert_int_equal(reap(run_child(reads_all, 0)), 0); /* it goes on listening */
    assert_int_equal(failed[0], 0);
    stop(0);
}

static void test_refuses(void **state)
{
    struct page_server_config config = {
        .loop = loop, .path = "/nonexistent/folder/s", .uid = -1, .memory = memory};
    int zero = open("/dev/zero", O_RDONLY), fds = entries("/proc/self/fd");

    (void)state;
    assert_null(page_server_new(&config));
    assert_int_equal(errno, ENOENT);
    config.path = "s";
    assert_null(page_server_new(&config));
    config.path = paths[0];
    config.memory = zero;
    assert_null(page_server_new(&config));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(entries("/proc/self/fd"), fds);
    close(zero);
    page_server_free(NULL);
}

/* ---- fixture ---- */

static int set_up(void **state)
{
    (void)state;
    memory = memfd_create("memory", MFD_CLOEXEC);
    assert_int_equal(ftruncate(memory, (off_t)SIZE), 0);
    for (unsigned n = 0; n < PAGES; n++) {
        uint64_t page[PAGE / 8];

        for (unsigned i = 0; i < PAGE / 8; i++)
            page[i] = content(n);
        assert_int_equal(pwrite(memory, page, PAGE, (off_t)n * PAGE), PAGE);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int n = 0; n < SERVERS; n++) {
        page_server_free(servers[n]);
        servers[n] = NULL;
    }
    close(memory);
    return 0;
}

/* Whether this kernel lets us have userfaultfds; also the loop's own descriptors are all there afterwards. */
static int set_up_all(void **state)
{
    int fd = open_userfaultfd();

    (void)state;
    loop = ev_loop_new(0); /* the default one would reap our children */
    if (fd < 0) {
        refused = strerror(errno);
        print_message("no userfaultfd here: %s\n", refused);
    } else {
        close(fd);
    }
    snprintf(folder, sizeof(folder), "/tmp/berth-pages-XXXXXX");
    assert_non_null(mkdtemp(folder));
    for (int n = 0; n < SERVERS; n++)
        snprintf(paths[n], sizeof(paths[n]), "%s/s%d", folder, n);
    set_up(NULL);
    start(0, NULL);
    turn(clock_mono_ms());
    stop(0);
    return tear_down(NULL);
}

static int tear_down_all(void **state)
{
    (void)state;
    ev_loop_destroy(loop);
    return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_serves),       TEST(test_prefetches), TEST(test_given_back), TEST(test_huge_pages),
        TEST(test_slow_message), TEST(test_nonsense),   TEST(test_ends),       TEST(test_short_file),
        TEST(test_strangers),    TEST(test_refuses),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
