/* net_pool.h: the berths' networks, made ahead of time: for each a namespace berth-<worker>-<n> with loopback
 * and one veth to the host (a /30 of BERTH_NET, default route, no IPv6), a resolver, egress rules, and NAT.
 * The same for all drivers. Between two sessions it is reset.
 *
 * Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and `nft`. All names carry the worker's id, so several
 * workers share a host; what workers that died left behind is removed when the next one opens. */
#ifndef BERTH_NET_POOL_H
#define BERTH_NET_POOL_H
#include <ev.h>
#include <netinet/in.h>
#include <stddef.h>

#include "../shared/errors.h"

struct net_pool;
struct net_tap_config; /* net_tap.h */
struct profile;        /* profile.h */
struct settings;

struct net_pool_config {
    struct ev_loop *loop;
    const char *worker_id;
    int berths;
    const struct settings *settings; /* BERTH_NET …; berths begin with the policy of BERTH_EGRESS_ALLOW */
    int cdp_port;                    /* inside, only the worker may connect to it */
    const int *holders; /* NULL, or for each berth a process whose namespace is to be taken instead
                           of a new one; it must live until net_pool_free */
    const struct net_tap_config *tap; /* NULL, or each namespace gets a guest's card; outlives the pool */
    char *isolation; /* the host's record: words for what this kernel lacks are added (driver.h) */
    unsigned isolation_len;
};

/* NULL with a sentence in err that says what is missing. Blocks: for opening. */
struct net_pool *net_pool_new(const struct net_pool_config *config, char *err, size_t errlen) MUST_USE;
int net_pool_namespace(const struct net_pool *p, int berth);       /* a descriptor; the pool's */
struct in_addr net_pool_host(const struct net_pool *p, int berth); /* what host.berth.internal is to it */
/* A new socket that belongs to the berth's namespace, non-blocking and close-on-exec; -1 with errno. */
int net_pool_socket(const struct net_pool *p, int berth, int type) MUST_USE;
/* The tap of the berth's guest, who will have this hardware address; what a former guest had open is
 * forgotten. -1 with errno; the caller closes it. */
int net_pool_tap(const struct net_pool *p, int berth, const unsigned char mac[6]) MUST_USE;
/* Gives the berth what this profile allows: egress policy and rates. 1: it has it now. 0: on_done will be
 * called from the loop with 0 or -1. -1 with a message: impossible. One change at a time per berth. */
int net_pool_take(struct net_pool *p, int berth, const struct profile *profile,
                  void (*on_done)(void *arg, int result), void *arg, char *err, size_t errlen) MUST_USE;
/* Between two sessions, when nothing of the former one runs any more: ends its sockets, forgets its
 * connections, neighbours and names asked for, and removes what was changed inside. Blocks for a millisecond.
 * 0, or -1 if the kernel would not do all of it (logged). */
int net_pool_reset(struct net_pool *p, int berth);
void net_pool_free(struct net_pool *p); /* removes everything; blocks */

#endif
