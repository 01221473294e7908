/* net.h: the guest's interfaces, by ioctl. All: 0, or -1 with errno. */
#ifndef BERTH_GUEST_NET_H
#define BERTH_GUEST_NET_H
#include <netinet/in.h>

#define NET_IF "eth0"

int net_loopback(void);
/* Address, gateway, MAC and resolver change only what differs: what is set again is a change to whoever
 * watches, the browser among them. */
int net_address(struct in_addr address, int prefix);
int net_gateway(struct in_addr gateway); /* the default route */
int net_mac(const unsigned char mac[6]); /* while the interface is up */
int net_up(void);
int net_resolver(struct in_addr server); /* /etc/resolv.conf; 0.0.0.0: none */
/* A listening, non-blocking socket that only eth0 reaches, not pages over the loopback. -1 with errno. */
int net_listen(int port);

#endif
