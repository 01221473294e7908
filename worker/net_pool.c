/* net_pool.c: see net_pool.h. `ip` runs once for all berths and so does `nft`; addresses, routes and sysctls
 * are set by ioctl from inside each namespace (net_if.c). */
#include "net_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "child.h"
#include "dns_relay.h"
#include "egress.h"
#include "host_lock.h"
#include "net_clean.h"
#include "net_if.h"
#include "net_tap.h"

#define NETWORKS_MAX 4096
#define BLOCK_PREFIX 30
#define LOCK_WAIT_MS 60000
#define DNS_PORT     53
#define DNS_BACKLOG  16

struct berth_net {
    struct net_pool *pool;
    int index;
    int ns_fd;
    struct dns_relay *dns;
    struct child *nft; /* changing the policy */
    int next_policy;
    void (*on_done)(void *arg, int result);
    void *arg;
};

struct net_pool {
    struct ev_loop *loop;
    char worker_id[65];
    int host_ns; /* the worker's own namespace */
    int cdp_port;
    const struct net_tap_config *tap;
    char ip[64], nft[64];
    struct dns_upstreams *upstreams;
    struct egress_table table;
    unsigned char policy_made[EGRESS_POLICIES_MAX]; /* its chains are in the table */
    struct berth_net *berths;
};

/* ---- namespaces ---- */

static int enter(const struct net_pool *p, int berth)
{
    return setns(p->berths[berth].ns_fd, CLONE_NEWNET);
}

static void leave(const struct net_pool *p)
{
    int saved = errno;

    if (setns(p->host_ns, CLONE_NEWNET) != 0)
        log_fatal("netns_return_failed", "error=%s",
                  strerror(errno)); /* everything after this would happen in a berth */
    errno = saved;
}

int net_pool_namespace(const struct net_pool *p, int berth)
{
    return p->berths[berth].ns_fd;
}

int net_pool_socket(const struct net_pool *p, int berth, int type)
{
    int fd;

    if (enter(p, berth) != 0)
        return -1;
    fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    leave(p);
    return fd;
}

int net_pool_tap(const struct net_pool *p, int berth, const unsigned char mac[6])
{
    int fd = -1;

    if (enter(p, berth) != 0)
        return -1;
    if (net_tap_neighbour(p->tap, mac) == 0 && net_tap_forget() == 0)
        fd = net_tap_open();
    leave(p);
    return fd;
}

/* ---- addresses ---- */

static int overlap(const struct egress_net *a, uint32_t addr, int prefix)
{
    int shorter = a->prefix < prefix ? a->prefix : prefix;
    uint32_t mask = shorter ? ~0U << (32 - shorter) : 0;

    return ((a->addr ^ addr) & mask) == 0;
}

/* Gives each berth the next /30 of BERTH_NET that nothing on this host uses. */
static int choose_addresses(struct net_pool *p, char *err, size_t errlen)
{
    struct egress_net *used = mem_alloc(NETWORKS_MAX * sizeof(*used));
    const struct egress_net *net = &p->table.net;
    uint32_t blocks = net->prefix <= BLOCK_PREFIX ? 1U << (BLOCK_PREFIX - net->prefix) : 0;
    int count = net_if_networks(used, NETWORKS_MAX), chosen = 0;

    for (uint32_t k = 0; k < blocks && chosen < p->table.berth_count; k++) {
        uint32_t block = net->addr + k * 4;
        int taken = 0;

        /* A wider route than BERTH_NET (a VPN's 10.0.0.0/8, say) is only covered where our blocks are. */
        for (int i = 0; i < count && !taken; i++)
            taken = used[i].prefix >= net->prefix && overlap(&used[i], block, BLOCK_PREFIX);
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

/* ---- making ---- */

static int run(const char *program, const char *flag, const struct buf *input, int limit_ms, char *err,
               size_t errlen)
{
    char *argv[] = {(char *)program, (char *)flag, (char *)"-", NULL};
    struct buf output = {0};
    int status = child_run(argv, input->data ? input->data : "", &output, limit_ms);

    if (status != 0) {
        char *line = output.data ? output.data : (char *)"";

        line[strcspn(line, "\n")] = '\0';
        snprintf(err, errlen, "%s failed: %s", program, status < 0 ? strerror(errno) : line);
    }
    buf_cleanup(&output);
    return status == 0 ? 0 : -1;
}

static int make_links(struct net_pool *p, const int *holders, char *err, size_t errlen)
{
    struct buf batch = {0};
    int result;

    for (int i = 0; i < p->table.berth_count; i++) {
        const char *ifname = p->table.berths[i].ifname;

        if (holders)
            buf_addf(&batch, "netns attach berth-%s-%d %d\n", p->worker_id, i, holders[i]);
        else
            buf_addf(&batch, "netns add berth-%s-%d\n", p->worker_id, i);
        buf_addf(&batch, "link add %s type veth peer name eth0 netns berth-%s-%d\n", ifname, p->worker_id, i);
    }
    result = run(p->ip, "-batch", &batch, 10000 + 100 * p->table.berth_count, err, errlen);
    buf_cleanup(&batch);
    return result;
}

/* Inside the namespace: interfaces, route, and the resolver's sockets. */
static int set_up_inside(struct net_pool *p, int berth, int *udp, int *tcp)
{
    const struct egress_berth *b = &p->table.berths[berth];
    struct sockaddr_in dns = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    int one = 1;

    dns.sin_addr.s_addr = p->tap ? p->tap->gateway.s_addr : htonl(INADDR_LOOPBACK);
    if (net_if_sysctl("ipv6/conf/all/disable_ipv6", NULL, 1) != 0 && errno != ENOENT)
        return -1;
    if (net_if_up("lo") != 0 || net_if_set_address("eth0", b->self, BLOCK_PREFIX) != 0 ||
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

static int set_up(struct net_pool *p, int berth, char *err, size_t errlen)
{
    const struct egress_berth *b = &p->table.berths[berth];
    struct berth_net *n = &p->berths[berth];
    int udp = -1, tcp = -1, result;
    char path[160];

    snprintf(path, sizeof(path), "/run/netns/berth-%s-%d", p->worker_id, berth);
    n->ns_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (n->ns_fd < 0)
        goto fail;
    net_if_sysctl("ipv6/conf/%s/disable_ipv6", b->ifname, 1);
    if (net_if_sysctl("ipv4/conf/%s/forwarding", b->ifname, 1) != 0 ||
        net_if_sysctl("ipv4/conf/%s/send_redirects", b->ifname, 0) != 0 ||
        net_if_set_address(b->ifname, b->host, BLOCK_PREFIX) != 0 || net_if_up(b->ifname) != 0 ||
        enter(p, berth) != 0)
        goto fail;
    result = set_up_inside(p, berth, &udp, &tcp);
    leave(p);
    if (result != 0)
        goto fail;
    if (p->table.policies[b->policy].host && net_if_sysctl("ipv4/conf/%s/route_localnet", b->ifname, 1) != 0)
        goto fail;
    n->dns = dns_relay_new(p->loop, p->upstreams, udp, tcp, b->host);
    dns_relay_allow_host(n->dns, p->table.policies[b->policy].host);
    return 0;
fail:
    snprintf(err, errlen, "cannot set up the network of berth %d: %s", berth, strerror(errno));
    if (udp >= 0)
        close(udp);
    if (tcp >= 0)
        close(tcp);
    return -1;
}

/* Only the worker may connect to the debugging port: pages cannot drive their own browser. */
static int guard_port(struct net_pool *p, int berth, const struct buf *rules, char *err, size_t errlen)
{
    char *argv[] = {p->nft, (char *)"-f", (char *)"-", NULL};
    struct child_spec spec = {.argv = argv, .net_ns = p->berths[berth].ns_fd, .uid = -1};
    struct buf output = {0};
    int status = child_run_spec(&spec, rules->data, &output, 10000);

    if (status != 0)
        snprintf(err, errlen, "cannot set the rules inside berth %d: %.200s", berth,
                 output.data ? output.data : strerror(errno));
    buf_cleanup(&output);
    return status == 0 ? 0 : -1;
}

/* Under the host-wide lock: everything that looks at other workers' networks. */
static int build(struct net_pool *p, const int *holders, char *err, size_t errlen)
{
    struct buf rules = {0};
    int result = -1;

    net_clean_dead_workers(p->ip, p->nft, p->worker_id);
    if (choose_addresses(p, err, errlen) != 0)
        goto cleanup;
    /* The rules first: they go by name, so there is no moment without them. */
    egress_rules_create(&rules, &p->table);
    if (run(p->nft, "-f", &rules, 10000, err, errlen) != 0 || make_links(p, holders, err, errlen) != 0)
        goto cleanup;
    net_clean_open_firewall(p->nft, p->table.if_pattern);
    net_clean_forward();
    rules.len = 0;
    if (p->tap)
        net_tap_rules(&rules, p->tap, geteuid());
    else
        egress_rules_inside(&rules, p->cdp_port, geteuid());
    for (int i = 0; i < p->table.berth_count; i++) {
        if (set_up(p, i, err, errlen) != 0 || guard_port(p, i, &rules, err, errlen) != 0)
            goto cleanup;
    }
    result = 0;
cleanup:
    buf_cleanup(&rules);
    return result;
}

/* Programs, names, the first policy. */
static int prepare(struct net_pool *p, const struct net_pool_config *c, char *err, size_t errlen)
{
    struct egress_policy first;
    char **allow = egress_split(c->egress_allow);
    char what[160];
    int ok = egress_parse(&first, allow, what, sizeof(what)) == 0;

    egress_free_list(allow);
    if (!ok) {
        snprintf(err, errlen, "BERTH_EGRESS_ALLOW: %s", what);
        return -1;
    }
    if (egress_parse_net(&p->table.net, c->cidr, what, sizeof(what)) != 0) {
        snprintf(err, errlen, "BERTH_NET: %s", what);
        return -1;
    }
    if (child_find_program("ip", p->ip, sizeof(p->ip)) != 0) {
        snprintf(err, errlen, "the program ip is missing: install the Debian package iproute2");
        return -1;
    }
    if (child_find_program("nft", p->nft, sizeof(p->nft)) != 0) {
        snprintf(err, errlen, "the program nft is missing: install the Debian package nftables");
        return -1;
    }
    p->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (p->host_ns < 0) {
        snprintf(err, errlen, "cannot open /proc/self/ns/net: %s", strerror(errno));
        return -1;
    }
    p->policy_made[egress_table_policy(&p->table, &first)] = 1;
    net_clean_names(p->worker_id, p->table.name, p->table.if_pattern);
    for (int i = 0; i < c->berths; i++) {
        int prefix = (int)strlen(p->table.if_pattern) - 1;

        snprintf(p->table.berths[i].ifname, sizeof(p->table.berths[i].ifname), "%.*s%d", prefix,
                 p->table.if_pattern, i);
    }
    return 0;
}

struct net_pool *net_pool_new(const struct net_pool_config *c, char *err, size_t errlen)
{
    struct net_pool *p = mem_alloc(sizeof(*p));
    int lock = -1, result = -1;

    p->loop = c->loop;
    p->cdp_port = c->cdp_port;
    p->tap = c->tap;
    p->host_ns = -1;
    snprintf(p->worker_id, sizeof(p->worker_id), "%s", c->worker_id);
    p->table.berth_count = c->berths;
    p->table.berths = mem_alloc((size_t)c->berths * sizeof(*p->table.berths));
    p->berths = mem_alloc((size_t)c->berths * sizeof(*p->berths));
    for (int i = 0; i < c->berths; i++)
        p->berths[i] = (struct berth_net){.pool = p, .index = i, .ns_fd = -1};
    p->upstreams = dns_upstreams_new(NULL, 0);
    if (prepare(p, c, err, errlen) != 0)
        goto cleanup;
    lock = host_lock_take(NET_CLEAN_LOCK, LOCK_WAIT_MS);
    if (lock < 0) {
        snprintf(err, errlen, "another worker on this host has been opening its networks for a minute: %s",
                 strerror(errno));
        goto cleanup;
    }
    result = build(p, c->holders, err, errlen);
cleanup:
    if (lock >= 0)
        close(lock);
    if (result != 0) {
        net_pool_free(p);
        return NULL;
    }
    return p;
}

/* ---- policies ---- */

static void on_nft_exit(void *arg, int status)
{
    struct berth_net *n = arg;
    struct net_pool *p = n->pool;
    struct egress_berth *b = &p->table.berths[n->index];

    n->nft = NULL;
    if (status == 0) {
        p->policy_made[n->next_policy] = 1;
        b->policy = n->next_policy;
        dns_relay_allow_host(n->dns, p->table.policies[b->policy].host);
    } else {
        log_error("egress_policy_failed", "berth=%d status=%d", n->index, status);
    }
    n->on_done(n->arg, status == 0 ? 0 : -1);
}

static int start_nft(struct net_pool *p, struct berth_net *n, const struct buf *rules)
{
    char *argv[] = {p->nft, (char *)"-f", (char *)"-", NULL};
    struct child_spec spec = {.argv = argv, .fd_count = 3, .net_ns = -1, .uid = -1};

    spec.fds[0] = child_input(rules->data);
    spec.fds[1] = spec.fds[2] = STDERR_FILENO;
    if (spec.fds[0] < 0)
        return -1;
    n->nft = child_start(p->loop, &spec, on_nft_exit, n);
    close(spec.fds[0]);
    return n->nft ? 0 : -1;
}

int net_pool_set_policy(struct net_pool *p, int berth, char *const *egress_allow,
                        void (*on_done)(void *arg, int result), void *arg, char *err, size_t errlen)
{
    struct berth_net *n = &p->berths[berth];
    struct egress_berth *b = &p->table.berths[berth];
    struct egress_policy policy;
    struct buf rules = {0};
    int index, result = -1;

    if (egress_parse(&policy, egress_allow, err, errlen) != 0)
        return -1;
    index = egress_table_policy(&p->table, &policy);
    if (index < 0) {
        snprintf(err, errlen, "more than %d different egress policies", EGRESS_POLICIES_MAX);
        return -1;
    }
    if (index == b->policy)
        return 1;
    if (net_if_sysctl("ipv4/conf/%s/route_localnet", b->ifname, policy.host) != 0) {
        snprintf(err, errlen, "cannot set route_localnet on %s: %s", b->ifname, strerror(errno));
        return -1;
    }
    n->next_policy = index;
    n->on_done = on_done;
    n->arg = arg;
    egress_rules_switch(&rules, &p->table, berth, index, !p->policy_made[index]);
    if (start_nft(p, n, &rules) == 0)
        result = 0;
    else
        snprintf(err, errlen, "cannot run nft: %s", strerror(errno));
    buf_cleanup(&rules);
    return result;
}

void net_pool_reset(struct net_pool *p, int berth)
{
    dns_relay_reset(p->berths[berth].dns);
}

/* ---- end ---- */

void net_pool_free(struct net_pool *p)
{
    int lock = host_lock_take(NET_CLEAN_LOCK, LOCK_WAIT_MS);

    for (int i = 0; i < p->table.berth_count; i++) {
        if (p->berths[i].nft)
            child_finish(p->berths[i].nft, 1000);
        dns_relay_free(p->berths[i].dns);
        if (p->berths[i].ns_fd >= 0)
            close(p->berths[i].ns_fd);
    }
    if (p->host_ns >= 0)
        net_clean_worker(p->ip, p->nft, p->worker_id);
    net_clean_unforward();
    if (lock >= 0)
        close(lock);
    if (p->host_ns >= 0)
        close(p->host_ns);
    dns_upstreams_free(p->upstreams);
    free(p->table.berths);
    free(p->berths);
    free(p);
}
