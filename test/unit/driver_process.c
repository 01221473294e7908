/* links: worker/driver/process.c worker/driver/process_open.c worker/driver/process_flags.c */
/* links: worker/driver/process_output.c worker/driver/process_probe.c worker/child.c worker/child_exec.c */
/* links: worker/child_run.c worker/host_lock.c worker/driver/process_spawn.c */
/* links: worker/cgroup.c worker/cgroup_find.c worker/disk_limit.c */
/* links: worker/jail.c worker/jail_filter.c worker/egress.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c worker/net_pool.c */
/* links: worker/net_shape.c worker/net_sockets.c worker/net_space.c worker/net_tap.c worker/net_wipe.c */
/* links: worker/netlink.c */
/* links: worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c worker/dns_upstream.c */
/* links: worker/driver/berth_cgroup.c worker/driver/dial.c worker/isolation.c */
/* Tests of the process driver with a real Chromium. As root: networks, cgroups and rules are real too, and
 * whatever is killed, nothing may be left. Without root: what then works. BERTH_TEST_CYCLES: how many starts
 * (default 10). */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "worker/child.h"
#include "worker/driver.h"
#include "worker/driver/process_flags.h"
#include "worker/profile.h"

#define BERTHS    2
#define TURN_S    180.0 /* longer than anything here takes */
#define NOBODY    65534
#define KILL_MS   60000.0 /* in which everything has to be gone after the worker was killed */
#define KILL_RUNS 8

static const struct driver_ops *ops = &driver_process;
static struct ev_loop *loop;
static struct driver *driver;
static char worker_id[64], isolation[128], why[400], ws_path[256];
static long uid_base;
static int ups, downs, cleans;
static char *no_list[] = {NULL};
static struct settings settings;
static struct profile profile;
static const struct profile_set *profiles; /* what the driver is told of them: nothing, most of the time */

/* ---- events ---- */

static void on_up(void *arg, int berth, const char *path, const struct driver_timings *t)
{
    (void)arg;
    (void)berth;
    assert_true(t->ready_ms > 0);
    snprintf(ws_path, sizeof(ws_path), "%s", path);
    ups++;
    ev_break(loop, EVBREAK_ALL);
}

static void on_down(void *arg, int berth, const char *reason)
{
    (void)arg;
    (void)berth;
    snprintf(why, sizeof(why), "%s", reason);
    downs++;
    ev_break(loop, EVBREAK_ALL);
}

static void on_clean(void *arg, int berth)
{
    (void)arg;
    (void)berth;
    cleans++;
    ev_break(loop, EVBREAK_ALL);
}

static void on_too_long(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(l, EVBREAK_ALL);
}

/* Runs the loop until the counter has this value. */
static void wait_until(const int *counter, int value)
{
    ev_timer limit;

    ev_timer_init(&limit, on_too_long, TURN_S, 0);
    ev_now_update(loop);
    ev_timer_start(loop, &limit);
    while (*counter < value && ev_is_active(&limit))
        ev_run(loop, 0);
    ev_timer_stop(loop, &limit);
    if (*counter != value)
        fail_msg("waited in vain; last failure: %s", why);
}

/* ---- the driver ---- */

static int open_driver(char err[400])
{
    struct driver_config config = {
        .loop = loop, .settings = &settings, .worker_id = worker_id, .berths = BERTHS, .profiles = profiles};
    struct driver_events events = {.on_up = on_up, .on_down = on_down, .on_clean = on_clean};

    ups = downs = cleans = 0;
    *why = '\0';
    driver = ops->open(&config, &events, isolation, sizeof(isolation), err, 400);
    return driver ? 0 : -1;
}

static void open_or_skip(void)
{
    char err[400], browser[256];

    if (geteuid() != 0 || process_find_browser(&profile, browser, sizeof(browser), err, sizeof(err)) != 0) {
        print_message("skipped: needs root and a browser\n");
        skip();
    }
    if (open_driver(err) != 0)
        fail_msg("open: %s", err);
}

static void stop_and_wait(int berth)
{
    int before = cleans;

    ops->stop(driver, berth);
    assert_int_equal(cleans, before);
    wait_until(&cleans, before + 1);
}

/* ---- what is left on the host ---- */

/* Processes of this test's users that are not just waiting to be reaped. */
static int processes(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;

    while ((e = readdir(d))) {
        char path[300], text[512] = "";
        struct stat st;
        const char *state;
        int fd;

        snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || stat(path, &st) != 0 || st.st_uid < uid_base ||
            st.st_uid >= uid_base + BERTHS)
            continue;
        fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        if (read(fd, text, sizeof(text) - 1) > 0 && (state = strrchr(text, ')')) && state[2] != 'Z' &&
            state[2] != 'X')
            n++;
        close(fd);
    }
    closedir(d);
    return n;
}

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
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || lstat(path, &st) != 0 || st.st_uid < uid_base ||
            st.st_uid >= uid_base + BERTHS || readlink(path, name, sizeof(name) - 1) <= 0)
            continue;
        for (int i = 0; i < n; i++)
            known |= strcmp(seen[i], name) == 0;
        if (!known && n < 8)
            memcpy(seen[n++], name, sizeof(name));
    }
    closedir(d);
    return n;
}

static int names_with(const char *folder, const char *part)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d)))
        n += strstr(e->d_name, part) != NULL;
    if (d)
        closedir(d);
    return n;
}

static void assert_nothing_left(void)
{
    static const char *const groups[] = {"/sys/fs/cgroup",         "/sys/fs/cgroup/memory",
                                         "/sys/fs/cgroup/pids",    "/sys/fs/cgroup/cpu",
                                         "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/blkio"};
    char nft[64];
    char *argv[] = {nft, (char *)"list", (char *)"tables", NULL};
    struct buf out = {0};

    assert_int_equal(processes(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(names_with("/run/netns", worker_id), 0);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        assert_int_equal(names_with(groups[i], worker_id), 0);
    if (child_find_program("nft", nft, sizeof(nft)) == 0 && child_run(argv, NULL, &out, 10000) == 0 &&
        out.data)
        assert_null(strstr(out.data, worker_id));
    buf_cleanup(&out);
}

static void close_driver(void)
{
    ops->close(driver);
    driver = NULL;
    assert_nothing_left();
}

/* ---- tools ---- */

static int by_size(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* GET /json/version over a connection of the driver's. */
static void assert_answers(int berth)
{
    static const char request[] = "GET /json/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char got[4096] = "";
    int fd = ops->connect(driver, berth);

    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), (ssize_t)sizeof(request) - 1);
    assert_true(read(fd, got, sizeof(got) - 1) > 0);
    assert_non_null(strstr(got, "200 OK"));
    close(fd);
}

/* 0 if a TCP connection from inside the berth's network works, else errno. */
static int try_connect(int berth, struct in_addr to, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = to};
    int home = open("/proc/self/ns/net", O_RDONLY), ns, fd, result;
    char path[200];

    snprintf(path, sizeof(path), "/run/netns/berth-%s-%d", worker_id, berth);
    ns = open(path, O_RDONLY);
    assert_true(home >= 0 && ns >= 0);
    assert_int_equal(setns(ns, CLONE_NEWNET), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    result = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 ? 0 : errno;
    close(fd);
    close(ns);
    close(home);
    return result;
}

/* Refused at once; or, on a host without a way to the internet, unreachable. */
static void assert_refused(int berth, uint32_t to, int port)
{
    int result = try_connect(berth, (struct in_addr){htonl(to)}, port);

    assert_true(result == ECONNREFUSED || result == ENETUNREACH || result == EHOSTUNREACH);
}

static int listen_on(in_addr_t address, int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

/* The gateway inside the berth: the host's end of its veth. */
static struct in_addr host_end(int berth)
{
    char ip[64], name[128];
    char *argv[] = {ip, (char *)"-n", name, (char *)"route", (char *)"show", (char *)"default", NULL};
    struct buf out = {0};
    struct in_addr in = {0};
    char text[64] = "";

    snprintf(name, sizeof(name), "berth-%s-%d", worker_id, berth);
    assert_int_equal(child_find_program("ip", ip, sizeof(ip)), 0);
    assert_int_equal(child_run(argv, NULL, &out, 10000), 0);
    assert_int_equal(sscanf(out.data, "default via %63s", text), 1);
    assert_int_equal(inet_pton(AF_INET, text, &in), 1);
    buf_cleanup(&out);
    return in;
}

/* ---- tests ---- */

static void test_cycles(void **state)
{
    int cycles = getenv("BERTH_TEST_CYCLES") ? atoi(getenv("BERTH_TEST_CYCLES")) : 10;
    double *start, *stop;

    (void)state;
    open_or_skip();
    start = calloc((size_t)cycles, sizeof(*start));
    stop = calloc((size_t)cycles, sizeof(*stop));
    assert_string_equal(isolation, "full");
    for (int i = 0; i < cycles; i++) {
        struct driver_usage usage;
        int idle[2] = {-1, -1};

        start[i] = clock_mono_ms();
        ops->start(driver, i % BERTHS, &profile);
        assert_int_equal(ups, i);
        wait_until(&ups, i + 1);
        start[i] = clock_mono_ms() - start[i];
        assert_answers(i % BERTHS);
        assert_true(network_namespaces() >= 2);
        assert_int_equal(ops->usage(driver, i % BERTHS, &usage), 0);
        assert_true(usage.memory_kb > 1000 && usage.cpu_seconds > 0 && usage.processes > 2);
        ops->set_active(driver, i % BERTHS, 1);
        /* Connections that are open when the browser is killed leave sockets in the namespace. */
        for (int k = 0; k < 2; k++)
            idle[k] = ops->connect(driver, i % BERTHS);
        stop[i] = clock_mono_ms();
        stop_and_wait(i % BERTHS);
        stop[i] = clock_mono_ms() - stop[i];
        close(idle[0]);
        close(idle[1]);
        assert_int_equal(processes(), 0);
        assert_int_equal(ops->usage(driver, i % BERTHS, &usage), -1);
    }
    assert_int_equal(downs, 0);
    close_driver();
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
    open_or_skip();
    stop_and_wait(0); /* idle */
    for (int i = 0; i < 6; i++) {
        double until;

        ops->start(driver, 0, &profile);
        for (until = clock_mono_ms() + i * 12; clock_mono_ms() < until;)
            ev_run(loop, EVRUN_NOWAIT);
        ops->stop(driver, 0);
        ops->stop(driver, 0);
        wait_until(&cleans, i + 2);
        assert_int_equal(processes(), 0);
    }
    assert_int_equal(downs, 0);
    close_driver();
}

static void test_failures(void **state)
{
    struct profile bad = profile;
    DIR *d;
    struct dirent *e;

    (void)state;
    open_or_skip();
    bad.browser = (char *)"/usr/bin/false";
    ops->start(driver, 0, &bad);
    wait_until(&downs, 1);
    assert_non_null(strstr(why, "exited with status 1"));
    stop_and_wait(0);
    bad.browser = (char *)"/nonexistent/browser";
    ops->start(driver, 0, &bad);
    assert_int_equal(downs, 1); /* never from inside the call */
    wait_until(&downs, 2);
    assert_non_null(strstr(why, "/nonexistent/browser"));
    stop_and_wait(0);
    /* A browser that dies by itself. */
    ops->start(driver, 0, &profile);
    wait_until(&ups, 1);
    d = opendir("/proc");
    while ((e = readdir(d))) {
        char path[300], name[64] = "";
        struct stat st;
        int fd, pid = atoi(e->d_name);

        snprintf(path, sizeof(path), "/proc/%.40s/comm", e->d_name);
        if (pid <= 0 || stat(path, &st) != 0 || st.st_uid != uid_base)
            continue;
        fd = open(path, O_RDONLY);
        if (fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "chrom", 5) == 0)
            kill(pid, SIGSEGV);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    wait_until(&downs, 3);
    assert_int_equal(ops->connect(driver, 0), -1);
    stop_and_wait(0);
    close_driver();
}

static void test_limits_hold(void **state)
{
    struct profile small = profile;

    (void)state;
    open_or_skip();
    small.memory_mb = 64;
    small.pids = 16;
    ops->start(driver, 0, &small); /* no Chromium fits into that */
    wait_until(&downs, 1);
    stop_and_wait(0);
    close_driver();
}

static void test_egress(void **state)
{
    char *host[] = {(char *)"host", NULL};
    struct profile open = profile;
    int port, any_port, fd, any;

    (void)state;
    open_or_skip();
    fd = listen_on(INADDR_LOOPBACK, &port);
    any = listen_on(INADDR_ANY, &any_port);
    ops->start(driver, 0, &profile);
    wait_until(&ups, 1);
    assert_int_equal(try_connect(0, host_end(0), port), ECONNREFUSED);
    assert_int_equal(try_connect(0, host_end(0), any_port), ECONNREFUSED);
    assert_int_equal(try_connect(0, host_end(1), any_port), ECONNREFUSED);
    assert_refused(0, 0xA9FEA9FE, 80); /* 169.254.169.254 */
    assert_refused(0, 0xC0A80101, 80); /* 192.168.1.1 */
    stop_and_wait(0);
    /* The same berth for a profile that may reach the host; the other one still may not. */
    open.egress_allow = host;
    ops->start(driver, 0, &open);
    wait_until(&ups, 2);
    assert_int_equal(try_connect(0, host_end(0), port), 0);
    assert_int_equal(try_connect(0, host_end(1), any_port), ECONNREFUSED);
    assert_int_equal(try_connect(1, host_end(1), port), ECONNREFUSED);
    stop_and_wait(0);
    ops->start(driver, 0, &profile);
    wait_until(&ups, 3);
    assert_int_equal(try_connect(0, host_end(0), port), ECONNREFUSED);
    stop_and_wait(0);
    close(fd);
    close(any);
    close_driver();
}

/* ---- disks ---- */

/* What the berth's cgroup says of disks' rates, whichever version; 0: it has no such file. */
static int read_disk_rates(int berth, char *out, size_t outlen)
{
    static const char *const files[][2] = {{"/sys/fs/cgroup/blkio", "blkio.throttle.read_bps_device"},
                                           {"/sys/fs/cgroup", "io.max"},
                                           {"/sys/fs/cgroup/unified", "io.max"}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[300];
        FILE *f;

        snprintf(path, sizeof(path), "%s/berth-%s/%d/%s", files[i][0], worker_id, berth, files[i][1]);
        f = fopen(path, "re");
        if (!f)
            continue;
        out[fread(out, 1, outlen - 1, f)] = '\0';
        fclose(f);
        return 1;
    }
    return 0;
}

/* A berth has the rates of its profile, and the next one in the same berth not. */
static void test_disk_rates(void **state)
{
    struct profile pair[2] = {profile, profile};
    struct profile_set set = {pair, 2};
    char text[1024];

    (void)state;
    pair[0].disk = (struct disk_rates){.mib_s = 1000, .iops = 1000000};
    profiles = &set;
    open_or_skip();
    if (strstr(isolation, "no-disk-limit")) {
        print_message("not tried: %s\n", isolation);
    } else {
        ops->start(driver, 0, &pair[0]);
        wait_until(&ups, 1);
        assert_true(read_disk_rates(0, text, sizeof(text)));
        if (!strstr(text, "1048576000"))
            fail_msg("the cgroup says: %s", text);
        stop_and_wait(0);
        ops->start(driver, 0, &pair[1]);
        wait_until(&ups, 2);
        if (read_disk_rates(0, text, sizeof(text)))
            assert_null(strstr(text, "1048576000"));
        stop_and_wait(0);
    }
    close_driver();
    /* No profile of the driver asks for it: nothing is missing, and the controller is not touched. */
    pair[0].disk = (struct disk_rates){0, 0};
    open_or_skip();
    assert_null(strstr(isolation, "no-disk-limit"));
    assert_int_equal(names_with("/sys/fs/cgroup/blkio", worker_id), 0);
    close_driver();
    profiles = NULL;
}

static void test_one_worker_of_a_name(void **state)
{
    char err[400];
    struct driver *first;

    (void)state;
    open_or_skip();
    first = driver;
    assert_int_equal(open_driver(err), -1);
    assert_non_null(strstr(err, "already runs on this host"));
    driver = first;
    close_driver();
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

        ev_loop_fork(loop);
        if (open_driver(err) != 0)
            _exit(1);
        for (int i = 0; i < BERTHS; i++)
            ops->start(driver, i, &profile);
        (void)!write(ends[1], "s", 1);
        while (ups < BERTHS)
            ev_run(loop, 0);
        (void)!write(ends[1], "u", 1);
        for (;;)
            ev_run(loop, 0);
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
    open_or_skip();
    close_driver();
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int run = 0; run < KILL_RUNS; run++) {
        pid_t pid;
        int pipe_end = fork_worker(&pid);
        double killed, now, until;
        char c;

        assert_int_equal(read(pipe_end, &c, 1), 1);
        if (run == 0) {
            assert_int_equal(read(pipe_end, &c, 1), 1);
            assert_true(processes() > 4);
        } else {
            for (until = clock_mono_ms() + run * 3; clock_mono_ms() < until;)
                sched_yield();
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        killed = now = clock_mono_ms();
        while (processes() > 0 && now - killed < KILL_MS)
            now = clock_mono_ms();
        slowest = now - killed > slowest ? now - killed : slowest;
        assert_int_equal(processes(), 0);
        close(pipe_end);
        reap_all();
    }
    print_message("killed %d workers: all browsers gone in %.0f ms at most\n", KILL_RUNS, slowest);
    /* The next one of that name finds the namespaces and removes them. */
    assert_int_equal(names_with("/run/netns", worker_id), BERTHS);
    open_or_skip();
    reap_all();
    close_driver();
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

        ev_loop_fork(loop);
        if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(2);
        prctl(PR_SET_DUMPABLE, 1);
        if (open_driver(err) != 0) {
            print_message("no jail without root here: %s\n", err);
            _exit(0);
        }
        if (!strstr(isolation, "no-network-namespace"))
            _exit(3);
        ops->start(driver, 0, &profile);
        wait_until(&ups, 1);
        assert_answers(0);
        stop_and_wait(0);
        ops->close(driver);
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
        cmocka_unit_test(test_limits_hold),          cmocka_unit_test(test_egress),
        cmocka_unit_test(test_disk_rates),
    };

    log_init("test", "error", "text");
    loop = EV_DEFAULT;
    snprintf(worker_id, sizeof(worker_id), "test-%d", (int)getpid());
    uid_base = 1000000 + getpid() % 100000 * BERTHS;
    settings = (struct settings){.net_cidr = "10.213.0.0/16",
                                 .egress_allow = "",
                                 .dns_queries = 128,
                                 .dns_connections = 8,
                                 .dns_timeout = 2000,
                                 .uid_base = uid_base};
    profile = (struct profile){.name = (char *)"default",
                               .driver = (char *)"process",
                               .memory_mb = 1024,
                               .cpus = 2,
                               .pids = 512,
                               .shm_mb = 64,
                               .tmp_mb = 128,
                               .args = no_list,
                               .egress_allow = no_list};
    return cmocka_run_group_tests_name("driver_process", tests, NULL, NULL);
}
