/* net_conntrack.c: see net_conntrack.h. */
#include "net_conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

static int forget(const uint32_t *mark)
{
    struct netlink_message m = {.len = 0};
    struct nfgenmsg body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0};
    int fd, result, saved;

    netlink_begin(&m, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 0, &body, sizeof(body));
    if (mark) {
        netlink_add_u32(&m, CTA_MARK, htonl(*mark));
        netlink_add_u32(&m, CTA_MARK_MASK, htonl(~0U));
    }
    fd = netlink_open(NETLINK_NETFILTER);
    if (fd < 0)
        return -1;
    result = netlink_do(fd, &m);
    saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int net_conntrack_forget_all(void)
{
    return forget(NULL);
}

int net_conntrack_forget_mark(uint32_t mark)
{
    return forget(&mark);
}
