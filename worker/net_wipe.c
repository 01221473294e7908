/* net_wipe.c: see net_wipe.h.
 *
 * Nobody in a berth may change its network, so most of this finds nothing: it is there so that a hole in one
 * session's jail is not the next one's problem. An entry is removed with the message in which the kernel
 * described it. Sockets go first: their resets still have to find their way. */
#include "net_wipe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "egress.h"
#include "net_conntrack.h"
#include "net_rules.h"
#include "net_sockets.h"
#include "net_tap.h"
#include "netlink.h"

#define PREFIX       30
#define RULE_MAIN    32766
#define RULE_DEFAULT 32767
#define ENTRY_MAX    1024

/* What kernels with such tunnels put into every namespace: down, and not to be removed. */
static const char *const fallbacks[] = {"tunl0",    "gre0",    "gretap0", "erspan0", "ip_vti0",
                                        "ip6_vti0", "ip6tnl0", "ip6gre0", "sit0"};

struct wipe {
    const struct net_wipe_keep *keep;
    unsigned lo, eth, card; /* indices of the pool's interfaces; 0: none */
    unsigned only;          /* neighbours of this interface */
    struct buf entries;     /* of one list: those to be removed, one after the other */
    int count, too_long;    /* of one list: to be removed; those that do not fit a request */
};

/* The attribute's 32 bits, or otherwise if it is not there. */
static uint32_t value_of(const struct nlmsghdr *entry, size_t header, unsigned type, uint32_t otherwise)
{
    size_t len;
    const void *data = netlink_find(entry, header, type, &len);

    if (data && len == sizeof(otherwise))
        memcpy(&otherwise, data, sizeof(otherwise));
    return otherwise;
}

/* ---- what stays ---- */

static int link_stays(const struct wipe *w, const struct nlmsghdr *entry)
{
    const struct ifinfomsg *i = NLMSG_DATA(entry);
    unsigned index = (unsigned)i->ifi_index;
    size_t len;
    const char *name = netlink_find(entry, sizeof(*i), IFLA_IFNAME, &len);

    if (index == w->lo || index == w->eth || index == w->card)
        return 1;
    for (size_t k = 0; name && k < sizeof(fallbacks) / sizeof(fallbacks[0]); k++) {
        if (strncmp(name, fallbacks[k], len) == 0)
            return !(i->ifi_flags & IFF_UP);
    }
    return 0;
}

static int address_stays(const struct wipe *w, const struct nlmsghdr *entry)
{
    const struct ifaddrmsg *a = NLMSG_DATA(entry);
    uint32_t local = value_of(entry, sizeof(*a), IFA_LOCAL, 0);

    if (a->ifa_family == AF_INET6)
        return a->ifa_index == w->lo && a->ifa_prefixlen == 128; /* ::1, where IPv6 could not be turned off */
    if (a->ifa_index == w->lo)
        return local == htonl(INADDR_LOOPBACK) && a->ifa_prefixlen == 8;
    if (a->ifa_index == w->eth)
        return local == w->keep->self.s_addr && a->ifa_prefixlen == PREFIX;
    return a->ifa_index == w->card && w->keep->card && local == w->keep->card->s_addr &&
           a->ifa_prefixlen == w->keep->card_prefix;
}

static int route_stays(const struct wipe *w, const struct nlmsghdr *entry)
{
    const struct rtmsg *r = NLMSG_DATA(entry);

    if (r->rtm_protocol == RTPROT_KERNEL)
        return 1; /* they go with their addresses */
    return r->rtm_family == AF_INET && r->rtm_dst_len == 0 && r->rtm_type == RTN_UNICAST &&
           r->rtm_table == RT_TABLE_MAIN &&
           value_of(entry, sizeof(*r), RTA_GATEWAY, 0) == w->keep->host.s_addr &&
           value_of(entry, sizeof(*r), RTA_OIF, 0) == w->eth;
}

static int rule_stays(const struct wipe *w, const struct nlmsghdr *entry)
{
    uint32_t priority = value_of(entry, sizeof(struct fib_rule_hdr), FRA_PRIORITY, 0);

    (void)w;
    return priority == 0 || priority == RULE_MAIN || priority == RULE_DEFAULT;
}

static int neighbour_stays(const struct wipe *w, const struct nlmsghdr *entry)
{
    const struct ndmsg *n = NLMSG_DATA(entry);

    return n->ndm_state & NUD_NOARP || n->ndm_flags & NTF_PROXY ||
           (w->only && (unsigned)n->ndm_ifindex != w->only);
}

/* ---- lists ---- */

static const struct list {
    const char *what;
    unsigned get, remove;
    size_t header;
    int (*stays)(const struct wipe *w, const struct nlmsghdr *entry);
    int ordinary; /* a session leaves such entries without having done wrong */
} links = {"link", RTM_GETLINK, RTM_DELLINK, sizeof(struct ifinfomsg), link_stays, 0},
  addresses = {"address", RTM_GETADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), address_stays, 0},
  routes = {"route", RTM_GETROUTE, RTM_DELROUTE, sizeof(struct rtmsg), route_stays, 0},
  rules = {"rule", RTM_GETRULE, RTM_DELRULE, sizeof(struct fib_rule_hdr), rule_stays, 0},
  neighbours = {"neighbour", RTM_GETNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), neighbour_stays, 1};

struct look {
    struct wipe *wipe;
    const struct list *list;
};

/* Of a link its index is enough; its description is longer than a request may be. */
static void on_entry(void *arg, const struct nlmsghdr *entry)
{
    struct look *l = arg;
    struct nlmsghdr head;

    if (entry->nlmsg_len < NLMSG_SPACE(l->list->header) || l->list->stays(l->wipe, entry))
        return;
    memcpy(&head, entry, sizeof(head));
    if (l->list == &links)
        head.nlmsg_len = (uint32_t)NLMSG_LENGTH(l->list->header);
    if (head.nlmsg_len > ENTRY_MAX) {
        l->wipe->too_long++;
        return;
    }
    buf_add(&l->wipe->entries, &head, sizeof(head));
    buf_add(&l->wipe->entries, NLMSG_DATA(entry), NLMSG_ALIGN(head.nlmsg_len) - sizeof(head));
    l->wipe->count++;
}

/* Removes what does not stay. How many would not go. */
static int clear(struct wipe *w, int fd, int berth, const struct list *list)
{
    struct look look = {w, list};
    struct netlink_message ask = {.len = 0};
    unsigned char header[32] = {AF_UNSPEC};
    int failed = 0;
    size_t at = 0;

    w->entries.len = 0;
    w->count = w->too_long = 0;
    netlink_begin(&ask, list->get, 0, header, list->header);
    if (netlink_dump(fd, &ask, on_entry, &look) != 0) {
        log_warn("network_not_listed", "berth=%d what=%s error=%s", berth, list->what, strerror(errno));
        return 1;
    }
    while (at < w->entries.len) {
        _Alignas(8) unsigned char copy[ENTRY_MAX];
        const struct nlmsghdr *entry = (void *)copy;
        struct netlink_message m = {.len = 0};
        uint32_t len;

        memcpy(&len, w->entries.data + at, sizeof(len));
        memcpy(copy, w->entries.data + at, len);
        at += NLMSG_ALIGN(len);
        netlink_begin(&m, list->remove, 0, NLMSG_DATA(entry), len - NLMSG_HDRLEN);
        /* What hung on something that was removed before it has gone already. */
        if (netlink_do(fd, &m) != 0 && errno != ENOENT && errno != ESRCH && errno != ENODEV &&
            errno != EADDRNOTAVAIL) {
            log_warn("network_not_wiped", "berth=%d what=%s error=%s", berth, list->what, strerror(errno));
            failed++;
        }
    }
    if (w->count + w->too_long && !list->ordinary)
        log_warn("network_changed_inside", "berth=%d what=%s count=%d removed=%d", berth, list->what,
                 w->count + w->too_long, w->count - failed);
    if (w->too_long)
        log_warn("network_not_wiped", "berth=%d what=%s error=%s", berth, list->what,
                 "its description is longer than a request");
    return failed + w->too_long;
}

/* ---- inside ---- */

static int note(int berth, const char *what)
{
    log_warn("network_not_wiped", "berth=%d what=%s error=%s", berth, what, strerror(errno));
    return 1;
}

int net_wipe_inside(int berth, const struct net_wipe_keep *keep)
{
    static const struct list *const order[] = {&links, &addresses, &routes, &rules, &neighbours};
    struct wipe w = {.keep = keep, .lo = if_nametoindex("lo"), .eth = if_nametoindex("eth0")};
    int fd, failed = 0;

    if (keep->card)
        w.card = if_nametoindex(NET_TAP_NAME);
    if (net_sockets_end_all(keep->sockets, keep->socket_count) < 0)
        failed += note(berth, "sockets");
    fd = netlink_open(NETLINK_ROUTE);
    if (fd < 0)
        return failed + note(berth, "links");
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        failed += clear(&w, fd, berth, order[i]);
    close(fd);
    buf_cleanup(&w.entries);
    if (net_conntrack_forget_all() != 0)
        failed += note(berth, "connections");
    return failed;
}

/* ---- outside ---- */

int net_wipe_outside(int berth, const struct net_wipe_host *host)
{
    struct wipe w = {.only = if_nametoindex(host->ifname)};
    /* The filter itself drops what has gone from the count, but slowly: too slowly for the next session if
     * this one had many. */
    int forgets_count =
        host->connections && net_conntrack_has(host->filter, host->mark, host->connections / 2);
    int failed = 0, fd;

    if (host->reachable && net_sockets_end_peer(host->self) < 0)
        failed += note(berth, "sockets");
    fd = netlink_open(NETLINK_ROUTE);
    if (fd >= 0 && w.only)
        failed += clear(&w, fd, berth, &neighbours);
    if (fd >= 0)
        close(fd);
    buf_cleanup(&w.entries);
    if (host->mark && net_conntrack_forget_mark(host->filter, host->mark) != 0)
        failed += note(berth, "connections");
    if (forgets_count && net_rules_forget_count(host->filter, host->table, host->ifname) != 0)
        failed += note(berth, "count");
    return failed;
}
