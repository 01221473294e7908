/* links: worker/page_server.c worker/page_server_hello.c worker/page_server_io.c */
/* links: test/support/page_fixture.c test/support/page_monitor.c */
/* page_server.c: a page server's machines are served their pages: when they ask, ahead of that, after they
 * gave them back; and nothing is left of a server, however it or its monitor ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/support/page_fixture.h"
#include "test/support/page_monitor.h"

/* A balloon can take huge pages, too, from Linux 5.18 on. */
static void gives_back_huge(int n)
{
    struct page_monitor m;

    page_monitor_begin(&m, n);
    page_monitor_expect_all(&m);
    if (madvise(page_monitor_place(&m, 0), PAGE_MONITOR_HUGE, MADV_DONTNEED) != 0)
        _exit(errno == EINVAL ? 0 : 2);
    for (unsigned i = 0; i < PAGE_MONITOR_HUGE / PAGE_MONITOR_PAGE; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), 0))
            _exit(3);
    if (!page_monitor_is(page_monitor_place(&m, PAGE_MONITOR_HUGE / PAGE_MONITOR_PAGE),
                         page_monitor_content(PAGE_MONITOR_HUGE / PAGE_MONITOR_PAGE)))
        _exit(4);
    _exit(0);
}

/* A balloon: pages that were there or not are given back, while another thread of it faults. */
static void gives_back(int n)
{
    struct page_monitor m;

    page_monitor_begin(&m, n);
    for (unsigned i = 0; i < 64; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), page_monitor_content(i)))
            _exit(1);
    if (madvise(page_monitor_place(&m, 32), 64 * PAGE_MONITOR_PAGE, MADV_DONTNEED) != 0)
        _exit(2);
    for (unsigned i = 0; i < 32; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), page_monitor_content(i)))
            _exit(3);
    for (unsigned i = 32; i < 96; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), 0))
            _exit(4);
    for (unsigned i = 96; i < 128; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), page_monitor_content(i)))
            _exit(5);
    _exit(0);
}

/* One thread reads while another gives back: the kernel says EAGAIN to who fills meanwhile. */
static void *give_back_all(void *arg)
{
    const struct page_monitor *m = arg;

    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < PAGE_MONITOR_PAGES; i += 16)
            if (madvise(m->mem + (size_t)i * PAGE_MONITOR_PAGE, 16 * PAGE_MONITOR_PAGE, MADV_DONTNEED) != 0)
                _exit(2);
    return NULL;
}

static void gives_back_at_once(int n)
{
    struct page_monitor m;
    pthread_t other;

    page_monitor_begin(&m, n);
    if (pthread_create(&other, NULL, give_back_all, &m) != 0)
        _exit(93);
    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < PAGE_MONITOR_PAGES; i++) {
            uint64_t word = *(const volatile uint64_t *)page_monitor_place(&m, i);

            if (word != page_monitor_content(i) && word != 0)
                _exit(1);
        }
    pthread_join(other, NULL);
    for (unsigned i = 0; i < PAGE_MONITOR_PAGES; i++)
        if (!page_monitor_is(page_monitor_place(&m, i), 0))
            _exit(3);
    _exit(0);
}

/* Its descriptor blocks, and it takes the events itself: the server's read may wait for ever. */
static void takes_events_itself(int n)
{
    struct page_monitor m;
    struct uffd_msg event;

    page_monitor_begin(&m, n);
    if (!page_monitor_is(page_monitor_place(&m, 7), page_monitor_content(7)))
        _exit(1);
    for (;;) {
        fcntl(m.uffd, F_SETFL, 0);
        fcntl(m.uffd, F_SETFL, O_NONBLOCK);
        (void)!read(m.uffd, &event, sizeof(event));
    }
}

static void test_serves(void **state)
{
    struct page_server_stats stats;

    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(0, NULL);
    assert_int_equal(page_fixture_reap(page_fixture_fork(page_monitor_reads_all, 0)), 0);
    page_server_stats(page_fixture.servers[0], &stats);
    assert_int_equal(stats.connected, 1);
    assert_int_equal(stats.faults, PAGE_MONITOR_PAGES);
    assert_int_equal(stats.prefetched, 0);
    assert_int_equal(page_fixture.failed[0], 0);
    print_message("%u faults, %.1f us each\n", PAGE_MONITOR_PAGES, stats.fault_us / PAGE_MONITOR_PAGES);
    page_fixture_stop(0);
}

static void test_prefetches(void **state)
{
    /* The last ones are no pages of the file. */
    struct working_set_range ranges[] = {{1000, 300}, {5, 1}, {0, 20}, {2000, 100}, {90000, 3}};
    struct working_set set = {ranges, 5, 424};
    struct page_server_stats stats;
    pid_t pid;

    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(0, &set);
    pid = page_fixture_fork(page_monitor_waits, 0);
    UNTIL((page_server_stats(page_fixture.servers[0], &stats), stats.prefetched >= 300 + 1 + 20 + 48));
    page_fixture_kill(pid);
    page_fixture_stop(0);
    page_fixture_start(0, &set);
    assert_int_equal(page_fixture_reap(page_fixture_fork(page_monitor_reads_all, 0)), 0);
    page_server_stats(page_fixture.servers[0], &stats);
    assert_true(stats.faults >= PAGE_MONITOR_PAGES - (300 + 20 + 48));
    assert_true(stats.faults <= PAGE_MONITOR_PAGES);
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
}

/* Without pages that the host has set aside there is nothing to see. */
static void test_huge_pages(void **state)
{
    struct page_server_stats stats;
    void *probe = mmap(NULL, PAGE_MONITOR_SIZE, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | PAGE_MONITOR_MAP_2MB, -1, 0);

    (void)state;
    if (probe == MAP_FAILED)
        print_message("skipped: no huge pages here: %s\n", strerror(errno));
    else
        munmap(probe, PAGE_MONITOR_SIZE);
    if (page_fixture.refused || probe == MAP_FAILED)
        skip();
    page_monitor_unit = PAGE_MONITOR_HUGE;
    page_fixture_start(0, NULL);
    assert_int_equal(page_fixture_reap(page_fixture_fork(gives_back_huge, 0)), 0);
    page_server_stats(page_fixture.servers[0], &stats);
    assert_int_equal(stats.faults, PAGE_MONITOR_SIZE / PAGE_MONITOR_HUGE);
    assert_true(stats.zeros <= 1);
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
    page_monitor_unit = PAGE_MONITOR_PAGE;
}

static void test_given_back(void **state)
{
    struct page_server_stats stats;

    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(0, NULL);
    assert_int_equal(page_fixture_reap(page_fixture_fork(gives_back, 0)), 0);
    page_server_stats(page_fixture.servers[0], &stats);
    assert_int_equal(stats.zeros, 64);
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
    page_fixture_start(0, NULL);
    assert_int_equal(page_fixture_reap(page_fixture_fork(gives_back_at_once, 0)), 0);
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
}

/* However the monitor is when the server goes: nothing is left, and it is no failure. */
static void test_ends(void **state)
{
    static void (*const monitors[])(int n) = {page_monitor_waits, takes_events_itself,
                                              page_monitor_reads_all};
    struct page_server_stats stats;
    int fds, threads;

    (void)state;
    if (page_fixture.refused)
        skip();
    fds = page_fixture_entries("/proc/self/fd");
    threads = page_fixture_entries("/proc/self/task");
    page_fixture_start(0, NULL); /* nobody came */
    page_fixture_stop(0);
    page_fixture_expect_as_before(fds, threads);
    for (size_t i = 0; i < sizeof(monitors) / sizeof(*monitors); i++) {
        for (int killed_first = 0; killed_first < 2; killed_first++) {
            pid_t pid;

            page_fixture_start(0, NULL);
            pid = page_fixture_fork(monitors[i], 0);
            UNTIL((page_server_stats(page_fixture.servers[0], &stats),
                   stats.faults > 0 || page_fixture.failed[0]));
            if (killed_first) {
                kill(pid, SIGKILL);
                page_fixture_reap(pid);
            }
            if (monitors[i] != takes_events_itself)
                assert_int_equal(page_fixture.failed[0], 0);
            page_fixture_stop(0);
            if (!killed_first) {
                kill(pid, SIGKILL);
                page_fixture_reap(pid);
            }
            page_fixture_expect_as_before(fds, threads);
        }
    }
}

/* The file lost its second half: who asks for what is not there is to be killed, the worker lives. */
static void test_short_file(void **state)
{
    pid_t pid;

    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(0, NULL);
    assert_int_equal(ftruncate(page_fixture.memory, PAGE_MONITOR_HALF), 0);
    pid = page_fixture_fork(page_monitor_reads_all, 0);
    UNTIL(page_fixture.failed[0]);
    assert_int_equal(page_fixture.failed[0], 1);
    page_fixture_kill(pid);
    page_fixture_stop(0);
}

static void comes_as_nobody(int n)
{
    if (setuid(65534) != 0)
        _exit(94);
    page_monitor_connect(n);
    _exit(0);
}

static void test_strangers(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root to be somebody else\n");
        skip();
    }
    page_fixture_start(0, NULL);
    assert_int_equal(chmod(page_fixture.folder, 0755), 0);
    assert_int_equal(chmod(page_fixture.paths[0], 0777), 0);
    assert_int_equal(page_fixture_reap(page_fixture_fork(comes_as_nobody, 0)), 0);
    if (!page_fixture.refused)
        assert_int_equal(page_fixture_reap(page_fixture_fork(page_monitor_reads_all, 0)),
                         0); /* it goes on listening */
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
}

static void test_refuses(void **state)
{
    struct page_server_config config = {
        .loop = page_fixture.loop, .path = "/nonexistent/folder/s", .uid = -1, .memory = page_fixture.memory};
    int zero = open("/dev/zero", O_RDONLY), fds = page_fixture_entries("/proc/self/fd");

    (void)state;
    assert_null(page_server_new(&config));
    assert_int_equal(errno, ENOENT);
    config.path = "s";
    assert_null(page_server_new(&config));
    config.path = page_fixture.paths[0];
    config.memory = zero;
    assert_null(page_server_new(&config));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(page_fixture_entries("/proc/self/fd"), fds);
    close(zero);
    page_server_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAGE_TEST(test_serves),     PAGE_TEST(test_prefetches), PAGE_TEST(test_given_back),
        PAGE_TEST(test_huge_pages), PAGE_TEST(test_ends),       PAGE_TEST(test_short_file),
        PAGE_TEST(test_strangers),  PAGE_TEST(test_refuses),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, page_fixture_set_up_all, page_fixture_tear_down_all);
}
