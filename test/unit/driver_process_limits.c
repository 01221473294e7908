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
/* driver_process_limits.c: what the process driver's berths are kept to: memory and processes, where they may
 * connect to, the rates of disks. All of it needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "test/support/process_fixture.h"
#include "worker/child.h"

/* 0 if a TCP connection from inside the berth's network works, else errno. */
static int try_connect(int berth, struct in_addr to, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = to};
    int home = open("/proc/self/ns/net", O_RDONLY), ns, fd, result;
    char path[200];

    snprintf(path, sizeof(path), "/run/netns/berth-%s-%d", process_fixture.worker_id, berth);
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

    snprintf(name, sizeof(name), "berth-%s-%d", process_fixture.worker_id, berth);
    assert_int_equal(child_find_program("ip", ip, sizeof(ip)), 0);
    assert_int_equal(child_run(argv, NULL, &out, 10000), 0);
    assert_int_equal(sscanf(out.data, "default via %63s", text), 1);
    assert_int_equal(inet_pton(AF_INET, text, &in), 1);
    buf_cleanup(&out);
    return in;
}

static void test_limits_hold(void **state)
{
    struct profile small = process_fixture.profile;

    (void)state;
    process_fixture_open_or_skip();
    small.memory_mb = 64;
    small.pids = 16;
    driver_process.start(process_fixture.driver, 0, &small); /* no Chromium fits into that */
    process_fixture_wait(&process_fixture.downs, 1);
    process_fixture_stop(0);
    process_fixture_close();
}

static void test_egress(void **state)
{
    char *host[] = {(char *)"host", NULL};
    struct profile open = process_fixture.profile;
    int port, any_port, fd, any;

    (void)state;
    process_fixture_open_or_skip();
    fd = listen_on(INADDR_LOOPBACK, &port);
    any = listen_on(INADDR_ANY, &any_port);
    driver_process.start(process_fixture.driver, 0, &process_fixture.profile);
    process_fixture_wait(&process_fixture.ups, 1);
    assert_int_equal(try_connect(0, host_end(0), port), ECONNREFUSED);
    assert_int_equal(try_connect(0, host_end(0), any_port), ECONNREFUSED);
    assert_int_equal(try_connect(0, host_end(1), any_port), ECONNREFUSED);
    assert_refused(0, 0xA9FEA9FE, 80); /* 169.254.169.254 */
    assert_refused(0, 0xC0A80101, 80); /* 192.168.1.1 */
    process_fixture_stop(0);
    /* The same berth for a profile that may reach the host; the other one still may not. */
    open.egress_allow = host;
    driver_process.start(process_fixture.driver, 0, &open);
    process_fixture_wait(&process_fixture.ups, 2);
    assert_int_equal(try_connect(0, host_end(0), port), 0);
    assert_int_equal(try_connect(0, host_end(1), any_port), ECONNREFUSED);
    assert_int_equal(try_connect(1, host_end(1), port), ECONNREFUSED);
    process_fixture_stop(0);
    driver_process.start(process_fixture.driver, 0, &process_fixture.profile);
    process_fixture_wait(&process_fixture.ups, 3);
    assert_int_equal(try_connect(0, host_end(0), port), ECONNREFUSED);
    process_fixture_stop(0);
    close(fd);
    close(any);
    process_fixture_close();
}

/* What the berth's cgroup says of disks' rates, whichever version; 0: it has no such file. */
static int read_disk_rates(int berth, char *out, size_t outlen)
{
    static const char *const files[][2] = {{"/sys/fs/cgroup/blkio", "blkio.throttle.read_bps_device"},
                                           {"/sys/fs/cgroup", "io.max"},
                                           {"/sys/fs/cgroup/unified", "io.max"}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[300];
        FILE *f;

        snprintf(path, sizeof(path), "%s/berth-%s/%d/%s", files[i][0], process_fixture.worker_id, berth,
                 files[i][1]);
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
    struct profile pair[2] = {process_fixture.profile, process_fixture.profile};
    struct profile_set set = {pair, 2};
    char text[1024];

    (void)state;
    pair[0].disk = (struct disk_rates){.mib_s = 1000, .iops = 1000000};
    process_fixture.profiles = &set;
    process_fixture_open_or_skip();
    if (strstr(process_fixture.isolation, "no-disk-limit")) {
        print_message("not tried: %s\n", process_fixture.isolation);
    } else {
        driver_process.start(process_fixture.driver, 0, &pair[0]);
        process_fixture_wait(&process_fixture.ups, 1);
        assert_true(read_disk_rates(0, text, sizeof(text)));
        if (!strstr(text, "1048576000"))
            fail_msg("the cgroup says: %s", text);
        process_fixture_stop(0);
        driver_process.start(process_fixture.driver, 0, &pair[1]);
        process_fixture_wait(&process_fixture.ups, 2);
        if (read_disk_rates(0, text, sizeof(text)))
            assert_null(strstr(text, "1048576000"));
        process_fixture_stop(0);
    }
    process_fixture_close();
    /* No profile of the driver asks for it: nothing is missing, and the controller is not touched. */
    pair[0].disk = (struct disk_rates){0, 0};
    process_fixture_open_or_skip();
    assert_null(strstr(process_fixture.isolation, "no-disk-limit"));
    assert_int_equal(process_fixture_names("/sys/fs/cgroup/blkio", process_fixture.worker_id), 0);
    process_fixture_close();
    process_fixture.profiles = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_egress),
        cmocka_unit_test(test_disk_rates),
    };

    log_init("test", "error", "text");
    process_fixture_init();
    return cmocka_run_group_tests_name("driver_process_limits", tests, NULL, NULL);
}
