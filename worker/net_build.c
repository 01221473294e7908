/* net_build.c: making the networks of all berths when a worker opens. `nft` is run for the host's table and
 * for the rules inside the first namespace, of which the others get copies; all else is system calls. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "child.h"
#include "dns_relay.h"
#include "net_clean.h"
#include "net_if.h"
#include "net_pool_internal.h"
#include "net_rules.h"
#include "net_shape.h"
#include "net_space.h"
#include "net_tap.h"

#define NETWORKS_MAX 4096
#define NFT_MS       10000
#define DNS_PORT     53
#define DNS_BACKLOG  16
#define TIME_WAITS   1024 /* closed TCP connections that a berth's kernel remembers */

/* ---- addresses ---- */

static int overlap(const struct egress_net *a, uint32_t addr, int prefix)
{
    int shorter = a->prefix < prefix ? a->prefix : prefix;
    uint32_t mask = shorter ? ~0U << (32 - shorter) : 0;

    return ((a->addr ^ addr) & mask) == 0;
}

/* Gives each berth the next block of BERTH_NET that nothing on this host uses. */
static int choose_addresses(struct net_pool *p, char *err, size_t errlen)
{
    struct egress_net *used = mem_alloc(NETWORKS_MAX * sizeof(*used));
    const struct egress_net *net = &p->table.net;
    uint32_t blocks = net->prefix <= NET_POOL_PREFIX ? 1U << (NET_POOL_PREFIX - net->prefix) : 0;
    int count = net_if_networks(used, NETWORKS_MAX), chosen = 0;

    for (uint32_t k = 0; k < blocks && chosen < p->table.berth_count; k++) {
        uint32_t block = net->addr + k * 4;
        int taken = 0;

        /* A wider route than BERTH_NET (a VPN's 10.0.0.0/8, say) is only covered where our blocks are. */
        for (int i = 0; i < count && !taken; i++)
            taken = used[i].prefix >= net->prefix && overlap(&used[i], block, NET_POOL_PREFIX);
        if (taken)
            continue;
        p->table.berths[chosen].host.s_addr = htonl(block + 1);
        p->table.berths[chosen].self.s_addr = htonl(block + 2);
        chosen++;
    }
    free(used);
    if (chosen == p->table.berth_count)
        return 0;
    snprintf(
        err, errlen,
        "BERTH_NET has room for %d of %d berths (a /30 each, beside what this host uses): set a larger one",
        chosen, p->table.berth_count);
    return -1;
}

/* ---- the host's table ---- */

static int run_nft(const struct net_pool *p, int space, const struct buf *rules, char *err, size_t errlen)
{
    char *argv[] = {(char *)p->nft, (char *)"-f", (char *)"-", NULL};
    struct child_spec spec = {.argv = argv, .net_ns = space, .uid = -1};
    struct buf output = {0};
    int status = child_run_spec(&spec, rules->data, &output, NFT_MS);

    if (status != 0) {
        const char *text = status < 0 ? strerror(errno) : output.data ? output.data : "it said nothing";

        snprintf(err, errlen, "%s failed: %.*s", p->nft, (int)strcspn(text, "\n"), text);
    }
    buf_cleanup(&output);
    return status == 0 ? 0 : -1;
}

/* With marks and counts of connections as far as this kernel and this nft know them. */
static int make_table(struct net_pool *p, char *err, size_t errlen)
{
    int connections = p->table.connections;

    for (int attempt = 0; attempt < 3; attempt++) {
        struct buf rules = {0};
        int result;

        p->table.connections = attempt < 1 ? connections : 0;
        p->table.marks = attempt < 2;
        if (attempt == 1 && !connections)
            continue;
        egress_rules_create(&rules, &p->table);
        result = run_nft(p, -1, &rules, err, errlen);
        buf_cleanup(&rules);
        if (result == 0)
            return 0;
        if (attempt < 2)
            log_debug("nft_tracking_refused", "connections=%d marks=%d error=%s", p->table.connections,
                      p->table.marks, err);
    }
    return -1;
}

/* ---- one berth ---- */

/* Inside the namespace: interfaces, route, and the resolver's sockets. */
static int set_up_inside(struct net_pool *p, int berth, int *udp, int *tcp)
{
    const struct egress_berth *b = &p->table.berths[berth];
    struct sockaddr_in dns = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    int one = 1;

    dns.sin_addr.s_addr = p->tap ? p->tap->gateway.s_addr : htonl(INADDR_LOOPBACK);
    if (net_if_sysctl("ipv6/conf/all/disable_ipv6", NULL, 1) != 0 && errno != ENOENT)
        return -1;
    /* Between two sessions all are gone through at once, by a worker that has others to serve. */
    (void)net_if_sysctl("ipv4/tcp_max_tw_buckets", NULL, TIME_WAITS);
    if (net_if_up("lo") != 0 || net_if_set_address("eth0", b->self, NET_POOL_PREFIX) != 0 ||
        net_if_up("eth0") != 0 || net_if_default_route(b->host) != 0)
        return -1;
    if (p->tap && net_tap_create(p->tap) != 0)
        return -1;
    *udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*udp < 0 || *tcp < 0 || setsockopt(*tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(*udp, (struct sockaddr *)&dns, sizeof(dns)) != 0 ||
        bind(*tcp, (struct sockaddr *)&dns, sizeof(dns)) != 0 || listen(*tcp, DNS_BACKLOG) != 0)
        return -1;
    return 0;
}

static int set_up_outside(struct net_pool *p, int berth)
{
    const struct egress_berth *b = &p->table.berths[berth];

    if (net_space_link(b->ifname, "eth0", p->berths[berth].space) != 0)
        return -1;
    net_if_sysctl("ipv6/conf/%s/disable_ipv6", b->ifname, 1);
    if (net_if_sysctl("ipv4/conf/%s/forwarding", b->ifname, 1) != 0 ||
        net_if_sysctl("ipv4/conf/%s/send_redirects", b->ifname, 0) != 0 ||
        net_if_set_address(b->ifname, b->host, NET_POOL_PREFIX) != 0 || net_if_up(b->ifname) != 0)
        return -1;
    return p->table.policies[b->policy].host ? net_if_sysctl("ipv4/conf/%s/route_localnet", b->ifname, 1) : 0;
}

static int set_up(struct net_pool *p, int berth, char *err, size_t errlen)
{
    const struct egress_berth *b = &p->table.berths[berth];
    struct berth_net *n = &p->berths[berth];
    int fds[2] = {-1, -1}, result; /* UDP, TCP */

    if (set_up_outside(p, berth) != 0 || net_space_enter(n->space) != 0)
        goto fail;
    result = set_up_inside(p, berth, &fds[0], &fds[1]);
    net_space_leave(p->home);
    for (int i = 0; result == 0 && i < 2; i++) {
        struct stat s;

        result = fstat(fds[i], &s);
        n->sockets[i] = s.st_ino;
    }
    if (result != 0)
        goto fail;
    n->dns = dns_relay_new(p->loop, p->upstreams, &p->dns_limits, fds[0], fds[1], b->host);
    dns_relay_allow_host(n->dns, p->table.policies[b->policy].host);
    return 0;
fail:
    snprintf(err, errlen, "cannot set up the network of berth %d: %s", berth, strerror(errno));
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return -1;
}

/* ---- all ---- */

static int make_spaces(struct net_pool *p, const int *holders, char *err, size_t errlen)
{
    for (int i = 0; i < p->table.berth_count; i++) {
        char name[96];

        net_clean_space_name(p->worker_id, i, name);
        p->berths[i].space = net_space_make(name, holders ? holders[i] : 0);
        if (p->berths[i].space < 0) {
            snprintf(err, errlen, "cannot make the network namespace %s: %s", name, strerror(errno));
            return -1;
        }
    }
    return 0;
}

/* Whether the kernel can limit an interface's rate is found by trying. */
static int probe_shape(const struct net_pool *p)
{
    const char *ifname = p->table.berths[0].ifname;

    return p->table.berth_count && net_shape_set(ifname, 1) == 0 && net_shape_set(ifname, 0) == 0;
}

static int choose_names(struct net_pool *p, const struct settings *settings, char *err, size_t errlen)
{
    struct egress_policy first;
    char **allow = egress_split(settings->egress_allow), what[160];
    int ok = egress_parse(&first, allow, what, sizeof(what)) == 0, prefix;

    egress_free_list(allow);
    if (!ok) {
        snprintf(err, errlen, "BERTH_EGRESS_ALLOW: %s", what);
        return -1;
    }
    if (egress_parse_net(&p->table.net, settings->net_cidr, what, sizeof(what)) != 0) {
        snprintf(err, errlen, "BERTH_NET: %s", what);
        return -1;
    }
    p->policy_made[egress_table_policy(&p->table, &first)] = 1;
    net_clean_names(p->worker_id, p->table.name, p->table.if_pattern);
    prefix = (int)strlen(p->table.if_pattern) - 1;
    for (int i = 0; i < p->table.berth_count; i++)
        snprintf(p->table.berths[i].ifname, sizeof(p->table.berths[i].ifname), "%.*s%d", prefix,
                 p->table.if_pattern, i);
    return 0;
}

/* The rules inside a namespace, while the calling thread is in it: nft's in the first one, copies of them in
 * the others. */
static int copy_rules(struct buf *copy)
{
    return copy->len ? net_rules_make(copy) : net_rules_read(EGRESS_INSIDE, copy);
}

static int make_rules_inside(struct net_pool *p, char *err, size_t errlen)
{
    struct buf rules = {0}, copy = {0};
    int result = 0;

    /* Inside, only the worker may connect to the debugging port: pages cannot drive their own browser. */
    if (p->tap)
        net_tap_rules(&rules, p->tap, geteuid());
    else
        egress_rules_inside(&rules, p->cdp_port, geteuid());
    if (p->table.berth_count)
        result = run_nft(p, p->berths[0].space, &rules, err, errlen);
    for (int i = 0; i < p->table.berth_count && result == 0; i++) {
        result = net_space_enter(p->berths[i].space);
        if (result == 0) {
            result = copy_rules(&copy);
            net_space_leave(p->home);
        }
        if (result != 0)
            snprintf(err, errlen, "cannot copy the rules inside the network of berth %d: %s", i,
                     strerror(errno));
    }
    buf_cleanup(&rules);
    buf_cleanup(&copy);
    return result;
}

int net_build(struct net_pool *p, const struct settings *settings, const int *holders, char *err,
              size_t errlen)
{
    p->table.connections = (int)settings->net_connections;
    p->dns_limits = (struct dns_limits){settings->dns_queries, settings->dns_connections};
    if (choose_names(p, settings, err, errlen) != 0)
        return -1;
    net_clean_dead_workers(p->nft, p->worker_id);
    if (choose_addresses(p, err, errlen) != 0)
        return -1;
    /* Namespaces first: their names are how a later worker finds what this one leaves if it is killed. Rules
     * before interfaces: they go by name, so there is no moment without them. */
    if (make_spaces(p, holders, err, errlen) != 0 || make_table(p, err, errlen) != 0)
        return -1;
    net_clean_open_firewall(p->nft, p->table.if_pattern);
    net_clean_forward();
    if (make_rules_inside(p, err, errlen) != 0)
        return -1;
    for (int i = 0; i < p->table.berth_count; i++) {
        if (set_up(p, i, err, errlen) != 0)
            return -1;
    }
    p->can_shape = probe_shape(p);
    return 0;
}
