/* net_conntrack.h: forgetting connections that the packet filter tracks. */
#ifndef BERTH_NET_CONNTRACK_H
#define BERTH_NET_CONNTRACK_H
#include <stdint.h>

#include "../shared/errors.h"

/* In the calling thread's namespace. 0, or -1 with errno (EOPNOTSUPP: this kernel cannot). */
int net_conntrack_forget_all(void) MUST_USE;
/* Those with this connection mark; kernels before 6.12 cannot find a side's address, but this all can. */
int net_conntrack_forget_mark(uint32_t mark) MUST_USE;
/* Whether at least so many with this mark are tracked; 1 also where the kernel does not say. */
int net_conntrack_has(uint32_t mark, int count) MUST_USE;

#endif
