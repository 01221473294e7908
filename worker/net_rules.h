/* net_rules.h: the packet filter by netlink, for what happens too often to start `nft` for: the rules of each
 * namespace are copies of those that nft made in the first one, and a berth that passes from one policy to
 * another is moved in the maps of the host's table.
 *
 * All work in the network namespace the calling thread is in, each in one transaction: 0, or -1 with errno,
 * and then nothing was changed. */
#ifndef BERTH_NET_RULES_H
#define BERTH_NET_RULES_H
#include "../shared/buf.h"
#include "../shared/errors.h"
#include "egress.h"

/* Appends to out what net_rules_make needs to make this table of family inet as it is here: its chains and
 * rules (not its sets). */
int net_rules_read(const char *table, struct buf *out) MUST_USE;
int net_rules_make(const struct buf *requests) MUST_USE;

/* These go over a socket of NETLINK_NETFILTER that stays open, and take a tenth of a millisecond: who closes
 * one waits for the kernel to free what transactions have removed, which may be a quarter of a second. */
/* Gives a berth another policy, whose chains are in the table. t is not changed. */
int net_rules_switch(int fd, const struct egress_table *t, int berth, int policy) MUST_USE;
/* Begins the count of an interface's connections anew. */
int net_rules_forget_count(int fd, const char *table, const char *ifname) MUST_USE;

#endif
