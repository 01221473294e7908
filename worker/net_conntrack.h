/* net_conntrack.h: forgetting connections that the packet filter tracks. */
#ifndef BERTH_NET_CONNTRACK_H
#define BERTH_NET_CONNTRACK_H
#include <stdint.h>

#include "../shared/errors.h"

/* 0, or -1 with errno (EOPNOTSUPP: this kernel cannot). In the calling thread's namespace. */
int net_conntrack_forget_all(void) MUST_USE;
/* Those with this connection mark; kernels before 6.12 cannot find a side's address, but this all can. fd: a
 * socket of NETLINK_NETFILTER, in whose namespace they are. */
int net_conntrack_forget_mark(int fd, uint32_t mark) MUST_USE;
/* Whether at least so many with this mark are tracked; 1 also where the kernel does not say. In the calling
 * thread's namespace, which is fd's too. */
int net_conntrack_has(int fd, uint32_t mark, int count) MUST_USE;

#endif
