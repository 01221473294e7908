/* net_sockets.h: ending sockets that outlived their process, as a TCP connection does that still has to send.
 * The peers of those that are connected get a reset. */
#ifndef BERTH_NET_SOCKETS_H
#define BERTH_NET_SOCKETS_H
#include <netinet/in.h>
#include <sys/types.h>

#include "../shared/errors.h"

/* In the calling thread's namespace, TCP and UDP, IPv4 and IPv6. Both: how many there were to be ended, or -1
 * with errno where the kernel cannot (no INET_DIAG_DESTROY). */
int net_sockets_end_all(const ino_t *keep, int keep_count) MUST_USE; /* keep: inodes of those that stay */
int net_sockets_end_peer(struct in_addr peer) MUST_USE;              /* those connected to this address */

#endif
