/* net_if.c: see net_if.h. Plain ioctls: no program has to be run inside each namespace. */
#include "net_if.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/kernel_file.h"

static uint32_t mask_of(int prefix)
{
    return prefix ? ~0U << (32 - prefix) : 0;
}

static void set_sockaddr(struct sockaddr *out, struct in_addr address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};

    memcpy(out, &in, sizeof(in));
}

static int control(unsigned long request, void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result, saved;

    if (fd < 0)
        return -1;
    result = ioctl(fd, request, arg);
    saved = errno;
    close(fd);
    errno = saved;
    return result < 0 ? -1 : 0;
}

int net_if_set_address(const char *ifname, struct in_addr address, int prefix)
{
    struct ifreq r = {0};

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
    set_sockaddr(&r.ifr_addr, address);
    if (control(SIOCSIFADDR, &r) != 0)
        return -1;
    set_sockaddr(&r.ifr_netmask, (struct in_addr){htonl(mask_of(prefix))});
    return control(SIOCSIFNETMASK, &r);
}

int net_if_up(const char *ifname)
{
    struct ifreq r = {0};

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
    if (control(SIOCGIFFLAGS, &r) != 0)
        return -1;
    r.ifr_flags |= IFF_UP;
    return control(SIOCSIFFLAGS, &r);
}

int net_if_default_route(struct in_addr gateway)
{
    struct rtentry r = {.rt_flags = RTF_UP | RTF_GATEWAY};

    set_sockaddr(&r.rt_dst, (struct in_addr){0});
    set_sockaddr(&r.rt_genmask, (struct in_addr){0});
    set_sockaddr(&r.rt_gateway, gateway);
    return control(SIOCADDRT, &r);
}

/* ---- sysctls ---- */

static void sysctl_path(const char *path, const char *ifname, char *out, size_t outlen)
{
    const char *mark = strstr(path, "%s");

    if (mark)
        snprintf(out, outlen, "/proc/sys/net/%.*s%s%s", (int)(mark - path), path, ifname, mark + 2);
    else
        snprintf(out, outlen, "/proc/sys/net/%s", path);
}

int net_if_sysctl(const char *path, const char *ifname, int value)
{
    char file[160], text[16];

    snprintf(text, sizeof(text), "%d", value);
    sysctl_path(path, ifname, file, sizeof(file));
    return kernel_file_write(file, text);
}

int net_if_get_sysctl(const char *path, const char *ifname)
{
    char file[160], text[16];

    sysctl_path(path, ifname, file, sizeof(file));
    return kernel_file_read(file, text, sizeof(text)) > 0 ? atoi(text) : -1;
}

/* ---- what the host has ---- */

struct route {
    char ifname[16];
    unsigned destination, mask; /* network byte order */
};

/* Calls fn for each line of the main routing table. */
static void each_route(void (*fn)(void *arg, const struct route *r), void *arg)
{
    FILE *f = fopen("/proc/net/route", "re");
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        struct route r;

        if (sscanf(line, "%15s %x %*x %*x %*d %*d %*d %x", r.ifname, &r.destination, &r.mask) == 3)
            fn(arg, &r);
    }
    if (f)
        fclose(f);
}

struct networks {
    struct egress_net *out;
    int count, max;
};

static void add_network(struct networks *n, uint32_t address, uint32_t mask)
{
    int prefix = mask ? 32 - __builtin_ctz(mask) : 0;

    if (n->count < n->max && prefix)
        n->out[n->count++] = (struct egress_net){address & mask, prefix};
}

static void on_route_network(void *arg, const struct route *r)
{
    add_network(arg, ntohl(r->destination), ntohl(r->mask));
}

int net_if_networks(struct egress_net *out, int max)
{
    struct networks n = {out, 0, max};
    struct ifaddrs *list = NULL;

    each_route(on_route_network, &n);
    if (getifaddrs(&list) == 0) {
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
            struct sockaddr_in address, mask;

            if (!i->ifa_addr || !i->ifa_netmask || i->ifa_addr->sa_family != AF_INET)
                continue;
            memcpy(&address, i->ifa_addr, sizeof(address));
            memcpy(&mask, i->ifa_netmask, sizeof(mask));
            add_network(&n, ntohl(address.sin_addr.s_addr), ntohl(mask.sin_addr.s_addr));
        }
        freeifaddrs(list);
    }
    return n.count;
}

struct uplinks {
    char (*out)[16];
    int count, max;
};

static void on_route_uplink(void *arg, const struct route *r)
{
    struct uplinks *u = arg;

    if (strncmp(r->ifname, EGRESS_IF_PREFIX, strlen(EGRESS_IF_PREFIX)) == 0 || strcmp(r->ifname, "lo") == 0)
        return;
    for (int i = 0; i < u->count; i++) {
        if (strcmp(u->out[i], r->ifname) == 0)
            return;
    }
    if (u->count < u->max)
        memcpy(u->out[u->count++], r->ifname, 16);
}

int net_if_uplinks(char out[][16], int max)
{
    struct uplinks u = {out, 0, max};

    each_route(on_route_uplink, &u);
    return u.count;
}
