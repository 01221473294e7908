/* net_conntrack.c: see net_conntrack.h. */
#include "net_conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include "net_if.h"
#include "netlink.h"

static void begin(struct netlink_message *m, unsigned verb, const uint32_t *mark)
{
    struct nfgenmsg body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};

    netlink_begin(m, (NFNL_SUBSYS_CTNETLINK << 8) | verb, 0, &body, sizeof(body));
    if (mark) {
        netlink_add_u32(m, CTA_MARK, htonl(*mark));
        netlink_add_u32(m, CTA_MARK_MASK, htonl(~0U));
    }
}

int net_conntrack_forget_all(void)
{
    struct netlink_message m = {.len = 0};

    begin(&m, IPCTNL_MSG_CT_DELETE, NULL);
    return netlink_call(NETLINK_NETFILTER, &m);
}

int net_conntrack_forget_mark(int fd, uint32_t mark)
{
    struct netlink_message m = {.len = 0};

    begin(&m, IPCTNL_MSG_CT_DELETE, &mark);
    return netlink_do(fd, &m);
}

static void on_connection(void *arg, const struct nlmsghdr *entry)
{
    (void)entry;
    ++*(int *)arg;
}

int net_conntrack_has(int fd, uint32_t mark, int count)
{
    struct netlink_message m = {.len = 0};
    int found = 0, all = net_if_get_sysctl("netfilter/nf_conntrack_count", NULL);

    if (all >= 0 && all < count)
        return 0; /* the whole host has fewer: no list has to be asked for */
    begin(&m, IPCTNL_MSG_CT_GET, &mark);
    if (netlink_dump(fd, &m, on_connection, &found) != 0)
        found = count;
    return found >= count;
}
