/* egress.c: see egress.h.
 *
 * The table's map of interface to verdict makes a policy change one element, not a rewrite. Every packet from
 * a berth is judged by its destination, not by "established": a connection that an earlier session was
 * allowed to make is therefore no way around the next session's policy. */
#include "egress.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"

/* IANA's special-purpose registry: what is not the public internet. */
static const char *const not_public =
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, "
    "192.0.2.0/24, "
    "192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/3";

/* ---- policies ---- */

int egress_parse_net(struct egress_net *net, const char *text, char *err, size_t errlen)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    char *end = NULL;
    struct in_addr in;
    uint32_t mask;
    long prefix = 32;

    if (strchr(text, ':')) {
        snprintf(err, errlen, "\"%.64s\" is IPv6, which berths do not have", text);
        return -1;
    }
    if (slash) {
        prefix = isdigit((unsigned char)slash[1]) ? strtol(slash + 1, &end, 10) : -1;
        if (!end || *end)
            prefix = -1;
    }
    if (len >= sizeof(address) || prefix < 0 || prefix > 32)
        goto bad;
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(AF_INET, address, &in) != 1)
        goto bad;
    mask = prefix ? ~0U << (32 - prefix) : 0;
    net->addr = ntohl(in.s_addr) & mask;
    net->prefix = (int)prefix;
    return 0;
bad:
    snprintf(err, errlen, "\"%.64s\" is not an IPv4 network such as 10.1.0.0/16", text);
    return -1;
}

int egress_parse(struct egress_policy *policy, char *const *list, char *err, size_t errlen)
{
    memset(policy, 0, sizeof(*policy));
    for (; list && *list; list++) {
        struct egress_net net;
        int known = 0;

        if (strcmp(*list, "host") == 0) {
            policy->host = 1;
            continue;
        }
        if (egress_parse_net(&net, *list, err, errlen) != 0)
            return -1;
        for (int i = 0; i < policy->count; i++)
            known |= policy->nets[i].addr == net.addr && policy->nets[i].prefix == net.prefix;
        if (known)
            continue;
        if (policy->count == EGRESS_MAX) {
            snprintf(err, errlen, "more than %d networks", EGRESS_MAX);
            return -1;
        }
        policy->nets[policy->count++] = net;
    }
    return 0;
}

char **egress_split(const char *text)
{
    char **list = mem_alloc(sizeof(*list));
    size_t n = 0;

    while (text && *text) {
        size_t len = strcspn(text, ",");
        const char *from = text, *to = text + len;

        while (from < to && isspace((unsigned char)*from))
            from++;
        while (to > from && isspace((unsigned char)to[-1]))
            to--;
        if (to > from) {
            list = mem_realloc(list, (n + 2) * sizeof(*list));
            list[n++] = mem_strndup(from, (size_t)(to - from));
            list[n] = NULL;
        }
        text += len + (text[len] == ',');
    }
    return list;
}

void egress_free_list(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

int egress_equal(const struct egress_policy *a, const struct egress_policy *b)
{
    if (a->count != b->count || a->host != b->host)
        return 0;
    for (int i = 0; i < a->count; i++) {
        int found = 0;

        for (int j = 0; j < b->count && !found; j++)
            found = a->nets[i].addr == b->nets[j].addr && a->nets[i].prefix == b->nets[j].prefix;
        if (!found)
            return 0;
    }
    return 1;
}

int egress_table_policy(struct egress_table *t, const struct egress_policy *policy)
{
    for (int i = 0; i < t->policy_count; i++) {
        if (egress_equal(&t->policies[i], policy))
            return i;
    }
    if (t->policy_count == EGRESS_POLICIES_MAX)
        return -1;
    t->policies[t->policy_count] = *policy;
    return t->policy_count++;
}

/* ---- text ---- */

static const char *dotted(struct in_addr in, char out[INET_ADDRSTRLEN])
{
    inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
    return out;
}

static void add_net(struct buf *out, const struct egress_net *net)
{
    char text[INET_ADDRSTRLEN];

    buf_addf(out, "%s/%d", dotted((struct in_addr){htonl(net->addr)}, text), net->prefix);
}

/* forward_<k>: what passes through the host. input_<k>: what is meant for the host. May be repeated. */
static void add_policy(struct buf *out, const struct egress_table *t, int k)
{
    const struct egress_policy *p = &t->policies[k];

    for (int input = 0; input < 2; input++) {
        const char *way = input ? "input" : "forward";

        buf_addf(out, "add chain inet %s %s_%d\nflush chain inet %s %s_%d\n", t->name, way, k, t->name, way,
                 k);
    }
    if (p->host)
        buf_addf(out, "add rule inet %s input_%d ip daddr 127.0.0.1 ct status dnat accept\n", t->name, k);
    for (int i = 0; i < p->count; i++) {
        for (int input = 0; input < 2; input++) {
            buf_addf(out, "add rule inet %s %s_%d ip daddr ", t->name, input ? "input" : "forward", k);
            add_net(out, &p->nets[i]);
            buf_adds(out, " accept\n");
        }
    }
    buf_addf(out, "add rule inet %s forward_%d ip daddr @not_public goto refuse\n", t->name, k);
    buf_addf(out, "add rule inet %s forward_%d accept\n", t->name, k);
    buf_addf(out, "add rule inet %s input_%d goto refuse\n", t->name, k);
}

/* The elements that say which policy a berth has. */
static void add_elements(struct buf *out, const char *verb, const struct egress_table *t,
                         const struct egress_berth *b, int policy)
{
    char host[INET_ADDRSTRLEN];
    int adding = strcmp(verb, "add") == 0;

    for (int input = 0; input < 2; input++) {
        const char *way = input ? "input" : "forward";

        buf_addf(out, "%s element inet %s %s_of { \"%s\"", verb, t->name, way, b->ifname);
        if (adding)
            buf_addf(out, " : jump %s_%d", way, policy);
        buf_adds(out, " }\n");
    }
    if (t->policies[policy].host)
        buf_addf(out, "%s element inet %s hosts { \"%s\" . %s }\n", verb, t->name, b->ifname,
                 dotted(b->host, host));
}

uint32_t egress_mark(const struct egress_berth *b)
{
    return ntohl(b->self.s_addr);
}

/* Marks, and the count of connections, as far as the table has them. */
static void add_tracking(struct buf *out, const struct egress_table *t)
{
    if (t->marks) {
        buf_adds(out, "  map marks { type ifname : mark; elements = {");
        for (int i = 0; i < t->berth_count; i++)
            buf_addf(out, "%s \"%s\" : 0x%08x", i ? "," : "", t->berths[i].ifname,
                     (unsigned)egress_mark(&t->berths[i]));
        buf_addf(
            out,
            " } }\n  chain mark_berth {\n    type filter hook prerouting priority mangle; policy accept;\n"
            "    iifname \"%s\" ct state new ct mark set iifname map @marks\n  }\n",
            t->if_pattern);
    }
    if (t->connections)
        buf_adds(out, "  set " EGRESS_COUNTS " { type ifname; flags dynamic; }\n");
    buf_adds(out, "  chain connections {\n");
    if (t->connections)
        buf_addf(out, "    ct state new add @" EGRESS_COUNTS " { iifname ct count over %d } goto refuse\n",
                 t->connections);
    buf_adds(out, "  }\n");
}

static void add_chains(struct buf *out, const struct egress_table *t)
{
    const char *pattern = t->if_pattern;

    buf_adds(out, "  chain refuse {\n    meta l4proto tcp reject with tcp reset\n    reject with icmpx "
                  "admin-prohibited\n  }\n"
                  "  chain check_source {\n    meta nfproto != ipv4 drop\n    iifname . ip saddr != @sources "
                  "drop\n  }\n");
    add_tracking(out, t);
    buf_addf(out,
             "  chain forward {\n    type filter hook forward priority filter - 10; policy accept;\n"
             "    iifname \"%s\" jump from_berth\n    oifname \"%s\" jump to_berth\n  }\n",
             pattern, pattern);
    buf_adds(out, "  chain from_berth {\n    jump check_source\n    ip daddr ");
    add_net(out, &t->net);
    buf_adds(out, " goto refuse\n    oifname \"" EGRESS_IF_PREFIX "*\" goto refuse\n"
                  "    jump connections\n    iifname vmap @forward_of\n    drop\n  }\n"
                  "  chain to_berth {\n    ct state established,related accept\n    drop\n  }\n");
    buf_addf(out,
             "  chain input {\n    type filter hook input priority filter - 10; policy accept;\n"
             "    iifname \"%s\" jump input_berth\n  }\n"
             "  chain input_berth {\n    jump check_source\n    jump connections\n    iifname vmap "
             "@input_of\n    drop\n  }\n"
             "  chain prerouting {\n    type nat hook prerouting priority dstnat - 10; policy accept;\n"
             "    iifname . ip daddr @hosts meta l4proto tcp dnat ip to 127.0.0.1\n  }\n"
             "  chain postrouting {\n    type nat hook postrouting priority srcnat - 10; policy accept;\n"
             "    ip saddr @addresses oifname != \"" EGRESS_IF_PREFIX "*\" masquerade\n  }\n",
             pattern);
}

void egress_rules_create(struct buf *out, const struct egress_table *t)
{
    char text[INET_ADDRSTRLEN];

    egress_rules_delete(out, t->name);
    buf_addf(out, "table inet %s {\n", t->name);
    buf_addf(out, "  set not_public { type ipv4_addr; flags interval; elements = { %s } }\n", not_public);
    buf_adds(out, "  set sources { type ifname . ipv4_addr; elements = {");
    for (int i = 0; i < t->berth_count; i++)
        buf_addf(out, "%s \"%s\" . %s", i ? "," : "", t->berths[i].ifname, dotted(t->berths[i].self, text));
    buf_adds(out, " } }\n  set addresses { type ipv4_addr; elements = {");
    for (int i = 0; i < t->berth_count; i++)
        buf_addf(out, "%s %s", i ? "," : "", dotted(t->berths[i].self, text));
    buf_adds(out,
             " } }\n  set hosts { type ifname . ipv4_addr; }\n  map forward_of { type ifname : verdict; }\n"
             "  map input_of { type ifname : verdict; }\n");
    add_chains(out, t);
    buf_adds(out, "}\n");
    for (int k = 0; k < t->policy_count; k++)
        add_policy(out, t, k);
    for (int i = 0; i < t->berth_count; i++)
        add_elements(out, "add", t, &t->berths[i], t->berths[i].policy);
}

void egress_rules_switch(struct buf *out, const struct egress_table *t, int berth, int policy)
{
    const struct egress_berth *b = &t->berths[berth];

    add_policy(out, t, policy);
    add_elements(out, "delete", t, b, b->policy);
    add_elements(out, "add", t, b, policy);
}

void egress_rules_delete(struct buf *out, const char *table_name)
{
    /* Adding first makes deleting succeed whether or not the table was there. */
    buf_addf(out, "add table inet %s\ndelete table inet %s\n", table_name, table_name);
}

void egress_rules_inside(struct buf *out, int cdp_port, unsigned uid)
{
    buf_addf(
        out,
        "table inet berth {\n  chain output {\n    type filter hook output priority filter; policy accept;\n"
        "    tcp dport %d meta skuid != %u reject with tcp reset\n  }\n}\n",
        cdp_port, uid);
}
