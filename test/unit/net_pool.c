/* links: test/support/net_fixture.c worker/cgroup.c worker/cgroup_find.c worker/cgroup_tree.c */
/* links: worker/cgroup_usage.c worker/child.c worker/child_exec.c worker/child_run.c */
/* links: worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c worker/egress.c worker/host_lock.c worker/isolation.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c */
/* links: worker/net_pool.c worker/net_rules.c worker/net_shape.c worker/net_sockets.c */
/* links: worker/net_space.c worker/net_tap.c worker/net_wipe.c worker/netlink.c */
/* Tests of making the berths' networks: the rules inside each, the kinds of namespaces there are, and that
 * nothing stays on the host. Need root. */
#include <arpa/inet.h>
#include <errno.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/net_fixture.h"
#include "worker/host_lock.h"
#include "worker/net_clean.h"

/* ---- the rules inside ---- */

static char *rules_of(int berth)
{
    char *text;

    fixture_inside(berth);
    text = fixture_printed("nft", (const char *const[]){"list", "ruleset", NULL});
    fixture_outside();
    return text;
}

/* Each berth has nft's rules, whether nft made them there or they are copies. */
static void assert_same_rules(const char *has)
{
    char *first = rules_of(0);

    assert_non_null(strstr(first, has));
    for (int i = 1; i < FIXTURE_BERTHS; i++) {
        char *text = rules_of(i);

        assert_string_equal(text, first);
        free(text);
    }
    free(first);
}

/* Errno of a connection to the debugging port inside, by a socket that is this user's; 0: it was made. */
static int knock(int berth, uid_t uid)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(FIXTURE_CDP_PORT)};
    int fd, result;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fixture_inside(berth);
    assert_int_equal(seteuid(uid), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(seteuid(0), 0);
    fixture_outside();
    assert_true(fd >= 0);
    result = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
    close(fd);
    return result;
}

static void test_rules_inside(void **state)
{
    (void)state;
    assert_same_rules("skuid");
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(FIXTURE_CDP_PORT)};
        int browser, one = 1;

        fixture_inside(i);
        browser = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        fixture_outside();
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_true(browser >= 0);
        assert_int_equal(setsockopt(browser, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
        assert_int_equal(bind(browser, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(listen(browser, 4), 0);
        assert_int_equal(knock(i, 0), 0);
        assert_int_equal(knock(i, 65534), ECONNREFUSED);
        close(browser);
        assert_int_equal(net_pool_reset(fixture.pool, i), 0);
    }
}

/* ---- making and removing ---- */

/* A worker that is killed leaves everything; the next one on the host, whatever its id, removes it. */
static void test_killed(void **state)
{
    char id[48], next[48];
    int ready[2], status, other_lock, left;
    char byte, err[200];
    struct net_pool *p;
    pid_t pid;

    (void)state;
    snprintf(id, sizeof(id), "%s-dead", fixture.worker_id);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        other_lock = host_lock_take_worker(id, err, sizeof(err));
        p = other_lock < 0 ? NULL : fixture_open(id);
        (void)!write(ready[1], p ? "y" : "n", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    other_lock = host_lock_take(NET_CLEAN_LOCK, 60000); /* no other worker of this host cleans now */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(byte, 'y');
    left = fixture_traces(id);
    close(other_lock);
    assert_int_equal(left, 2 * FIXTURE_BERTHS + 1);

    snprintf(next, sizeof(next), "%s-next", fixture.worker_id);
    other_lock = host_lock_take_worker(next, err, sizeof(err));
    assert_true(other_lock >= 0);
    p = fixture_open(next);
    assert_non_null(p);
    assert_int_equal(fixture_traces(id), 0);
    assert_int_equal(fixture_traces(fixture.worker_id), 2 * FIXTURE_BERTHS + 1);
    net_pool_free(p);
    assert_int_equal(fixture_traces(next), 0);
    close(other_lock);
    close(ready[0]);
    close(ready[1]);
}

/* Namespaces that containers hold, with guests' cards in them: a pool of each kind is reset as the others
 * are. */
static void test_kinds(void **state)
{
    struct net_tap_config card = {.prefix = 30, .cdp_port = 9223};
    unsigned char mac[6] = {2, 0, 0, 0, 0, 7};
    struct net_pool *first = fixture.pool;
    int ready[2], pids[FIXTURE_BERTHS], fd, id_lock;
    struct net_state fresh;
    char id[48], byte, err[200];

    (void)state;
    snprintf(id, sizeof(id), "%s-kinds", fixture.worker_id);
    inet_pton(AF_INET, "172.31.255.1", &card.gateway);
    inet_pton(AF_INET, "172.31.255.2", &card.guest);
    assert_int_equal(pipe(ready), 0);
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when this test fails */
            (void)!write(ready[1], unshare(CLONE_NEWNET) == 0 ? "y" : "n", 1);
            for (;;)
                pause();
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(byte, 'y');
    }
    fixture.holders = pids;
    fixture.tap = access("/dev/net/tun", R_OK | W_OK) == 0 ? &card : NULL;
    id_lock = host_lock_take_worker(id, err, sizeof(err));
    assert_true(id_lock >= 0); /* else workers beside this test take it for dead */
    fixture.pool = fixture_open(id);
    assert_non_null(fixture.pool);
    assert_same_rules(fixture.tap ? "masquerade" : "skuid");
    fixture_take(1);
    fresh = fixture_state_of(1);
    if (fixture.tap) {
        fd = net_pool_tap(fixture.pool, 1, mac);
        assert_true(fd >= 0);
        assert_int_equal(fixture_state_of(1).neighbours, fresh.neighbours + 1);
        close(fd);
    }
    assert_int_equal(net_pool_reset(fixture.pool, 1), 0);
    fixture_assert_same(fixture_state_of(1), fresh);
    fixture_spoil(1);
    assert_int_equal(net_pool_reset(fixture.pool, 1), 0);
    fixture_assert_same(fixture_state_of(1), fresh);
    net_pool_free(fixture.pool);
    assert_int_equal(fixture_traces(id), 0);
    close(id_lock);
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    close(ready[0]);
    close(ready[1]);
    fixture.holders = NULL;
    fixture.tap = NULL;
    fixture.pool = first;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_inside),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_kinds),
    };

    if (fixture_skips("net_pool"))
        return 0;
    return cmocka_run_group_tests_name("net_pool", tests, fixture_set_up, fixture_tear_down);
}
