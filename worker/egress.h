/* egress.h: what a berth may reach, and the nftables text that makes it so.
 *
 * Everything public over IPv4 is open; private, special and multicast ranges, the host itself, other berths
 * and IPv6 are not. A policy opens more: IPv4 networks, and "host" (the worker's own host as
 * host.berth.internal). How many connections a berth may have is limited too. This module only parses and
 * writes text: net_build.c and net_pool.c run nft. */
#ifndef BERTH_EGRESS_H
#define BERTH_EGRESS_H
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/buf.h"
#include "../shared/errors.h"

#define EGRESS_MAX          64 /* networks a policy may open */
#define EGRESS_POLICIES_MAX 64 /* different policies in one table */

struct egress_net {
    uint32_t addr; /* host byte order, host bits clear */
    int prefix;
};

struct egress_policy {
    struct egress_net nets[EGRESS_MAX];
    int count;
    int host;
};

/* One network "a.b.c.d/n" (or an address: /32). 0, or -1 with what is wrong in err. */
int egress_parse_net(struct egress_net *net, const char *text, char *err, size_t errlen) MUST_USE;
/* A NULL-terminated list of networks and "host"; NULL is the empty one. 0, or -1 with the mistake in err. */
int egress_parse(struct egress_policy *policy, char *const *list, char *err, size_t errlen) MUST_USE;
/* The list in a text "a, b,c"; NULL-terminated, caller frees with egress_free_list. */
char **egress_split(const char *text);
void egress_free_list(char **list);
int egress_equal(const struct egress_policy *a, const struct egress_policy *b);

/* One berth as the rules see it. */
struct egress_berth {
    char ifname[16];           /* host end of its veth */
    struct in_addr host, self; /* addresses of the two ends */
    int policy;                /* index */
};

struct egress_table {
    char name[96];         /* of the nft table; also removes what an earlier worker left under this name */
    char if_pattern[16];   /* "bth1a2b3c-*": all interfaces of this worker */
    struct egress_net net; /* BERTH_NET: where all berths of all workers on a usual host live */
    struct egress_policy policies[EGRESS_POLICIES_MAX];
    int policy_count;
    struct egress_berth *berths;
    int berth_count;
    int connections; /* that a berth may have at once; 0: no limit */
    int marks;       /* 1: a berth's connections are marked (egress_mark) */
};

/* Names in the table, for those who change it by netlink (net_rules.c). */
#define EGRESS_COUNTS        "counts"     /* set: each interface's connections */
#define EGRESS_FORWARD_OF    "forward_of" /* maps: each interface's chain of what passes through the host, … */
#define EGRESS_INPUT_OF      "input_of" /* … and of what is meant for the host */
#define EGRESS_HOSTS         "hosts"    /* set: interface and address where a policy has the host */
#define EGRESS_FORWARD_CHAIN "forward_" /* and the policy's index */
#define EGRESS_INPUT_CHAIN   "input_"
#define EGRESS_INSIDE        "berth" /* the table inside a namespace */

/* The mark of a berth's connections in the host's connection tracking: no other berth of the host has it. */
uint32_t egress_mark(const struct egress_berth *b);

#define EGRESS_IF_PREFIX "bth" /* every worker's interfaces begin with this */

/* The index of this policy in the table: found or added. -1: the table is full. */
int egress_table_policy(struct egress_table *t, const struct egress_policy *policy);
/* The whole table, replacing one of the same name. */
void egress_rules_create(struct buf *out, const struct egress_table *t);
/* The transaction that makes a policy's chains, there or not, and gives it to a berth. t is not changed. */
void egress_rules_switch(struct buf *out, const struct egress_table *t, int berth, int policy);
void egress_rules_delete(struct buf *out, const char *table_name);
/* Inside a berth's namespace: only this user (the worker) may open connections to the debugging port. */
void egress_rules_inside(struct buf *out, int cdp_port, unsigned uid);

#endif
