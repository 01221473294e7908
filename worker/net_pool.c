/* net_pool.c: see net_pool.h. net_build.c makes what is used here, net_clean.c removes it. */
#include "net_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "child.h"
#include "dns_relay.h"
#include "host_lock.h"
#include "isolation.h"
#include "net_clean.h"
#include "net_conntrack.h"
#include "net_if.h"
#include "net_pool_internal.h"
#include "net_rules.h"
#include "net_shape.h"
#include "net_space.h"
#include "net_tap.h"
#include "net_wipe.h"
#include "netlink.h"
#include "profile.h"

#define LOCK_WAIT_MS 60000

/* ---- inside a namespace ---- */

int net_pool_namespace(const struct net_pool *p, int berth)
{
    return p->berths[berth].space;
}

struct in_addr net_pool_host(const struct net_pool *p, int berth)
{
    return p->table.berths[berth].host;
}

int net_pool_socket(const struct net_pool *p, int berth, int type)
{
    int fd;

    if (net_space_enter(p->berths[berth].space) != 0)
        return -1;
    fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    net_space_leave(p->home);
    return fd;
}

int net_pool_tap(const struct net_pool *p, int berth, const unsigned char mac[6])
{
    int fd = -1;

    if (net_space_enter(p->berths[berth].space) != 0)
        return -1;
    if (net_tap_neighbour(p->tap, mac) == 0 && net_conntrack_forget_all() == 0)
        fd = net_tap_open();
    net_space_leave(p->home);
    return fd;
}

/* ---- opening ---- */

static int find_programs(struct net_pool *p, char *err, size_t errlen)
{
    if (child_find_program("nft", p->nft, sizeof(p->nft)) != 0) {
        snprintf(err, errlen, "the program nft is missing: install the Debian package nftables");
        return -1;
    }
    p->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (p->home < 0) {
        snprintf(err, errlen, "cannot open /proc/thread-self/ns/net: %s", strerror(errno));
        return -1;
    }
    p->filter = netlink_open(NETLINK_NETFILTER);
    if (p->filter < 0) {
        snprintf(err, errlen, "cannot speak to the packet filter: %s", strerror(errno));
        return -1;
    }
    return 0;
}

struct net_pool *net_pool_new(const struct net_pool_config *c, char *err, size_t errlen)
{
    struct net_pool *p = mem_alloc(sizeof(*p));
    double began = clock_mono_ms();
    int lock = -1, result = -1;

    p->loop = c->loop;
    p->cdp_port = c->cdp_port;
    p->tap = c->tap;
    p->home = p->filter = -1;
    snprintf(p->worker_id, sizeof(p->worker_id), "%s", c->worker_id);
    p->table.berth_count = c->berths;
    p->table.berths = mem_alloc((size_t)c->berths * sizeof(*p->table.berths));
    p->berths = mem_alloc((size_t)c->berths * sizeof(*p->berths));
    for (int i = 0; i < c->berths; i++)
        p->berths[i] = (struct berth_net){.pool = p, .index = i, .space = -1};
    p->upstreams = dns_upstreams_new(NULL, 0, c->settings->dns_timeout);
    if (find_programs(p, err, errlen) != 0)
        goto cleanup;
    lock = host_lock_take(NET_CLEAN_LOCK, LOCK_WAIT_MS);
    if (lock < 0) {
        snprintf(err, errlen, "another worker on this host has been opening its networks for a minute: %s",
                 strerror(errno));
        goto cleanup;
    }
    result = net_build(p, c->settings, c->holders, err, errlen);
cleanup:
    if (lock >= 0)
        close(lock);
    if (result != 0) {
        net_pool_free(p);
        return NULL;
    }
    if (p->table.connections < c->settings->net_connections)
        isolation_reduced(c->isolation, c->isolation_len, "no-connection-limit",
                          "the packet filter of this kernel cannot count connections");
    if (!p->table.marks)
        isolation_reduced(
            c->isolation, c->isolation_len, "no-connection-marks",
            "the packet filter of this kernel cannot mark connections: it forgets them in its own time");
    if (!p->can_shape)
        isolation_reduced(c->isolation, c->isolation_len, "no-bandwidth-limit",
                          "this kernel has no token bucket (sch_tbf)");
    log_info("networks_made", "berths=%d ms=%.1f", c->berths, clock_mono_ms() - began);
    return p;
}

/* ---- taking ---- */

static void has_policy(struct net_pool *p, struct berth_net *n, int policy)
{
    p->policy_made[policy] = 1;
    p->table.berths[n->index].policy = policy;
    dns_relay_allow_host(n->dns, p->table.policies[policy].host);
}

static void on_nft_exit(void *arg, int status)
{
    struct berth_net *n = arg;

    n->nft = NULL;
    if (status == 0) {
        has_policy(n->pool, n, n->next_policy);
    } else {
        log_error("egress_policy_failed", "berth=%d status=%d", n->index, status);
    }
    n->on_done(n->arg, status == 0 ? 0 : -1);
}

/* For the first berth of a policy, whose chains have to be made too. */
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

/* What the berth receives leaves the host's end of its pair of interfaces, what it sends its own end. */
static int shape(struct net_pool *p, struct berth_net *n, double download, double upload)
{
    int result = download ? net_shape_set(p->table.berths[n->index].ifname, download) : 0;

    if (result != 0 || !upload)
        return result;
    if (net_space_enter(n->space) != 0)
        return -1;
    result = net_shape_set("eth0", upload);
    net_space_leave(p->home);
    return result;
}

static void unshape(struct net_pool *p, struct berth_net *n)
{
    /* ENOENT where only the other end has a limit. */
    if (net_shape_set(p->table.berths[n->index].ifname, 0) != 0 && errno != ENOENT)
        log_warn("network_not_wiped", "berth=%d what=download error=%s", n->index, strerror(errno));
    if (net_space_enter(n->space) == 0) {
        if (net_shape_set("eth0", 0) != 0 && errno != ENOENT)
            log_warn("network_not_wiped", "berth=%d what=upload error=%s", n->index, strerror(errno));
        net_space_leave(p->home);
    }
    n->shaped = 0;
}

int net_pool_take(struct net_pool *p, int berth, const struct profile *profile,
                  void (*on_done)(void *arg, int result), void *arg, char *err, size_t errlen)
{
    struct berth_net *n = &p->berths[berth];
    struct egress_berth *b = &p->table.berths[berth];
    struct egress_policy policy;
    struct buf rules = {0};
    int index, result = -1;

    if (egress_parse(&policy, profile->egress_allow, err, errlen) != 0)
        return -1;
    index = egress_table_policy(&p->table, &policy);
    if (index < 0) {
        snprintf(err, errlen, "more than %d different egress policies", EGRESS_POLICIES_MAX);
        return -1;
    }
    if (n->shaped)
        unshape(p, n);
    if (p->can_shape && (profile->download_mbps || profile->upload_mbps)) {
        n->shaped = 1;
        if (shape(p, n, profile->download_mbps, profile->upload_mbps) != 0) {
            snprintf(err, errlen, "cannot limit the rate of %s: %s", b->ifname, strerror(errno));
            return -1;
        }
    }
    if (index == b->policy)
        return 1;
    if (net_if_sysctl("ipv4/conf/%s/route_localnet", b->ifname, policy.host) != 0) {
        snprintf(err, errlen, "cannot set route_localnet on %s: %s", b->ifname, strerror(errno));
        return -1;
    }
    if (p->policy_made[index]) {
        if (net_rules_switch(p->filter, &p->table, berth, index) != 0) {
            snprintf(err, errlen, "cannot change the policy of %s: %s", b->ifname, strerror(errno));
            return -1;
        }
        has_policy(p, n, index);
        return 1;
    }
    n->next_policy = index;
    n->on_done = on_done;
    n->arg = arg;
    egress_rules_switch(&rules, &p->table, berth, index);
    if (start_nft(p, n, &rules) == 0)
        result = 0;
    else
        snprintf(err, errlen, "cannot run nft: %s", strerror(errno));
    buf_cleanup(&rules);
    return result;
}

/* ---- between two sessions ---- */

int net_pool_reset(struct net_pool *p, int berth)
{
    struct berth_net *n = &p->berths[berth];
    const struct egress_berth *b = &p->table.berths[berth];
    const struct egress_policy *policy = &p->table.policies[b->policy];
    struct net_wipe_keep keep = {.self = b->self, .host = b->host, .sockets = n->sockets, .socket_count = 2};
    struct net_wipe_host host = {.ifname = b->ifname,
                                 .self = b->self,
                                 .mark = p->table.marks ? egress_mark(b) : 0,
                                 .table = p->table.name,
                                 .filter = p->filter,
                                 .connections = p->table.connections,
                                 .reachable = policy->host || policy->count};
    double began = clock_mono_ms();
    int failed = 1;

    if (p->tap) {
        keep.card = &p->tap->gateway;
        keep.card_prefix = p->tap->prefix;
    }
    dns_relay_reset(n->dns);
    if (n->shaped)
        unshape(p, n); /* first: what waits in the queues is dropped */
    if (net_space_enter(n->space) == 0) {
        failed = net_wipe_inside(berth, &keep);
        net_space_leave(p->home);
    }
    failed += net_wipe_outside(berth, &host);
    log_debug("network_wiped", "berth=%d ms=%.2f failed=%d", berth, clock_mono_ms() - began, failed);
    return failed ? -1 : 0;
}

/* ---- end ---- */

void net_pool_free(struct net_pool *p)
{
    int lock = host_lock_take(NET_CLEAN_LOCK, LOCK_WAIT_MS);

    for (int i = 0; i < p->table.berth_count; i++) {
        if (p->berths[i].nft)
            child_finish(p->berths[i].nft, 1000);
        dns_relay_free(p->berths[i].dns);
        if (p->berths[i].space >= 0)
            close(p->berths[i].space);
    }
    if (p->home >= 0)
        net_clean_worker(p->nft, p->worker_id);
    net_clean_unforward();
    if (lock >= 0)
        close(lock);
    if (p->filter >= 0)
        close(p->filter);
    if (p->home >= 0)
        close(p->home);
    dns_upstreams_free(p->upstreams);
    free(p->table.berths);
    free(p->berths);
    free(p);
}
