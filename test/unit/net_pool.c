/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c worker/net_pool.c */
/* links: worker/net_shape.c worker/net_sockets.c worker/net_space.c worker/net_tap.c worker/net_wipe.c */
/* links: worker/netlink.c worker/egress.c worker/child.c worker/child_exec.c */
/* links: worker/child_run.c worker/host_lock.c worker/cgroup.c */
/* links: worker/cgroup_find.c worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c */
/* links: worker/isolation.c */
/* Tests of the berths' networks with the real kernel: what is left of a session after a reset, what limits
 * do, and that nothing stays on the host. Need root. */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/inet_diag.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
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

#include "shared/buf.h"
#include "shared/log.h"
#include "worker/child.h"
#include "worker/egress.h"
#include "worker/host_lock.h"
#include "worker/net_clean.h"
#include "worker/net_if.h"
#include "worker/net_pool.h"
#include "worker/net_space.h"
#include "worker/net_tap.h"
#include "worker/netlink.h"
#include "worker/profile.h"

#define BERTHS 2
#define LIMIT  5

static char worker_id[32], isolation[200], table[96], pattern[16];
static char *to_host[] = {(char *)"host", NULL};
static struct settings settings = {.net_cidr = "10.212.0.0/20",
                                   .egress_allow = (char *)"host",
                                   .net_connections = LIMIT,
                                   .dns_queries = 128,
                                   .dns_connections = 2,
                                   .dns_timeout = 2000};
static struct profile profile = {.name = (char *)"test", .egress_allow = to_host};
static struct net_pool *pool;
static int lock = -1, home = -1, server = -1;
static in_port_t server_port; /* network byte order */

/* ---- what there is ---- */

struct list {
    int family;
    unsigned get;
    size_t header_len;
};

static const struct list links = {NETLINK_ROUTE, RTM_GETLINK, sizeof(struct ifinfomsg)},
                         addresses = {NETLINK_ROUTE, RTM_GETADDR, sizeof(struct ifaddrmsg)},
                         routes = {NETLINK_ROUTE, RTM_GETROUTE, sizeof(struct rtmsg)},
                         rules = {NETLINK_ROUTE, RTM_GETRULE, sizeof(struct fib_rule_hdr)},
                         neighbours = {NETLINK_ROUTE, RTM_GETNEIGH, sizeof(struct ndmsg)};

/* What a namespace has, in numbers. */
struct state {
    int links, addresses, routes, rules, neighbours, sockets, connections;
};

static void on_any(void *arg, const struct nlmsghdr *entry)
{
    int *count = arg;

    /* The kernel's own entries for broadcast and multicast come and go. */
    if (entry->nlmsg_type == RTM_NEWNEIGH) {
        const struct ndmsg *n = NLMSG_DATA(entry);

        if (n->ndm_state & NUD_NOARP)
            return;
    }
    ++*count;
}

static int dump(int family, struct netlink_message *m)
{
    int fd = netlink_open(family), count = 0;

    assert_true(fd >= 0);
    assert_int_equal(netlink_dump(fd, m, on_any, &count), 0);
    close(fd);
    return count;
}

static int count_of(const struct list *l)
{
    struct netlink_message m = {.len = 0};
    unsigned char header[32] = {AF_UNSPEC};

    netlink_begin(&m, l->get, 0, header, l->header_len);
    return dump(l->family, &m);
}

static int sockets_of(int family, int protocol)
{
    struct netlink_message m = {.len = 0};
    struct inet_diag_req_v2 r = {.sdiag_family = (unsigned char)family,
                                 .sdiag_protocol = (unsigned char)protocol,
                                 .idiag_states = ~0U};

    netlink_begin(&m, SOCK_DIAG_BY_FAMILY, 0, &r, sizeof(r));
    return dump(NETLINK_SOCK_DIAG, &m);
}

/* Connections tracked here, those with a mark only (0: all). */
static int connections(uint32_t mark)
{
    struct netlink_message m = {.len = 0};
    struct nfgenmsg body = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};

    netlink_begin(&m, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, 0, &body, sizeof(body));
    if (mark) {
        netlink_add_u32(&m, CTA_MARK, htonl(mark));
        netlink_add_u32(&m, CTA_MARK_MASK, htonl(~0U));
    }
    return dump(NETLINK_NETFILTER, &m);
}

static void inside(int berth)
{
    assert_int_equal(net_space_enter(net_pool_namespace(pool, berth)), 0);
}

static void outside(void)
{
    net_space_leave(home);
}

static struct state state_of(int berth)
{
    struct state s;

    inside(berth);
    s = (struct state){count_of(&links),
                       count_of(&addresses),
                       count_of(&routes),
                       count_of(&rules),
                       count_of(&neighbours),
                       sockets_of(AF_INET, IPPROTO_TCP) + sockets_of(AF_INET6, IPPROTO_TCP) +
                           sockets_of(AF_INET, IPPROTO_UDP) + sockets_of(AF_INET6, IPPROTO_UDP),
                       connections(0)};
    outside();
    return s;
}

static void assert_same(struct state a, struct state b)
{
    assert_int_equal(a.links, b.links);
    assert_int_equal(a.addresses, b.addresses);
    assert_int_equal(a.routes, b.routes);
    assert_int_equal(a.rules, b.rules);
    assert_int_equal(a.neighbours, b.neighbours);
    assert_int_equal(a.sockets, b.sockets);
    assert_int_equal(a.connections, b.connections);
}

/* What a program prints, to be looked through; caller frees. */
static char *printed(const char *name, const char *const *args)
{
    char program[64], *argv[16] = {program};
    struct buf output = {0};
    int n = 1;

    assert_int_equal(child_find_program(name, program, sizeof(program)), 0);
    while (*args && n < 15)
        argv[n++] = (char *)*args++;
    (void)child_run(argv, NULL, &output, 30000);
    return output.data ? output.data : calloc(1, 1);
}

/* How often the host's packet filter, interfaces and names speak of this worker. */
static int traces(const char *id)
{
    char table_of[96], pattern_of[16], path[160], *tables;
    struct if_nameindex *list = if_nameindex();
    int found = 0;

    net_clean_names(id, table_of, pattern_of);
    for (struct if_nameindex *i = list; i && i->if_name; i++)
        found += strncmp(i->if_name, pattern_of, strlen(pattern_of) - 1) == 0;
    if_freenameindex(list);
    for (int i = 0; i < BERTHS; i++) {
        snprintf(path, sizeof(path), NET_SPACE_DIR "/berth-%s-%d", id, i);
        found += access(path, F_OK) == 0;
    }
    tables = printed("nft", (const char *const[]){"list", "tables", NULL});
    found += strstr(tables, table_of) != NULL;
    free(tables);
    return found;
}

/* ---- a session's doing ---- */

static struct sockaddr_in host_end(int berth)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = server_port, .sin_addr = net_pool_host(pool, berth)};
}

/* A connection from inside to the host's server: both ends, or -1 with what the kernel said. */
static int connect_inside(int berth, const struct sockaddr_in *to, int *accepted)
{
    struct timeval wait = {60, 0};
    int fd, result;

    inside(berth);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    outside();
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    result = connect(fd, (const struct sockaddr *)to, sizeof(*to));
    if (result != 0) {
        result = errno;
        close(fd);
        errno = result;
        return -1;
    }
    *accepted = accept(server, NULL, NULL);
    assert_true(*accepted >= 0);
    setsockopt(*accepted, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

static void assert_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n <= 0);
    if (n < 0)
        assert_true(errno == ECONNRESET || errno == ECONNABORTED);
    close(fd);
}

static void change(struct netlink_message *m)
{
    int fd = netlink_open(NETLINK_ROUTE);

    assert_true(fd >= 0);
    if (netlink_do(fd, m) != 0)
        fail_msg("request %d: %s", ((const struct nlmsghdr *)m->data)->nlmsg_type, strerror(errno));
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

/* What somebody who got hold of a berth's network could leave in it. */
static void spoil(int berth)
{
    const unsigned flags = NLM_F_CREATE | NLM_F_EXCL;
    unsigned char net[4] = {198, 51, 100, 0}, own[4] = {192, 0, 2, 1}, mac[6] = {2, 0, 0, 0, 0, 9};
    struct netlink_message address = {.len = 0}, route = {.len = 0}, rule = {.len = 0},
                           neighbour = {.len = 0};
    unsigned eth;

    inside(berth);
    eth = if_nametoindex("eth0");
    netlink_begin(&address, RTM_NEWADDR, flags,
                  &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = eth},
                  sizeof(struct ifaddrmsg));
    netlink_add(&address, IFA_LOCAL, own, sizeof(own));
    change(&address);
    netlink_begin(&route, RTM_NEWROUTE, flags,
                  &(struct rtmsg){.rtm_family = AF_INET,
                                  .rtm_dst_len = 24,
                                  .rtm_table = RT_TABLE_MAIN,
                                  .rtm_protocol = RTPROT_STATIC,
                                  .rtm_scope = RT_SCOPE_LINK,
                                  .rtm_type = RTN_UNICAST},
                  sizeof(struct rtmsg));
    netlink_add(&route, RTA_DST, net, sizeof(net));
    netlink_add_u32(&route, RTA_OIF, eth);
    change(&route);
    netlink_begin(&rule, RTM_NEWRULE, flags,
                  &(struct fib_rule_hdr){.family = AF_INET, .table = RT_TABLE_MAIN, .action = FR_ACT_TO_TBL},
                  sizeof(struct fib_rule_hdr));
    netlink_add_u32(&rule, FRA_PRIORITY, 100);
    change(&rule);
    netlink_begin(&neighbour, RTM_NEWNEIGH, flags,
                  &(struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = (int)eth, .ndm_state = NUD_PERMANENT},
                  sizeof(struct ndmsg));
    own[3] = 77;
    netlink_add(&neighbour, NDA_DST, own, sizeof(own));
    netlink_add(&neighbour, NDA_LLADDR, mac, sizeof(mac));
    change(&neighbour);
    assert_int_equal(net_space_link("evil0", "evil1", net_pool_namespace(pool, berth)), 0);
    outside();
}

/* ---- tests ---- */

static void take(int berth)
{
    char err[300];

    if (net_pool_take(pool, berth, &profile, NULL, NULL, err, sizeof(err)) != 1)
        fail_msg("%s", err);
}

static void test_reset(void **state)
{
    struct state fresh = state_of(0), other;
    struct sockaddr_in to = host_end(0), to_other = host_end(1);
    int ours, theirs, kept, kept_far, listening, datagram, old, v6[2] = {-1, -1};
    uint32_t mark = ntohl(to.sin_addr.s_addr) + 1, mark_other = ntohl(to_other.sin_addr.s_addr) + 1;

    (void)state;
    take(0);
    take(1);
    ours = connect_inside(0, &to, &theirs);
    kept = connect_inside(1, &to_other, &kept_far);
    assert_true(ours >= 0 && kept >= 0);
    inside(0);
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
    outside();
    spoil(0);
    other = state_of(0);
    assert_true(other.links == fresh.links + 2 && other.addresses > fresh.addresses &&
                other.routes > fresh.routes && other.rules == fresh.rules + 1 &&
                other.neighbours >= fresh.neighbours + 2 && other.sockets >= fresh.sockets + 3);
    assert_true(connections(mark) > 0);
    assert_true(connections(mark_other) > 0);
    other = state_of(1);

    assert_int_equal(net_pool_reset(pool, 0), 0);
    assert_same(state_of(0), fresh);
    assert_int_equal(connections(mark), 0);
    assert_ended(ours);
    assert_ended(theirs);

    /* The berth beside it kept all that is its own. */
    assert_same(state_of(1), other);
    assert_true(connections(mark_other) > 0);
    assert_int_equal(send(kept, "y", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(kept_far, &(char){0}, 1, 0), 1);
    close(kept);
    close(kept_far);
    assert_int_equal(net_pool_reset(pool, 1), 0);

    /* It works as before. */
    ours = connect_inside(0, &to, &theirs);
    assert_true(ours >= 0);
    close(ours);
    close(theirs);
    close(listening);
    close(datagram);
    for (int i = 0; i < 2 && v6[i] >= 0; i++)
        close(v6[i]);
    assert_int_equal(net_pool_reset(pool, 0), 0);
    assert_same(state_of(0), fresh);
}

/* The far end of a connection of whose near end the host does not know, as of a guest that was killed. */
static void test_far_ends(void **state)
{
    struct sockaddr_in to = host_end(0);
    int theirs, ours = connect_inside(0, &to, &theirs);
    struct buf output = {0};

    (void)state;
    assert_true(ours >= 0);
    /* No packet leaves any more: the near end's reset is lost. */
    inside(0);
    {
        char nft[64];
        char *argv[] = {nft, (char *)"-f", (char *)"-", NULL};

        assert_int_equal(child_find_program("nft", nft, sizeof(nft)), 0);
        assert_int_equal(child_run(argv,
                                   "table ip cut {\n chain out {\n type filter hook output priority 0; "
                                   "policy accept; oifname eth0 drop\n }\n }\n",
                                   &output, 30000),
                         0);
        assert_int_equal(net_pool_reset(pool, 0), 0);
        assert_ended(theirs);
        inside(0); /* the reset went home */
        assert_int_equal(child_run(argv, "delete table ip cut", &output, 30000), 0);
    }
    outside();
    close(ours);
    buf_cleanup(&output);
}

static void test_connections(void **state)
{
    struct sockaddr_in to = host_end(0);
    int fds[LIMIT], far[LIMIT], more;
    char *counts;

    (void)state;
    if (strstr(isolation, "no-connection-limit"))
        skip();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < LIMIT; i++) {
            fds[i] = connect_inside(0, &to, &far[i]);
            assert_true(fds[i] >= 0);
        }
        assert_int_equal(connect_inside(0, &to, &more), -1);
        assert_int_equal(errno, ECONNREFUSED);
        /* A session that ends with all of them leaves none to the next. */
        assert_int_equal(net_pool_reset(pool, 0), 0);
        counts = printed("nft", (const char *const[]){"list", "set", "inet", table, EGRESS_COUNTS, NULL});
        assert_non_null(strstr(counts, EGRESS_COUNTS));
        assert_null(strstr(counts, "-0\""));
        free(counts);
        for (int i = 0; i < LIMIT; i++) {
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

    snprintf(name, sizeof(name), "%.*s%d", (int)strlen(pattern) - 1, pattern, berth);
    if (is_inside)
        inside(berth);
    text = printed("tc", (const char *const[]){"qdisc", "show", "dev", is_inside ? "eth0" : name, NULL});
    if (is_inside)
        outside();
    found = strstr(text, "qdisc tbf") != NULL;
    free(text);
    return found;
}

static void test_rates(void **state)
{
    (void)state;
    if (strstr(isolation, "no-bandwidth-limit"))
        skip();
    take(0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    profile.download_mbps = 2.5;
    take(0);
    assert_true(has_bucket(0, 0) && !has_bucket(0, 1));
    profile.upload_mbps = 10000;
    take(0);
    assert_true(has_bucket(0, 0) && has_bucket(0, 1));
    profile.download_mbps = profile.upload_mbps = 0;
    take(0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    profile.upload_mbps = 0.1;
    take(0);
    assert_true(has_bucket(0, 1));
    assert_int_equal(net_pool_reset(pool, 0), 0);
    assert_false(has_bucket(0, 0) || has_bucket(0, 1));
    profile.upload_mbps = 0;
}

/* A session may leave as many connections in TIME_WAIT as it likes: what is to be ended at once is bounded.
 */
static void test_closed_connections(void **state)
{
    int of_host = net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL), of_berth;

    (void)state;
    inside(0);
    of_berth = net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL);
    outside();
    assert_in_range(of_berth, 1, 1024);
    assert_int_equal(net_if_get_sysctl("ipv4/tcp_max_tw_buckets", NULL), of_host);
}

static const int *holders;               /* of the next pool */
static const struct net_tap_config *tap; /* of the next pool */

static struct net_pool *open_pool(const char *id)
{
    struct net_pool_config c = {.holders = holders,
                                .tap = tap,
                                .loop = EV_DEFAULT,
                                .worker_id = id,
                                .berths = BERTHS,
                                .settings = &settings,
                                .cdp_port = 9222,
                                .isolation = isolation,
                                .isolation_len = sizeof(isolation)};
    char err[400];
    struct net_pool *p = net_pool_new(&c, err, sizeof(err));

    if (!p)
        print_error("%s\n", err);
    return p;
}

/* A worker that is killed leaves everything; the next one on the host, whatever its id, removes it. */
static void test_killed(void **state)
{
    char id[48], next[48];
    int ready[2], status, other_lock, left;
    char byte, err[200];
    struct net_pool *p;
    pid_t pid;

    (void)state;
    snprintf(id, sizeof(id), "%s-dead", worker_id);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        other_lock = host_lock_take_worker(id, err, sizeof(err));
        p = other_lock < 0 ? NULL : open_pool(id);
        (void)!write(ready[1], p ? "y" : "n", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    other_lock = host_lock_take(NET_CLEAN_LOCK, 60000); /* no other worker of this host cleans now */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(byte, 'y');
    left = traces(id);
    close(other_lock);
    assert_int_equal(left, 2 * BERTHS + 1);

    snprintf(next, sizeof(next), "%s-next", worker_id);
    other_lock = host_lock_take_worker(next, err, sizeof(err));
    assert_true(other_lock >= 0);
    p = open_pool(next);
    assert_non_null(p);
    assert_int_equal(traces(id), 0);
    assert_int_equal(traces(worker_id), 2 * BERTHS + 1);
    net_pool_free(p);
    assert_int_equal(traces(next), 0);
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
    struct net_pool *first = pool;
    int ready[2], pids[BERTHS], fd, id_lock;
    struct state fresh;
    char id[48], byte, err[200];

    (void)state;
    snprintf(id, sizeof(id), "%s-kinds", worker_id);
    inet_pton(AF_INET, "172.31.255.1", &card.gateway);
    inet_pton(AF_INET, "172.31.255.2", &card.guest);
    assert_int_equal(pipe(ready), 0);
    for (int i = 0; i < BERTHS; i++) {
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
    holders = pids;
    tap = access("/dev/net/tun", R_OK | W_OK) == 0 ? &card : NULL;
    id_lock = host_lock_take_worker(id, err, sizeof(err));
    assert_true(id_lock >= 0); /* else workers beside this test take it for dead */
    pool = open_pool(id);
    assert_non_null(pool);
    take(1);
    fresh = state_of(1);
    if (tap) {
        fd = net_pool_tap(pool, 1, mac);
        assert_true(fd >= 0);
        assert_int_equal(state_of(1).neighbours, fresh.neighbours + 1);
        close(fd);
    }
    assert_int_equal(net_pool_reset(pool, 1), 0);
    assert_same(state_of(1), fresh);
    spoil(1);
    assert_int_equal(net_pool_reset(pool, 1), 0);
    assert_same(state_of(1), fresh);
    net_pool_free(pool);
    assert_int_equal(traces(id), 0);
    close(id_lock);
    for (int i = 0; i < BERTHS; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    close(ready[0]);
    close(ready[1]);
    holders = NULL;
    tap = NULL;
    pool = first;
}

static int set_up(void **state)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    char err[200];

    (void)state;
    lock = host_lock_take_worker(worker_id, err, sizeof(err));
    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (lock < 0 || home < 0 || bind(server, (struct sockaddr *)&any, len) != 0 || listen(server, 16) != 0 ||
        getsockname(server, (struct sockaddr *)&any, &len) != 0)
        return -1;
    server_port = any.sin_port;
    net_clean_names(worker_id, table, pattern);
    pool = open_pool(worker_id);
    return pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    if (pool)
        net_pool_free(pool);
    pool = NULL;
    close(lock);
    close(home);
    close(server);
    return traces(worker_id) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_far_ends),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_closed_connections),
    };

    if (geteuid() != 0) {
        puts("net_pool: skipped: networks are made by root");
        return 0;
    }
    log_init("test", "error", "text");
    snprintf(worker_id, sizeof(worker_id), "net-test-%d", (int)getpid());
    return cmocka_run_group_tests_name("net_pool", tests, set_up, tear_down);
}
