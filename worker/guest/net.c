/* net.c: see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Its socket stays open: a clone makes none. */
static int control(unsigned long request, void *arg)
{
    static int fd = -1;

    if (fd < 0)
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd < 0 || ioctl(fd, request, arg) < 0 ? -1 : 0;
}

static struct ifreq interface(const char *name)
{
    struct ifreq r;

    memset(&r, 0, sizeof(r));
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    return r;
}

static struct sockaddr inet(struct in_addr address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
    struct sockaddr out;

    memcpy(&out, &in, sizeof(out));
    return out;
}

static int if_up(const char *name)
{
    struct ifreq r = interface(name);

    if (control(SIOCGIFFLAGS, &r) != 0)
        return -1;
    r.ifr_flags |= IFF_UP;
    return control(SIOCSIFFLAGS, &r);
}

int net_loopback(void)
{
    return if_up("lo");
}

/* Neighbours may have heard of another MAC: tell them whenever it changes. */
static int announce_changes(void)
{
    int fd = open("/proc/sys/net/ipv4/conf/" NET_IF "/arp_notify", O_WRONLY | O_CLOEXEC);
    int result = fd < 0 || write(fd, "1", 1) != 1 ? -1 : 0;

    if (fd >= 0)
        close(fd);
    return result;
}

int net_up(void)
{
    return announce_changes() != 0 ? -1 : if_up(NET_IF);
}

/* Sets it unless it is so. */
static int set_inet(unsigned long get, unsigned long set, struct in_addr wanted)
{
    struct ifreq r = interface(NET_IF);
    struct sockaddr_in now;

    if (control(get, &r) == 0) {
        memcpy(&now, &r.ifr_addr, sizeof(now));
        if (now.sin_addr.s_addr == wanted.s_addr)
            return 0;
    }
    r = interface(NET_IF);
    r.ifr_addr = inet(wanted);
    return control(set, &r);
}

int net_address(struct in_addr address, int prefix)
{
    struct in_addr mask = {htonl(0xffffffffU << (32 - prefix))};

    if (set_inet(SIOCGIFADDR, SIOCSIFADDR, address) != 0)
        return -1;
    return set_inet(SIOCGIFNETMASK, SIOCSIFNETMASK, mask);
}

int net_gateway(struct in_addr gateway)
{
    static struct in_addr current;
    struct rtentry route;

    if (current.s_addr == gateway.s_addr)
        return 0;
    memset(&route, 0, sizeof(route));
    route.rt_dst = inet((struct in_addr){0});
    route.rt_genmask = inet((struct in_addr){0});
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    if (current.s_addr) {
        route.rt_gateway = inet(current);
        if (control(SIOCDELRT, &route) != 0 && errno != ESRCH)
            return -1;
    }
    route.rt_gateway = inet(gateway);
    if (control(SIOCADDRT, &route) != 0)
        return -1;
    current = gateway;
    return 0;
}

int net_mac(const unsigned char mac[6])
{
    struct ifreq r = interface(NET_IF);

    if (control(SIOCGIFHWADDR, &r) != 0)
        return -1;
    if (!memcmp(r.ifr_hwaddr.sa_data, mac, 6))
        return 0;
    r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(r.ifr_hwaddr.sa_data, mac, 6);
    return control(SIOCSIFHWADDR, &r);
}

int net_resolver(struct in_addr server)
{
    static struct in_addr current;
    char text[64], address[INET_ADDRSTRLEN];
    int fd, result = 0;

    if (server.s_addr && current.s_addr == server.s_addr)
        return 0;
    fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    if (server.s_addr) {
        inet_ntop(AF_INET, &server, address, sizeof(address));
        snprintf(text, sizeof(text), "nameserver %s\n", address);
        result = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
    }
    close(fd);
    if (result == 0)
        current = server;
    return result;
}

int net_listen(int port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, NET_IF, sizeof(NET_IF)) == 0 &&
        bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 128) == 0)
        return fd;
    if (fd >= 0) {
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return -1;
}
