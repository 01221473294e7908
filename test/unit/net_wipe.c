/* links: test/support/net_fixture.c worker/cgroup.c worker/cgroup_find.c worker/cgroup_tree.c */
/* links: worker/cgroup_usage.c worker/child.c worker/child_exec.c worker/child_run.c */
/* links: worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c worker/egress.c worker/host_lock.c worker/isolation.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c */
/* links: worker/net_pool.c worker/net_rules.c worker/net_shape.c worker/net_sockets.c */
/* links: worker/net_space.c worker/net_tap.c worker/net_wipe.c worker/netlink.c */
/* Tests of what is left of a session in a berth's network after a reset: nothing. Need root. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "test/support/net_fixture.h"
#include "worker/child.h"

static void assert_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n <= 0);
    if (n < 0)
        assert_true(errno == ECONNRESET || errno == ECONNABORTED);
    close(fd);
}

static int socket_on(int family, int type)
{
    struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(any)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_reset(void **state)
{
    struct net_state fresh = fixture_state_of(0), other;
    struct sockaddr_in to = fixture_host_end(0), to_other = fixture_host_end(1);
    int ours, theirs, kept, kept_far, listening, datagram, old, v6[2] = {-1, -1};
    uint32_t mark = ntohl(to.sin_addr.s_addr) + 1, mark_other = ntohl(to_other.sin_addr.s_addr) + 1;

    (void)state;
    fixture_take(0);
    fixture_take(1);
    ours = fixture_connect(0, &to, &theirs);
    kept = fixture_connect(1, &to_other, &kept_far);
    assert_true(ours >= 0 && kept >= 0);
    fixture_inside(0);
    listening = socket_on(AF_INET, SOCK_STREAM);
    datagram = socket_on(AF_INET, SOCK_DGRAM);
    assert_int_equal(connect(datagram, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(datagram, "x", 1, 0), 1);
    old = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (old >= 0) { /* a host without IPv6 has none of these */
        close(old);
        v6[0] = socket_on(AF_INET6, SOCK_STREAM);
        v6[1] = socket_on(AF_INET6, SOCK_DGRAM);
    }
    fixture_outside();
    fixture_spoil(0);
    other = fixture_state_of(0);
    assert_true(other.links == fresh.links + 2 && other.addresses > fresh.addresses &&
                other.routes > fresh.routes && other.rules == fresh.rules + 1 &&
                other.neighbours >= fresh.neighbours + 2 && other.sockets >= fresh.sockets + 3);
    assert_true(fixture_connections(mark) > 0);
    assert_true(fixture_connections(mark_other) > 0);
    other = fixture_state_of(1);

    assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
    fixture_assert_same(fixture_state_of(0), fresh);
    assert_int_equal(fixture_connections(mark), 0);
    assert_ended(ours);
    assert_ended(theirs);

    /* The berth beside it kept all that is its own. */
    fixture_assert_same(fixture_state_of(1), other);
    assert_true(fixture_connections(mark_other) > 0);
    assert_int_equal(send(kept, "y", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(kept_far, &(char){0}, 1, 0), 1);
    close(kept);
    close(kept_far);
    assert_int_equal(net_pool_reset(fixture.pool, 1), 0);

    /* It works as before. */
    ours = fixture_connect(0, &to, &theirs);
    assert_true(ours >= 0);
    close(ours);
    close(theirs);
    close(listening);
    close(datagram);
    for (int i = 0; i < 2 && v6[i] >= 0; i++)
        close(v6[i]);
    assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
    fixture_assert_same(fixture_state_of(0), fresh);
}

/* The far end of a connection of whose near end the host does not know, as of a guest that was killed. */
static void test_far_ends(void **state)
{
    struct sockaddr_in to = fixture_host_end(0);
    int theirs, ours = fixture_connect(0, &to, &theirs);
    struct buf output = {0};

    (void)state;
    assert_true(ours >= 0);
    /* No packet leaves any more: the near end's reset is lost. */
    fixture_inside(0);
    {
        char nft[64];
        char *argv[] = {nft, (char *)"-f", (char *)"-", NULL};

        assert_int_equal(child_find_program("nft", nft, sizeof(nft)), 0);
        assert_int_equal(child_run(argv,
                                   "table ip cut {\n chain out {\n type filter hook output priority 0; "
                                   "policy accept; oifname eth0 drop\n }\n }\n",
                                   &output, 30000),
                         0);
        assert_int_equal(net_pool_reset(fixture.pool, 0), 0);
        assert_ended(theirs);
        fixture_inside(0); /* the reset went home */
        assert_int_equal(child_run(argv, "delete table ip cut", &output, 30000), 0);
    }
    fixture_outside();
    close(ours);
    buf_cleanup(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_far_ends),
    };

    if (fixture_skips("net_wipe"))
        return 0;
    return cmocka_run_group_tests_name("net_wipe", tests, fixture_set_up, fixture_tear_down);
}
