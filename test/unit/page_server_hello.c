/* links: worker/page_server.c worker/page_server_hello.c worker/page_server_io.c */
/* links: test/support/page_fixture.c test/support/page_monitor.c */
/* page_server_hello.c: the monitor's one message: in pieces, and nonsense of every kind, which fails its own
 * machine only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/support/page_fixture.h"
#include "test/support/page_monitor.h"

/* The message byte for byte, its descriptor with the first one. */
static void speaks_slowly(int n)
{
    struct page_monitor m;
    char text[512];

    page_monitor_open(&m, n);
    page_monitor_regions(text, sizeof(text), &m);
    for (size_t i = 0; text[i]; i++)
        if (page_monitor_send(m.connection, text + i, 1, &m.uffd, i == 0))
            _exit(92);
    page_monitor_expect_all(&m);
    _exit(0);
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
    struct page_monitor m;
    char text[1024];
    size_t len = 0;
    int fds[2];

    page_monitor_open(&m, n);
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
    if (page_monitor_send(m.connection, text, len, fds, told->fds < 0 ? 1 : told->fds))
        _exit(92);
    if (told->fds == -2)
        _exit(0);
    (void)page_monitor_is(m.mem + PAGE_MONITOR_SIZE - PAGE_MONITOR_PAGE, 0); /* hangs */
    _exit(0);
}

static void test_slow_message(void **state)
{
    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(0, NULL);
    assert_int_equal(page_fixture_reap(page_fixture_fork(speaks_slowly, 0)), 0);
    assert_int_equal(page_fixture.failed[0], 0);
    page_fixture_stop(0);
}

/* Each fails its own machine, and is told; the one beside it goes on. */
static void test_nonsense(void **state)
{
    struct page_server_stats stats;
    int fds, threads;
    pid_t beside;

    (void)state;
    if (page_fixture.refused)
        skip();
    page_fixture_start(1, NULL);
    beside = page_fixture_fork(page_monitor_waits, 1);
    UNTIL((page_server_stats(page_fixture.servers[1], &stats), stats.faults > 0));
    fds = page_fixture_entries("/proc/self/fd");
    threads = page_fixture_entries("/proc/self/task");
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
        pid_t pid;

        told = &nonsense[i];
        page_fixture_start(0, NULL);
        pid = page_fixture_fork(speaks_nonsense, 0);
        UNTIL(page_fixture.failed[0]);
        assert_int_equal(page_fixture.failed[0], 1);
        if (!strstr(page_fixture.failures[0], told->why))
            fail_msg("%s: %s", told->text, page_fixture.failures[0]);
        kill(pid, SIGKILL);
        page_fixture_reap(pid);
        page_fixture_stop(0);
    }
    page_fixture_expect_as_before(fds, threads);
    assert_int_equal(page_fixture.failed[1], 0);
    page_fixture_kill(beside);
    page_fixture_stop(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAGE_TEST(test_slow_message),
        PAGE_TEST(test_nonsense),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, page_fixture_set_up_all, page_fixture_tear_down_all);
}
