/* net_rules.c: see net_rules.h.
 *
 * What the kernel lists of a chain or a rule is what it takes to make one, but for what it adds itself
 * (handles, counts of users): that is left out of the copy. */
#include "net_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netlink.h"

#define TYPE(message) ((NFNL_SUBSYS_NFTABLES << 8) | (message))
#define BIT(attr)     (1U << (attr))

static const struct nfgenmsg inet = {.nfgen_family = NFPROTO_INET};

static void begin(struct netlink_message *m, unsigned type, unsigned flags)
{
    netlink_begin(m, TYPE(type), flags, &inet, sizeof(inet));
}

static void mark_batch(struct netlink_message *m, unsigned type)
{
    struct nfgenmsg body = {.nfgen_family = AF_UNSPEC, .res_id = htons(NFNL_SUBSYS_NFTABLES)};

    netlink_begin(m, type, 0, &body, sizeof(body));
}

/* ---- copying ---- */

struct reading {
    const char *table;
    unsigned table_attr, type, flags, kept; /* kept: attributes, as bits */
    struct buf *out;
    int count;
    size_t last; /* where the last one's request begins in out */
};

/* The attributes of a listed entry that are kept, as a request. */
static void on_listed(void *arg, const struct nlmsghdr *entry)
{
    struct reading *r = arg;
    struct nlmsghdr head = {.nlmsg_type = (uint16_t)TYPE(r->type),
                            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_CREATE | r->flags)};
    const unsigned char *at = (const unsigned char *)entry + NLMSG_SPACE(sizeof(inet)),
                        *end = (const unsigned char *)entry + entry->nlmsg_len;
    const struct nfgenmsg *family = NLMSG_DATA(entry);
    size_t len, start = r->out->len;
    const char *table = netlink_find(entry, sizeof(inet), r->table_attr, &len);
    uint32_t total;

    if (family->nfgen_family != NFPROTO_INET || !table || len != strlen(r->table) + 1 ||
        memcmp(table, r->table, len) != 0)
        return;
    buf_add(r->out, &head, sizeof(head));
    buf_add(r->out, &inet, sizeof(inet));
    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *a = (const void *)at;
        size_t space = NLA_ALIGN(a->nla_len);
        unsigned type = a->nla_type & NLA_TYPE_MASK;

        if (a->nla_len < NLA_HDRLEN || at + space > end)
            break;
        if (type < 32 && r->kept & BIT(type))
            buf_add(r->out, at, space);
        at += space;
    }
    total = (uint32_t)(r->out->len - start);
    memcpy(r->out->data + start, &total, sizeof(total)); /* nlmsg_len is the header's first member */
    r->last = start;
    r->count++;
}

static int list(int fd, unsigned get, struct reading *r)
{
    struct netlink_message m = {.len = 0};

    r->count = 0;
    begin(&m, get, 0);
    if (netlink_dump(fd, &m, on_listed, r) != 0)
        return -1;
    if (r->count)
        return 0;
    errno = ENOENT;
    return -1;
}

int net_rules_read(const char *table, struct buf *out)
{
    struct reading tables = {.table = table,
                             .table_attr = NFTA_TABLE_NAME,
                             .type = NFT_MSG_NEWTABLE,
                             .kept = BIT(NFTA_TABLE_NAME),
                             .out = out},
                   chains = {.table = table,
                             .table_attr = NFTA_CHAIN_TABLE,
                             .type = NFT_MSG_NEWCHAIN,
                             .kept = BIT(NFTA_CHAIN_TABLE) | BIT(NFTA_CHAIN_NAME) | BIT(NFTA_CHAIN_HOOK) |
                                     BIT(NFTA_CHAIN_POLICY) | BIT(NFTA_CHAIN_TYPE),
                             .out = out},
                   rules = {.table = table,
                            .table_attr = NFTA_RULE_TABLE,
                            .type = NFT_MSG_NEWRULE,
                            .flags = NLM_F_APPEND,
                            .kept = BIT(NFTA_RULE_TABLE) | BIT(NFTA_RULE_CHAIN) | BIT(NFTA_RULE_EXPRESSIONS) |
                                    BIT(NFTA_RULE_USERDATA),
                            .out = out};
    int fd = netlink_open(NETLINK_NETFILTER), result = -1, saved;

    if (fd < 0)
        return -1;
    if (list(fd, NFT_MSG_GETTABLE, &tables) == 0 && list(fd, NFT_MSG_GETCHAIN, &chains) == 0 &&
        list(fd, NFT_MSG_GETRULE, &rules) == 0) {
        /* One answer: the first error, or that of the last request. */
        ((struct nlmsghdr *)(void *)(out->data + rules.last))->nlmsg_flags |= NLM_F_ACK;
        result = 0;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int net_rules_make(const struct buf *requests)
{
    struct netlink_message edge = {.len = 0};
    struct buf all = {0};
    int fd, result, saved;

    mark_batch(&edge, NFNL_MSG_BATCH_BEGIN);
    buf_add(&all, edge.data, edge.len);
    buf_add(&all, requests->data, requests->len);
    edge.len = 0;
    mark_batch(&edge, NFNL_MSG_BATCH_END);
    buf_add(&all, edge.data, edge.len);
    fd = netlink_open(NETLINK_NETFILTER);
    result = fd < 0 ? -1 : netlink_do_bytes(fd, all.data, all.len, 1) == 0 ? 0 : -1;
    saved = errno;
    if (fd >= 0)
        close(fd);
    buf_cleanup(&all);
    errno = saved;
    return result;
}

/* ---- elements ---- */

/* One element of a set or, with a chain to jump to, of a map; in m, which the kernel will answer. */
static void element(struct netlink_message *m, unsigned type, const char *table, const char *set,
                    const void *key, size_t key_len, const char *jump)
{
    size_t all, one, part, verdict;

    begin(m, type, NLM_F_ACK | (type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0));
    netlink_add_text(m, NFTA_SET_ELEM_LIST_TABLE, table);
    netlink_add_text(m, NFTA_SET_ELEM_LIST_SET, set);
    all = netlink_nest(m, NFTA_SET_ELEM_LIST_ELEMENTS);
    one = netlink_nest(m, NFTA_LIST_ELEM);
    part = netlink_nest(m, NFTA_SET_ELEM_KEY);
    netlink_add(m, NFTA_DATA_VALUE, key, key_len);
    netlink_nest_end(m, part);
    if (jump) {
        part = netlink_nest(m, NFTA_SET_ELEM_DATA);
        verdict = netlink_nest(m, NFTA_DATA_VERDICT);
        netlink_add_u32(m, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_JUMP));
        netlink_add_text(m, NFTA_VERDICT_CHAIN, jump);
        netlink_nest_end(m, verdict);
        netlink_nest_end(m, part);
    }
    netlink_nest_end(m, one);
    netlink_nest_end(m, all);
}

/* The transaction that m holds without its end; count: requests in it. */
static int commit(int fd, struct netlink_message *m, int count)
{
    mark_batch(m, NFNL_MSG_BATCH_END);
    return netlink_do_all(fd, m, count) == 0 ? 0 : -1;
}

/* As the filter keeps an interface's name, and one with an address after it. */
struct key {
    char ifname[IFNAMSIZ];
    struct in_addr address;
};

static struct key key_of(const char *ifname, struct in_addr address)
{
    struct key k = {.address = address};

    memcpy(k.ifname, ifname, strnlen(ifname, sizeof(k.ifname) - 1));
    return k;
}

int net_rules_switch(int fd, const struct egress_table *t, int berth, int policy)
{
    const struct egress_berth *b = &t->berths[berth];
    const char *const sets[] = {EGRESS_FORWARD_OF, EGRESS_INPUT_OF}, *const chains[] = {EGRESS_FORWARD_CHAIN,
                                                                                        EGRESS_INPUT_CHAIN};
    struct key k = key_of(b->ifname, b->host);
    struct netlink_message m = {.len = 0};
    int count = 0;

    mark_batch(&m, NFNL_MSG_BATCH_BEGIN);
    for (int i = 0; i < 2; i++) {
        char chain[32];

        snprintf(chain, sizeof(chain), "%s%d", chains[i], policy);
        element(&m, NFT_MSG_DELSETELEM, t->name, sets[i], k.ifname, sizeof(k.ifname), NULL);
        element(&m, NFT_MSG_NEWSETELEM, t->name, sets[i], k.ifname, sizeof(k.ifname), chain);
        count += 2;
    }
    if (t->policies[b->policy].host != t->policies[policy].host) {
        element(&m, t->policies[policy].host ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, t->name, EGRESS_HOSTS,
                &k, sizeof(k), NULL);
        count++;
    }
    return commit(fd, &m, count);
}

int net_rules_forget_count(int fd, const char *table, const char *ifname)
{
    struct key k = key_of(ifname, (struct in_addr){0});
    struct netlink_message m = {.len = 0};

    mark_batch(&m, NFNL_MSG_BATCH_BEGIN);
    element(&m, NFT_MSG_DELSETELEM, table, EGRESS_COUNTS, k.ifname, sizeof(k.ifname), NULL);
    return commit(fd, &m, 1) == 0 || errno == ENOENT ? 0 : -1; /* none: it made no connection */
}
