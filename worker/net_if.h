/* net_if.h: network interfaces and their sysctls, in whichever namespace the calling thread is. */
#ifndef BERTH_NET_IF_H
#define BERTH_NET_IF_H
#include <netinet/in.h>
#include <stddef.h>

#include "../shared/errors.h"
#include "egress.h"

/* All: 0, or -1 with errno. */
int net_if_set_address(const char *ifname, struct in_addr address, int prefix) MUST_USE;
int net_if_up(const char *ifname) MUST_USE;
int net_if_default_route(struct in_addr gateway) MUST_USE;
/* Writes /proc/sys/net/<path>; %s in path is the interface's name, which may have dots. */
int net_if_sysctl(const char *path, const char *ifname, int value);
int net_if_get_sysctl(const char *path, const char *ifname); /* -1 if unreadable */

/* Networks this host knows: its interfaces' own and its routes', the default route left out. How many; at
 * most max. */
int net_if_networks(struct egress_net *out, int max);
/* The interfaces over which traffic may leave (those with an IPv4 route), ours left out. How many. */
int net_if_uplinks(char out[][16], int max);

#endif
