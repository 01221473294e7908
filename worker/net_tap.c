/* net_tap.c: see net_tap.h. */
#include "net_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/log.h"
#include "net_if.h"

/* The same in every namespace: a snapshot's guest remembers its gateway's address. */
static const unsigned char gateway_mac[6] = {0x02, 0xbe, 0x27, 0x00, 0x00, 0x01};

static void close_keeping_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

int net_tap_open(void)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -1;
    strcpy(r.ifr_name, NET_TAP_NAME);
    if (ioctl(fd, TUNSETIFF, &r) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

static int set_mac(void)
{
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return -1;
    strcpy(r.ifr_name, NET_TAP_NAME);
    r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(r.ifr_hwaddr.sa_data, gateway_mac, sizeof(gateway_mac));
    result = ioctl(fd, SIOCSIFHWADDR, &r);
    close_keeping_errno(fd);
    return result;
}

int net_tap_create(const struct net_tap_config *c)
{
    int fd = net_tap_open(), result = -1;

    if (fd < 0)
        return -1;
    if (ioctl(fd, TUNSETPERSIST, 1) == 0 && set_mac() == 0 &&
        net_if_set_address(NET_TAP_NAME, c->gateway, c->prefix) == 0 && net_if_up(NET_TAP_NAME) == 0 &&
        net_if_sysctl("ipv4/ip_forward", NULL, 1) == 0)
        result = 0;
    close_keeping_errno(fd);
    return result;
}

int net_tap_neighbour(const struct net_tap_config *c, const unsigned char mac[6])
{
    struct arpreq r = {.arp_flags = ATF_PERM | ATF_COM};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = c->guest};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return -1;
    memcpy(&r.arp_pa, &to, sizeof(to));
    r.arp_ha.sa_family = ARPHRD_ETHER;
    memcpy(r.arp_ha.sa_data, mac, 6);
    strcpy(r.arp_dev, NET_TAP_NAME);
    result = ioctl(fd, SIOCSARP, &r);
    close_keeping_errno(fd);
    return result;
}

void net_tap_rules(struct buf *out, const struct net_tap_config *c, unsigned uid)
{
    char guest[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &c->guest, guest, sizeof(guest));
    inet_ntop(AF_INET, &c->gateway, gateway, sizeof(gateway));
    buf_addf(
        out,
        "table inet berth {\n"
        "  chain refuse {\n    meta l4proto tcp reject with tcp reset\n    reject with icmpx "
        "admin-prohibited\n  }\n"
        "  chain input {\n    type filter hook input priority filter; policy accept;\n"
        "    iifname \"" NET_TAP_NAME "\" jump from_guest\n  }\n"
        "  chain from_guest {\n    ip saddr != %s drop\n    ct state established,related accept\n"
        "    ip daddr %s udp dport 53 accept\n    ip daddr %s tcp dport 53 accept\n    goto refuse\n  }\n",
        guest, gateway, gateway);
    buf_addf(out,
             "  chain forward {\n    type filter hook forward priority filter; policy drop;\n"
             "    iifname \"" NET_TAP_NAME "\" oifname \"eth0\" ip saddr %s accept\n"
             "    iifname \"eth0\" oifname \"" NET_TAP_NAME "\" ct state established,related accept\n  }\n"
             "  chain output {\n    type filter hook output priority filter; policy accept;\n"
             "    oifname \"" NET_TAP_NAME "\" meta skuid != %u reject with icmpx admin-prohibited\n  }\n"
             "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n"
             "    oifname \"eth0\" masquerade\n  }\n}\n",
             guest, uid);
}

int net_tap_alone(const struct net_tap_config *c, int *net_ns, int *tap)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), saved;

    *net_ns = *tap = -1;
    if (home < 0)
        return -1;
    if (unshare(CLONE_NEWNET) == 0) {
        *net_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (*net_ns >= 0 && net_tap_create(c) == 0)
            *tap = net_tap_open();
        saved = errno;
        if (setns(home, CLONE_NEWNET) != 0)
            log_fatal("netns_return_failed", "error=%s", strerror(errno));
        errno = saved;
    }
    if (*tap < 0 && *net_ns >= 0) {
        close_keeping_errno(*net_ns);
        *net_ns = -1;
    }
    close_keeping_errno(home);
    return *tap >= 0 ? 0 : -1;
}
