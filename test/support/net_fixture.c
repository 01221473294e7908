/* net_fixture.c: see net_fixture.h. */
#include "net_fixture.h"

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
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "shared/log.h"
#include "worker/child.h"
#include "worker/host_lock.h"
#include "worker/net_clean.h"
#include "worker/net_space.h"
#include "worker/netlink.h"

struct net_fixture fixture;
static char *to_host[] = {(char *)"host", NULL};

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
int fixture_connections(uint32_t mark)
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

void fixture_inside(int berth)
{
    assert_int_equal(net_space_enter(net_pool_namespace(fixture.pool, berth)), 0);
}

void fixture_outside(void)
{
    net_space_leave(fixture.home);
}

struct net_state fixture_state_of(int berth)
{
    struct net_state s;

    fixture_inside(berth);
    s = (struct net_state){count_of(&links),
                           count_of(&addresses),
                           count_of(&routes),
                           count_of(&rules),
                           count_of(&neighbours),
                           sockets_of(AF_INET, IPPROTO_TCP) + sockets_of(AF_INET6, IPPROTO_TCP) +
                               sockets_of(AF_INET, IPPROTO_UDP) + sockets_of(AF_INET6, IPPROTO_UDP),
                           fixture_connections(0)};
    fixture_outside();
    return s;
}

void fixture_assert_same(struct net_state a, struct net_state b)
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
char *fixture_printed(const char *name, const char *const *args)
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
int fixture_traces(const char *id)
{
    char table_of[96], pattern_of[16], path[160], *tables;
    struct if_nameindex *list = if_nameindex();
    int found = 0;

    net_clean_names(id, table_of, pattern_of);
    for (struct if_nameindex *i = list; i && i->if_name; i++)
        found += strncmp(i->if_name, pattern_of, strlen(pattern_of) - 1) == 0;
    if_freenameindex(list);
    for (int i = 0; i < FIXTURE_BERTHS; i++) {
        snprintf(path, sizeof(path), NET_SPACE_DIR "/berth-%s-%d", id, i);
        found += access(path, F_OK) == 0;
    }
    tables = fixture_printed("nft", (const char *const[]){"list", "tables", NULL});
    found += strstr(tables, table_of) != NULL;
    free(tables);
    return found;
}

/* ---- a session's doing ---- */

struct sockaddr_in fixture_host_end(int berth)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = fixture.server_port,
                                .sin_addr = net_pool_host(fixture.pool, berth)};
}

/* A connection from inside to the host's server: both ends, or -1 with what the kernel said. */
int fixture_connect(int berth, const struct sockaddr_in *to, int *accepted)
{
    struct timeval wait = {60, 0};
    int fd, result;

    fixture_inside(berth);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fixture_outside();
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
    *accepted = accept(fixture.server, NULL, NULL);
    assert_true(*accepted >= 0);
    setsockopt(*accepted, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

static void change(struct netlink_message *m)
{
    int fd = netlink_open(NETLINK_ROUTE);

    assert_true(fd >= 0);
    if (netlink_do(fd, m) != 0)
        fail_msg("request %d: %s", ((const struct nlmsghdr *)m->data)->nlmsg_type, strerror(errno));
    close(fd);
}

/* What somebody who got hold of a berth's network could leave in it. */
void fixture_spoil(int berth)
{
    const unsigned flags = NLM_F_CREATE | NLM_F_EXCL;
    unsigned char net[4] = {198, 51, 100, 0}, own[4] = {192, 0, 2, 1}, mac[6] = {2, 0, 0, 0, 0, 9};
    struct netlink_message address = {.len = 0}, route = {.len = 0}, rule = {.len = 0},
                           neighbour = {.len = 0};
    unsigned eth;

    fixture_inside(berth);
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
    assert_int_equal(net_space_link("evil0", "evil1", net_pool_namespace(fixture.pool, berth)), 0);
    fixture_outside();
}

/* ---- the pool ---- */

void fixture_take(int berth)
{
    char err[300];

    if (net_pool_take(fixture.pool, berth, &fixture.profile, NULL, NULL, err, sizeof(err)) != 1)
        fail_msg("%s", err);
}

struct net_pool *fixture_open(const char *id)
{
    struct net_pool_config c = {.holders = fixture.holders,
                                .tap = fixture.tap,
                                .loop = EV_DEFAULT,
                                .worker_id = id,
                                .berths = FIXTURE_BERTHS,
                                .settings = &fixture.settings,
                                .cdp_port = FIXTURE_CDP_PORT,
                                .isolation = fixture.isolation,
                                .isolation_len = sizeof(fixture.isolation)};
    char err[400];
    struct net_pool *p = net_pool_new(&c, err, sizeof(err));

    if (!p)
        print_error("%s\n", err);
    return p;
}

int fixture_set_up(void **state)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    char err[200];

    (void)state;
    fixture.settings = (struct settings){.net_cidr = "10.212.0.0/20",
                                         .egress_allow = "host",
                                         .net_connections = FIXTURE_CONNECTIONS,
                                         .dns_queries = 8,
                                         .dns_connections = 2,
                                         .dns_timeout = 2000};
    fixture.profile = (struct profile){.name = (char *)"test", .egress_allow = to_host};
    snprintf(fixture.worker_id, sizeof(fixture.worker_id), "net-test-%d", (int)getpid());
    fixture.lock = host_lock_take_worker(fixture.worker_id, err, sizeof(err));
    fixture.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    fixture.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fixture.lock < 0 || fixture.home < 0 || bind(fixture.server, (struct sockaddr *)&any, len) != 0 ||
        listen(fixture.server, 16) != 0 || getsockname(fixture.server, (struct sockaddr *)&any, &len) != 0)
        return -1;
    fixture.server_port = any.sin_port;
    net_clean_names(fixture.worker_id, fixture.table, fixture.pattern);
    fixture.pool = fixture_open(fixture.worker_id);
    return fixture.pool ? 0 : -1;
}

int fixture_tear_down(void **state)
{
    (void)state;
    if (fixture.pool)
        net_pool_free(fixture.pool);
    fixture.pool = NULL;
    close(fixture.lock);
    close(fixture.home);
    close(fixture.server);
    return fixture_traces(fixture.worker_id) ? -1 : 0;
}

int fixture_skips(const char *name)
{
    log_init("test", "error", "text");
    if (geteuid() == 0)
        return 0;
    printf("%s: skipped: networks are made by root\n", name);
    return 1;
}
