/* page_fixture.c: see page_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "page_fixture.h"
#include "page_monitor.h"

struct page_fixture page_fixture = {.memory = -1};

static void on_failure(void *arg, const char *why)
{
    int n = (int)(intptr_t)arg;

    page_fixture.failed[n]++;
    snprintf(page_fixture.failures[n], sizeof(page_fixture.failures[n]), "%s", why);
}

void page_fixture_start(int n, const struct working_set *set)
{
    struct page_server_config config = {.loop = page_fixture.loop,
                                        .path = page_fixture.paths[n],
                                        .uid = (long)geteuid(),
                                        .memory = page_fixture.memory,
                                        .set = set,
                                        .on_failure = on_failure,
                                        .arg = (void *)(intptr_t)n};

    page_fixture.failed[n] = 0;
    page_fixture.failures[n][0] = '\0';
    page_fixture.servers[n] = page_server_new(&config);
    assert_non_null(page_fixture.servers[n]);
}

pid_t page_fixture_fork(void (*monitor)(int n), int n)
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

void page_fixture_turn(double since)
{
    ev_timer tick;

    assert_true(clock_mono_ms() - since < PAGE_FIXTURE_PATIENCE_MS);
    ev_now_update(page_fixture.loop);
    ev_timer_init(&tick, on_tick, 0.005, 0);
    ev_timer_start(page_fixture.loop, &tick);
    ev_run(page_fixture.loop, EVRUN_ONCE);
    ev_timer_stop(page_fixture.loop, &tick);
}

int page_fixture_reap(pid_t pid)
{
    int status = 0;

    UNTIL(waitpid(pid, &status, WNOHANG) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void page_fixture_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(page_fixture_reap(pid), -1);
}

void page_fixture_stop(int n)
{
    page_server_free(page_fixture.servers[n]);
    page_fixture.servers[n] = NULL;
    assert_int_not_equal(access(page_fixture.paths[n], F_OK), 0);
}

int page_fixture_entries(const char *path)
{
    DIR *d = opendir(path);
    int count = 0;

    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

void page_fixture_expect_as_before(int fds, int threads)
{
    assert_int_equal(page_fixture_entries("/proc/self/fd"), fds);
    UNTIL(page_fixture_entries("/proc/self/task") == threads);
}

int page_fixture_set_up(void **state)
{
    (void)state;
    page_fixture.memory = memfd_create("memory", MFD_CLOEXEC);
    assert_int_equal(ftruncate(page_fixture.memory, (off_t)PAGE_MONITOR_SIZE), 0);
    for (unsigned n = 0; n < PAGE_MONITOR_PAGES; n++) {
        uint64_t page[PAGE_MONITOR_PAGE / 8];

        for (unsigned i = 0; i < PAGE_MONITOR_PAGE / 8; i++)
            page[i] = page_monitor_content(n);
        assert_int_equal(pwrite(page_fixture.memory, page, PAGE_MONITOR_PAGE, (off_t)n * PAGE_MONITOR_PAGE),
                         PAGE_MONITOR_PAGE);
    }
    return 0;
}

int page_fixture_tear_down(void **state)
{
    (void)state;
    for (int n = 0; n < PAGE_FIXTURE_SERVERS; n++) {
        page_server_free(page_fixture.servers[n]);
        page_fixture.servers[n] = NULL;
    }
    close(page_fixture.memory);
    return 0;
}

/* Whether this kernel lets us have userfaultfds; also the loop's own descriptors are all there afterwards. */
int page_fixture_set_up_all(void **state)
{
    int fd = page_monitor_userfaultfd();

    (void)state;
    page_fixture.loop = ev_loop_new(0); /* the default one would reap our children */
    if (fd < 0) {
        page_fixture.refused = strerror(errno);
        print_message("no userfaultfd here: %s\n", page_fixture.refused);
    } else {
        close(fd);
    }
    snprintf(page_fixture.folder, sizeof(page_fixture.folder), "/tmp/berth-pages-XXXXXX");
    assert_non_null(mkdtemp(page_fixture.folder));
    for (int n = 0; n < PAGE_FIXTURE_SERVERS; n++)
        snprintf(page_fixture.paths[n], sizeof(page_fixture.paths[n]), "%s/s%d", page_fixture.folder, n);
    page_fixture_set_up(NULL);
    page_fixture_start(0, NULL);
    page_fixture_turn(clock_mono_ms());
    page_fixture_stop(0);
    return page_fixture_tear_down(NULL);
}

int page_fixture_tear_down_all(void **state)
{
    (void)state;
    ev_loop_destroy(page_fixture.loop);
    return rmdir(page_fixture.folder);
}
