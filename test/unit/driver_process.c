/* links: test/support/process_fixture.c worker/cgroup.c worker/cgroup_find.c worker/cgroup_tree.c */
/* links: worker/cgroup_usage.c worker/child.c worker/child_exec.c worker/child_run.c */
/* links: worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c worker/driver/berth_cgroup.c worker/driver/dial.c */
/* links: worker/driver/process.c worker/driver/process_flags.c worker/driver/process_open.c */
/* links: worker/driver/process_output.c worker/driver/process_probe.c worker/driver/process_spawn.c */
/* links: worker/egress.c worker/host_lock.c worker/isolation.c worker/jail.c worker/jail_filter.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c */
/* links: worker/net_pool.c worker/net_rules.c worker/net_shape.c worker/net_sockets.c */
/* links: worker/net_space.c worker/net_tap.c worker/net_wipe.c worker/netlink.c */
/* driver_process.c: the process driver's berths with a real Chromium: started, stopped, failing, killed with
 * their worker; nothing may be left, whatever is killed. Without root: what then works. BERTH_TEST_CYCLES:
 * how many starts (default 10). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "test/support/process_fixture.h"

#define BERTHS    PROCESS_FIXTURE_BERTHS
#define NOBODY    65534
#define KILL_MS   60000.0 /* in which everything has to be gone after the worker was killed */
#define KILL_RUNS 8

/* Network namespaces among this test's processes: Chromium's own sandbox gives its renderers one more. */
static int network_namespaces(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    char seen[8][64];
    int n = 0;

    while ((e = readdir(d))) {
        char path[300], name[64] = "";
        struct stat st;
        int known = 0;

        snprintf(path, sizeof(path), "/proc/%s/ns/net", e->d_name);
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || lstat(path, &st) != 0 ||
            st.st_uid < process_fixture.uid_base || st.st_uid >= process_fixture.uid_base + BERTHS ||
            readlink(path, name, sizeof(name) - 1) <= 0)
            continue;
        for (int i = 0; i < n; i++)
            known |= strcmp(seen[i], name) == 0;
        if (!known && n < 8)
            memcpy(seen[n++], name, sizeof(name));
    }
    closedir(d);
    return n;
}

static int by_size(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* GET /json/version over a connection of the driver's. */
static void assert_answers(int berth)
{
    static const char request[] = "GET /json/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char got[4096] = "";
    int fd = driver_process.connect(process_fixture.driver, berth);

    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), (ssize_t)sizeof(request) - 1);
    assert_true(read(fd, got, sizeof(got) - 1) > 0);
    assert_non_null(strstr(got, "200 OK"));
    close(fd);
}

static void test_cycles(void **state)
{
    int cycles = getenv("BERTH_TEST_CYCLES") ? atoi(getenv("BERTH_TEST_CYCLES")) : 10;
    double *start, *stop;

    (void)state;
    process_fixture_open_or_skip();
    start = calloc((size_t)cycles, sizeof(*start));
    stop = calloc((size_t)cycles, sizeof(*stop));
    assert_string_equal(process_fixture.isolation, "full");
    for (int i = 0; i < cycles; i++) {
        struct driver_usage usage;
        int idle[2] = {-1, -1};

        start[i] = clock_mono_ms();
        driver_process.start(process_fixture.driver, i % BERTHS, &process_fixture.profile);
        assert_int_equal(process_fixture.ups, i);
        process_fixture_wait(&process_fixture.ups, i + 1);
        start[i] = clock_mono_ms() - start[i];
        assert_answers(i % BERTHS);
        assert_true(network_namespaces() >= 2);
        assert_int_equal(driver_process.usage(process_fixture.driver, i % BERTHS, &usage), 0);
        assert_true(usage.memory_kb > 1000 && usage.cpu_seconds > 0 && usage.processes > 2);
        driver_process.set_active(process_fixture.driver, i % BERTHS, 1);
        /* Connections that are open when the browser is killed leave sockets in the namespace. */
        for (int k = 0; k < 2; k++)
            idle[k] = driver_process.connect(process_fixture.driver, i % BERTHS);
        stop[i] = clock_mono_ms();
        process_fixture_stop(i % BERTHS);
        stop[i] = clock_mono_ms() - stop[i];
        close(idle[0]);
        close(idle[1]);
        assert_int_equal(process_fixture_processes(), 0);
        assert_int_equal(driver_process.usage(process_fixture.driver, i % BERTHS, &usage), -1);
    }
    assert_int_equal(process_fixture.downs, 0);
    process_fixture_close();
    qsort(start, (size_t)cycles, sizeof(*start), by_size);
    qsort(stop, (size_t)cycles, sizeof(*stop), by_size);
    print_message("%d cycles: start to up %.0f ms, stop to clean %.0f ms (medians; slowest %.0f and %.0f)\n",
                  cycles, start[cycles / 2], stop[cycles / 2], start[cycles - 1], stop[cycles - 1]);
    free(start);
    free(stop);
}

static void test_stop_any_time(void **state)
{
    (void)state;
    process_fixture_open_or_skip();
    process_fixture_stop(0); /* idle */
    for (int i = 0; i < 6; i++) {
        double until;

        driver_process.start(process_fixture.driver, 0, &process_fixture.profile);
        for (until = clock_mono_ms() + i * 12; clock_mono_ms() < until;)
            ev_run(process_fixture.loop, EVRUN_NOWAIT);
        driver_process.stop(process_fixture.driver, 0);
        driver_process.stop(process_fixture.driver, 0);
        process_fixture_wait(&process_fixture.cleans, i + 2);
        assert_int_equal(process_fixture_processes(), 0);
    }
    assert_int_equal(process_fixture.downs, 0);
    process_fixture_close();
}

static void test_failures(void **state)
{
    struct profile bad = process_fixture.profile;
    DIR *d;
    struct dirent *e;

    (void)state;
    process_fixture_open_or_skip();
    bad.browser = (char *)"/usr/bin/false";
    driver_process.start(process_fixture.driver, 0, &bad);
    process_fixture_wait(&process_fixture.downs, 1);
    assert_non_null(strstr(process_fixture.why, "exited with status 1"));
    process_fixture_stop(0);
    bad.browser = (char *)"/nonexistent/browser";
    driver_process.start(process_fixture.driver, 0, &bad);
    assert_int_equal(process_fixture.downs, 1); /* never from inside the call */
    process_fixture_wait(&process_fixture.downs, 2);
    assert_non_null(strstr(process_fixture.why, "/nonexistent/browser"));
    process_fixture_stop(0);
    /* A browser that dies by itself. */
    driver_process.start(process_fixture.driver, 0, &process_fixture.profile);
    process_fixture_wait(&process_fixture.ups, 1);
    d = opendir("/proc");
    while ((e = readdir(d))) {
        char path[300], name[64] = "";
        struct stat st;
        int fd, pid = atoi(e->d_name);

        snprintf(path, sizeof(path), "/proc/%.40s/comm", e->d_name);
        if (pid <= 0 || stat(path, &st) != 0 || st.st_uid != process_fixture.uid_base)
            continue;
        fd = open(path, O_RDONLY);
        if (fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "chrom", 5) == 0)
            kill(pid, SIGSEGV);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    process_fixture_wait(&process_fixture.downs, 3);
    assert_int_equal(driver_process.connect(process_fixture.driver, 0), -1);
    process_fixture_stop(0);
    process_fixture_close();
}

static void test_one_worker_of_a_name(void **state)
{
    char err[400];
    struct driver *first;

    (void)state;
    process_fixture_open_or_skip();
    first = process_fixture.driver;
    assert_int_equal(process_fixture_open(err), -1);
    assert_non_null(strstr(err, "already runs on this host"));
    process_fixture.driver = first;
    process_fixture_close();
}

/* A worker in a process of its own that starts all its berths and says so. The reading end of its pipe. */
static int fork_worker(pid_t *pid)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *pid = fork();
    assert_true(*pid >= 0);
    if (*pid == 0) {
        char err[400];

        ev_loop_fork(process_fixture.loop);
        if (process_fixture_open(err) != 0)
            _exit(1);
        for (int i = 0; i < BERTHS; i++)
            driver_process.start(process_fixture.driver, i, &process_fixture.profile);
        (void)!write(ends[1], "s", 1);
        while (process_fixture.ups < BERTHS)
            ev_run(process_fixture.loop, 0);
        (void)!write(ends[1], "u", 1);
        for (;;)
            ev_run(process_fixture.loop, 0);
    }
    close(ends[1]);
    return ends[0];
}

static void reap_all(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* kill -9 of the worker, with browsers up and at any moment of their start: the kernel ends them all. */
static void test_kill_worker(void **state)
{
    double slowest = 0;

    (void)state;
    process_fixture_open_or_skip();
    process_fixture_close();
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int run = 0; run < KILL_RUNS; run++) {
        pid_t pid;
        int pipe_end = fork_worker(&pid);
        double killed, now, until;
        char c;

        assert_int_equal(read(pipe_end, &c, 1), 1);
        if (run == 0) {
            assert_int_equal(read(pipe_end, &c, 1), 1);
            assert_true(process_fixture_processes() > 4);
        } else {
            for (until = clock_mono_ms() + run * 3; clock_mono_ms() < until;)
                sched_yield();
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        killed = now = clock_mono_ms();
        while (process_fixture_processes() > 0 && now - killed < KILL_MS)
            now = clock_mono_ms();
        slowest = now - killed > slowest ? now - killed : slowest;
        assert_int_equal(process_fixture_processes(), 0);
        close(pipe_end);
        reap_all();
    }
    print_message("killed %d workers: all browsers gone in %.0f ms at most\n", KILL_RUNS, slowest);
    /* The next one of that name finds the namespaces and removes them. */
    assert_int_equal(process_fixture_names("/run/netns", process_fixture.worker_id), BERTHS);
    process_fixture_open_or_skip();
    reap_all();
    process_fixture_close();
}

static void test_without_root(void **state)
{
    pid_t pid;
    int status;

    (void)state;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char err[400];

        ev_loop_fork(process_fixture.loop);
        if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(2);
        prctl(PR_SET_DUMPABLE, 1);
        if (process_fixture_open(err) != 0) {
            print_message("no jail without root here: %s\n", err);
            _exit(0);
        }
        if (!strstr(process_fixture.isolation, "no-network-namespace"))
            _exit(3);
        driver_process.start(process_fixture.driver, 0, &process_fixture.profile);
        process_fixture_wait(&process_fixture.ups, 1);
        assert_answers(0);
        process_fixture_stop(0);
        driver_process.close(process_fixture.driver);
        _exit(waitpid(-1, NULL, WNOHANG) == -1 ? 0 : 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_worker),          cmocka_unit_test(test_without_root),
        cmocka_unit_test(test_one_worker_of_a_name), cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_stop_any_time),        cmocka_unit_test(test_failures),
    };

    log_init("test", "error", "text");
    process_fixture_init();
    return cmocka_run_group_tests_name("driver_process", tests, NULL, NULL);
}
