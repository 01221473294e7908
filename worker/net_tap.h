/* net_tap.h: a guest's card in a berth's namespace: a tap whose host end is the guest's gateway and resolver.
 * What the guest sends leaves the namespace with the berth's own address, so the worker's egress rules judge
 * it as they judge a jailed browser. */
#ifndef BERTH_NET_TAP_H
#define BERTH_NET_TAP_H
#include <netinet/in.h>
#include <stddef.h>

#include "../shared/buf.h"
#include "../shared/errors.h"

#define NET_TAP_NAME "tap0"

struct net_tap_config {
    struct in_addr gateway, guest;
    int prefix;
    int cdp_port; /* of the guest: only the worker may connect to it */
};

/* These work in the namespace the calling thread is in. 0, or -1 with errno. */
/* The interface, kept while the namespace lives; forwarding. */
int net_tap_create(const struct net_tap_config *c) MUST_USE;
/* The end of it that a machine monitor gets, close-on-exec; -1 with errno. */
int net_tap_open(void) MUST_USE;
/* Says under which hardware address the guest is, so that nobody has to ask it. */
int net_tap_neighbour(const struct net_tap_config *c, const unsigned char mac[6]) MUST_USE;

/* The nft rules inside the namespace. */
void net_tap_rules(struct buf *out, const struct net_tap_config *c, unsigned uid);
/* A new namespace with a tap and nothing else, for a template. 0 with two descriptors, or -1 with errno. */
int net_tap_alone(const struct net_tap_config *c, int *net_ns, int *tap) MUST_USE;

#endif
