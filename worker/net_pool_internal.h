/* net_pool_internal.h: what net_pool.c (a berth's network while it is used) and net_build.c (making all of
 * them) share. */
#ifndef BERTH_NET_POOL_INTERNAL_H
#define BERTH_NET_POOL_INTERNAL_H
#include <ev.h>
#include <sys/types.h>

#include "../shared/settings.h"
#include "dns_relay.h"
#include "egress.h"
#include "net_pool.h"

#define NET_POOL_PREFIX 30 /* a berth's block: the two ends of its pair of interfaces */

struct berth_net {
    struct net_pool *pool;
    int index;
    int space; /* descriptor of the namespace, or -1 */
    struct dns_relay *dns;
    ino_t sockets[2];  /* the resolver's, inside */
    int shaped;        /* limits are on the interfaces */
    struct child *nft; /* changing the policy */
    int next_policy;
    void (*on_done)(void *arg, int result);
    void *arg;
};

struct net_pool {
    struct ev_loop *loop;
    char worker_id[65];
    int home;   /* descriptor of the worker's own namespace */
    int filter; /* netlink to the host's packet filter: closing one waits for what was removed (RCU) */
    int cdp_port;
    int can_shape;
    const struct net_tap_config *tap;
    char nft[64]; /* the program */
    struct dns_upstreams *upstreams;
    struct dns_limits dns_limits;
    struct egress_table table;
    unsigned char policy_made[EGRESS_POLICIES_MAX]; /* its chains are in the table */
    struct berth_net *berths;
};

/* Chooses names and addresses and makes everything, after removing what dead workers left. holders as in
 * net_pool_config. 0, or -1 with a sentence in err; net_pool_free removes what was made. To be called under
 * the host's lock of networks. */
int net_build(struct net_pool *p, const struct settings *settings, const int *holders, char *err,
              size_t errlen) MUST_USE;

#endif
