/* net_shape.c: see net_shape.h. A token bucket (tbf) as the interface's root queue. */
#include "net_shape.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "netlink.h"

#define BURST_MIN 16384 /* bytes; larger packets (GSO) are cut by the queue itself */
#define QUEUE_MIN 65536

static uint32_t at_least(double value, uint32_t min)
{
    return value > min ? (uint32_t)value : min;
}

static void add_bucket(struct netlink_message *m, double bytes_per_s)
{
    struct tc_tbf_qopt q = {.rate = {.rate = (uint32_t)bytes_per_s, .linklayer = TC_LINKLAYER_ETHERNET},
                            .limit = at_least(bytes_per_s / 10, QUEUE_MIN)};
    size_t options = netlink_nest(m, TCA_OPTIONS);

    netlink_add(m, TCA_TBF_PARMS, &q, sizeof(q));
    netlink_add_u32(m, TCA_TBF_BURST, at_least(bytes_per_s / 100, BURST_MIN));
    netlink_nest_end(m, options);
}

int net_shape_set(const char *ifname, double mbps)
{
    struct netlink_message m = {.len = 0};
    struct tcmsg t = {
        .tcm_family = AF_UNSPEC, .tcm_ifindex = (int)if_nametoindex(ifname), .tcm_parent = TC_H_ROOT};

    if (!t.tcm_ifindex)
        return -1;
    if (mbps > 0) {
        netlink_begin(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &t, sizeof(t));
        netlink_add_text(&m, TCA_KIND, "tbf");
        add_bucket(&m, mbps * 1e6 / 8);
    } else {
        netlink_begin(&m, RTM_DELQDISC, 0, &t, sizeof(t));
    }
    return netlink_call(NETLINK_ROUTE, &m);
}
