/* net_wipe.h: what a berth's namespace and the host forget between two sessions. */
#ifndef BERTH_NET_WIPE_H
#define BERTH_NET_WIPE_H
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

struct net_wipe_keep {
    struct in_addr self, host;  /* addresses of the two ends, a /30 */
    const struct in_addr *card; /* of the guest's gateway (net_tap.h), or NULL */
    int card_prefix;
    const ino_t *sockets; /* the resolver's */
    int socket_count;
};

/* In the namespace the calling thread is in: sockets, connections, neighbours, and whatever interfaces,
 * addresses, routes and rules are not of the pool's making. How many things the kernel would not remove; each
 * is logged. */
int net_wipe_inside(int berth, const struct net_wipe_keep *keep);
struct net_wipe_host {
    const char *ifname;
    struct in_addr self;
    uint32_t mark;     /* of its connections; 0: they have none */
    const char *table; /* the packet filter's, which counts its connections … */
    int connections;   /* … up to so many; 0: it does not */
    int filter;        /* netlink to it */
    int reachable;     /* the berth could reach sockets of this host */
};

/* In the host's: sockets connected to the berth, its connections, the neighbour on its interface, and its
 * count of connections. The same result. */
int net_wipe_outside(int berth, const struct net_wipe_host *host);

#endif
