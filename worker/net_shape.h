/* net_shape.h: how fast an interface may send. */
#ifndef BERTH_NET_SHAPE_H
#define BERTH_NET_SHAPE_H
#include "../shared/errors.h"

#define NET_SHAPE_MIN_MBPS 0.1
#define NET_SHAPE_MAX_MBPS 10000

/* An interface of the calling thread's namespace sends at most so many million bits a second (0: as many as
 * it can, and what waited is dropped). 0, or -1 with errno (ENOENT: this kernel has no token bucket). */
int net_shape_set(const char *ifname, double mbps) MUST_USE;

#endif
