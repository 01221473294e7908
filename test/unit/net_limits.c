/* links: test/support/net_fixture.c worker/cgroup.c worker/cgroup_find.c worker/cgroup_tree.c */
/* links: worker/cgroup_usage.c worker/child.c worker/child_exec.c worker/child_run.c */
/* links: worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c worker/egress.c worker/host_lock.c worker/isolation.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c */
/* links: worker/net_pool.c worker/net_rules.c worker/net_shape.c worker/net_sockets.c */
/* links: worker/net_space.c worker/net_tap.c worker/net_wipe.c worker/netlink.c */
/* Tests of what a berth may do in its network: its policy, connections, rates and names. Need root. */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/net_fixture.h"
#include "worker/egress.h"
#include "worker/net_if.h"

/* ---- policies ---- */

static void on_taken(void *arg, int result)
{
    *(int *)arg = result;
    ev_break(EV_DEFAULT, EVBREAK_ALL);
}

/* 1 if nft's list of a map or set of the table has these words of the berth. */
static int listed(const char *what, const char *name, int berth, const char *words)
{
    char wanted[80], *text;
    int found;

    snprintf(wanted, sizeof(wanted), "\"%.*s%d\"%s", (int)strlen(fixture.pattern) - 1, fixture.pattern, berth,
             words);
    text = fixture_printed("nft", (const char *const[]){"list", what, "inet", fixture.table, name, NULL});
    found = strstr(text, wanted) != NULL;
    free(text);
    return found;
}

/* The first berth of a policy has its chains made, the next ones are only moved: both come to the same. */
static void test_policies(void **state)
{
    char *some[] = {(char *)"192.0.2.0/24", NULL}, **host = fixture.profile.egress_allow, err[300];
    int result = 1, accepted, fd;

    (void)state;
    fixture.profile.egress_allow = some;
    assert_int_equal(net_pool_take(fixture.pool, 0, &fixture.profile, on_taken, &result, err, sizeof(err)),
                     0);
    ev_run(EV_DEFAULT, 0);
    assert_int_equal(result, 0);
    fixture_take(1);
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        struct sockaddr_in to = fixture_host_end(i);

        assert_true(listed("map", EGRESS_FORWARD_OF, i, " : jump " EGRESS_FORWARD_CHAIN "1"));
        assert_true(listed("map", EGRESS_INPUT_OF, i, " : jump " EGRESS_INPUT_CHAIN "1"));
        assert_false(listed("set", EGRESS_HOSTS, i, " . "));
        assert_int_equal(fixture_connect(i, &to, &accepted), -1);
        assert_int_equal(errno, ECONNREFUSED);
    }
    fixture.profile.egress_allow = host;
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        struct sockaddr_in to = fixture_host_end(i);

        fixture_take(i);
        assert_true(listed("map", EGRESS_FORWARD_OF, i, " : jump " EGRESS_FORWARD_CHAIN "0"));
        assert_true(listed("map", EGRESS_INPUT_OF, i, " : jump " EGRESS_INPUT_CHAIN "0"));
        assert_true(listed("set", EGRESS_HOSTS, i, " . "));
        fd = fixture_connect(i, &to, &accepted);
        assert_true(fd >= 0);
        close(fd);
        close(accepted);
        assert_int_equal(net_pool_reset(fixture.pool, i), 0);
    }
}

/* ---- names ---- */

static int ask(int berth)
{
    static const unsigned char query[] = "\0\042\0\7\1\0\0\1\0\0\0\0\0\0\1x\5berth\10internal\0\0\1\0\1";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fixture_inside(berth);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fixture_outside();
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, query, sizeof(query) - 1, 0), sizeof(query) - 1);
    return fd;
}

/* 1 if an answer came within so many turns of the loop, 10 ms each at most. */
static int answered(int fd, int turns)
{
    for (int i = 0; i < turns; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        ev_run(EV_DEFAULT, EVRUN_NOWAIT);
        if (poll(&p, 1, 10) > 0) {
            char answer[512];

            return recv(fd, answer, sizeof(answer), 0) > 2;
        }
    }
    return 0;
}

/* What the settings say of the resolver is so inside: two connections here. */
static void test_names(void **state)
{
    int fds[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        fds[i] = ask(0);
    assert_true(answered(fds[0], 6000) && answered(fds[1], 6000));
    assert_false(answered(fds[2], 20));
    close(fds[0]);
    assert_true(answered(fds[2], 6000));
    close(fds[1]);
    close(fds[2]);
    assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
}

/* ---- connections and rates ---- */

static void test_connections(void **state)
{
    struct sockaddr_in to = fixture_host_end(0);
    int fds[FIXTURE_CONNECTIONS], far[FIXTURE_CONNECTIONS], more;
    char *counts;

    (void)state;
    if (strstr(fixture.isolation, "no-connection-limit"))
        skip();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FIXTURE_CONNECTIONS; i++) {
            fds[i] = fixture_connect(0, &to, &far[i]);
            assert_true(fds[i] >= 0);
        }
        assert_int_equal(fixture_connect(0, &to, &more), -1);
        assert_int_equal(errno, ECONNREFUSED);
        /* A session that ends with all of them leaves none to the next. */
        assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
        counts = fixture_printed(
            "nft", (const char *const[]){"list", "set", "inet", fixture.table, EGRESS_COUNTS, NULL});
        assert_non_null(strstr(counts, EGRESS_COUNTS));
        assert_null(strstr(counts, "-0\""));
        free(counts);
        for (int i = 0; i < FIXTURE_CONNECTIONS; i++) {
            close(fds[i]);
            close(far[i]);
        }
    }
}

static int has_bucket(int berth, int is_inside)
{
    char name[16];
    char *text;
    int found;

    snprintf(name, sizeof(name), "%.*s%d", (int)strlen(fixture.pattern) - 1, fixture.pattern, berth);
    if (is_inside)
        fixture_inside(berth);
    text =
        fixture_printed("tc", (const char *const[]){"qdisc", "show", "dev", is_inside ? "eth0" : name, NULL});
    if (is_inside)
        fixture_outside();
    found = strstr(text, "qdisc tbf") != NULL;
    free(text);
    return found;
}

static void test_rates(void **state)
{
    (void)state;
    if (strstr(fixture.isolation, "no-bandwidth-limit"))
        skip();
    fixture_take(0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    fixture.profile.download_mbps = 2.5;
    fixture_take(0);
    assert_true(has_bucket(0, 0) && !has_bucket(0, 1));
    fixture.profile.upload_mbps = 10000;
    fixture_take(0);
    assert_true(has_bucket(0, 0) && has_bucket(0, 1));
    fixture.profile.download_mbps = fixture.profile.upload_mbps = 0;
    fixture_take(0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    fixture.profile.upload_mbps = 0.1;
    fixture_take(0);
    assert_true(has_bucket(0, 1));
    assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    fixture.profile.upload_mbps = 0;
}

/* A session may leave as many connections in TIME_WAIT as it likes: what is to be ended at once is bounded.
 */
static void test_closed_connections(void **state)
{
    int of_host = net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL), of_berth;

    (void)state;
    fixture_inside(0);
    of_berth = net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL);
    fixture_outside();
    assert_in_range(of_berth, 1, 1024);
    assert_int_equal(net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL), of_host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),           cmocka_unit_test(test_names),
        cmocka_unit_test(test_connections),        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_closed_connections),
    };

    if (fixture_skips("net_limits"))
        return 0;
    return cmocka_run_group_tests_name("net_limits", tests, fixture_set_up, fixture_tear_down);
}
