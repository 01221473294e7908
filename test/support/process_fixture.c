/* process_fixture.c: see process_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_fixture.h"
#include "shared/buf.h"
#include "worker/child.h"
#include "worker/driver/process_flags.h"

#define BERTHS PROCESS_FIXTURE_BERTHS
#define TURN_S 180.0 /* longer than anything here takes */

struct process_fixture process_fixture;

static void on_up(void *arg, int berth, const char *path, const struct driver_timings *t)
{
    (void)arg, (void)berth, (void)path;
    assert_true(t->ready_ms > 0);
    process_fixture.ups++;
    ev_break(process_fixture.loop, EVBREAK_ALL);
}

static void on_down(void *arg, int berth, const char *reason)
{
    (void)arg;
    (void)berth;
    snprintf(process_fixture.why, sizeof(process_fixture.why), "%s", reason);
    process_fixture.downs++;
    ev_break(process_fixture.loop, EVBREAK_ALL);
}

static void on_clean(void *arg, int berth)
{
    (void)arg;
    (void)berth;
    process_fixture.cleans++;
    ev_break(process_fixture.loop, EVBREAK_ALL);
}

static void on_too_long(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(l, EVBREAK_ALL);
}

void process_fixture_wait(const int *counter, int value)
{
    ev_timer limit;

    ev_timer_init(&limit, on_too_long, TURN_S, 0);
    ev_now_update(process_fixture.loop);
    ev_timer_start(process_fixture.loop, &limit);
    while (*counter < value && ev_is_active(&limit))
        ev_run(process_fixture.loop, 0);
    ev_timer_stop(process_fixture.loop, &limit);
    if (*counter != value)
        fail_msg("waited in vain; last failure: %s", process_fixture.why);
}

int process_fixture_open(char err[400])
{
    struct driver_config config = {.loop = process_fixture.loop,
                                   .settings = &process_fixture.settings,
                                   .worker_id = process_fixture.worker_id,
                                   .berths = BERTHS,
                                   .profiles = process_fixture.profiles};
    struct driver_events events = {.on_up = on_up, .on_down = on_down, .on_clean = on_clean};

    process_fixture.ups = process_fixture.downs = process_fixture.cleans = 0;
    *process_fixture.why = '\0';
    process_fixture.driver = driver_process.open(&config, &events, process_fixture.isolation,
                                                 sizeof(process_fixture.isolation), err, 400);
    return process_fixture.driver ? 0 : -1;
}

void process_fixture_open_or_skip(void)
{
    char err[400], browser[256];

    if (geteuid() != 0 ||
        process_find_browser(&process_fixture.profile, browser, sizeof(browser), err, sizeof(err)) != 0) {
        print_message("skipped: needs root and a browser\n");
        skip();
    }
    if (process_fixture_open(err) != 0)
        fail_msg("open: %s", err);
}

void process_fixture_stop(int berth)
{
    int before = process_fixture.cleans;

    driver_process.stop(process_fixture.driver, berth);
    assert_int_equal(process_fixture.cleans, before);
    process_fixture_wait(&process_fixture.cleans, before + 1);
}

int process_fixture_processes(void)
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
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || stat(path, &st) != 0 ||
            st.st_uid < process_fixture.uid_base || st.st_uid >= process_fixture.uid_base + BERTHS)
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

int process_fixture_names(const char *folder, const char *part)
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

    assert_int_equal(process_fixture_processes(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(process_fixture_names("/run/netns", process_fixture.worker_id), 0);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        assert_int_equal(process_fixture_names(groups[i], process_fixture.worker_id), 0);
    if (child_find_program("nft", nft, sizeof(nft)) == 0 && child_run(argv, NULL, &out, 10000) == 0 &&
        out.data)
        assert_null(strstr(out.data, process_fixture.worker_id));
    buf_cleanup(&out);
}

void process_fixture_close(void)
{
    driver_process.close(process_fixture.driver);
    process_fixture.driver = NULL;
    assert_nothing_left();
}

void process_fixture_init(void)
{
    static char *no_list[] = {NULL};

    process_fixture.loop = EV_DEFAULT;
    snprintf(process_fixture.worker_id, sizeof(process_fixture.worker_id), "test-%d", (int)getpid());
    process_fixture.uid_base = 1000000 + getpid() % 100000 * BERTHS;
    process_fixture.settings = (struct settings){.net_cidr = "10.213.0.0/16",
                                                 .egress_allow = "",
                                                 .dns_queries = 128,
                                                 .dns_connections = 8,
                                                 .dns_timeout = 2000,
                                                 .uid_base = process_fixture.uid_base};
    process_fixture.profile = (struct profile){.name = (char *)"default",
                                               .driver = (char *)"process",
                                               .memory_mb = 1024,
                                               .cpus = 2,
                                               .pids = 512,
                                               .shm_mb = 64,
                                               .tmp_mb = 128,
                                               .args = no_list,
                                               .egress_allow = no_list};
}
