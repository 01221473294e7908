/* net.c: see net.h. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "worker/guest/protocol.h"

#define CARD        "eth0"
#define VNET_HEADER 12
#define FRAME_MAX   (VNET_HEADER + 65550)
#define ETHER       VNET_HEADER
#define ARP_SENDER  (ETHER + 14 + 8)
#define FRAMES_MAX  64 /* at a time */

/* What the borrowed kernel's card has; the guest's own address is put in its place on the way. */
static const unsigned char inner_mac[6] = {0x02, 0xfa, 0xce, 0x00, 0x00, 0x01};

static unsigned char guest_mac[6];
static struct watch host_end, guest_end;

static void set_inet(struct sockaddr *out, const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    inet_pton(AF_INET, text, &a.sin_addr);
    memcpy(out, &a, sizeof(a));
}

static int up(int fd, const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_UP | IFF_RUNNING};

    strcpy(r.ifr_name, name);
    return ioctl(fd, SIOCSIFFLAGS, &r);
}

static int configure(void)
{
    struct ifreq r = {0};
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = -1;

    if (fd < 0)
        return -1;
    strcpy(r.ifr_name, CARD);
    r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(r.ifr_hwaddr.sa_data, inner_mac, 6);
    if (ioctl(fd, SIOCSIFHWADDR, &r) != 0)
        goto end;
    set_inet(&r.ifr_addr, GUEST_ADDRESS);
    if (ioctl(fd, SIOCSIFADDR, &r) != 0)
        goto end;
    set_inet(&r.ifr_netmask, "255.255.255.252");
    if (ioctl(fd, SIOCSIFNETMASK, &r) != 0 || up(fd, CARD) != 0 || up(fd, "lo") != 0)
        goto end;
    set_inet(&route.rt_dst, "0.0.0.0");
    set_inet(&route.rt_genmask, "0.0.0.0");
    set_inet(&route.rt_gateway, GUEST_GATEWAY);
    result = ioctl(fd, SIOCADDRT, &route);
end:
    close(fd);
    return result;
}

static int bind_cdp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(GUEST_CDP_PORT)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int net_open_tap(const char *name, const char **step)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), header = VNET_HEADER;

    *step = "open";
    if (fd < 0)
        return -1;
    *step = "attach";
    strncpy(r.ifr_name, name, sizeof(r.ifr_name) - 1);
    if (ioctl(fd, TUNSETIFF, &r) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &header) == 0 &&
        ioctl(fd, TUNSETOFFLOAD, 0) == 0)
        return fd;
    header = errno;
    close(fd);
    errno = header;
    return -1;
}

int net_make_guest(int *tap, int *listener)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ipv6, saved;
    const char *step;

    *tap = *listener = -1;
    if (home < 0 || unshare(CLONE_NEWNET) != 0)
        return -1;
    ipv6 = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (ipv6 >= 0 && write(ipv6, "1", 1) != 1)
        errno = 0; /* there may be none */
    if (ipv6 >= 0)
        close(ipv6);
    *tap = net_open_tap(CARD, &step);
    if (*tap >= 0 && configure() == 0)
        *listener = bind_cdp();
    saved = errno;
    if (setns(home, CLONE_NEWNET) != 0)
        abort();
    close(home);
    errno = saved;
    return *listener >= 0 ? 0 : -1;
}

/* ---- frames ---- */

/* To the guest only what is for it; with the address that its borrowed kernel has. */
static int inwards(unsigned char *frame)
{
    unsigned char *to = frame + ETHER;

    if (to[0] & 1)
        return 1;
    if (memcmp(to, guest_mac, 6) != 0)
        return 0;
    memcpy(to, inner_mac, 6);
    return 1;
}

static int outwards(unsigned char *frame, size_t len)
{
    memcpy(frame + ETHER + 6, guest_mac, 6);
    if (frame[ETHER + 12] == 0x08 && frame[ETHER + 13] == 0x06 && len >= ARP_SENDER + 6)
        memcpy(frame + ARP_SENDER, guest_mac, 6);
    return 1;
}

static void on_frames(struct watch *w, short events)
{
    static unsigned char frame[FRAME_MAX];
    int to = w == &host_end ? guest_end.fd : host_end.fd;

    (void)events;
    for (int i = 0; i < FRAMES_MAX; i++) {
        ssize_t n = read(w->fd, frame, sizeof(frame));

        if (n <= 0) {
            if (n < 0 && errno != EAGAIN && errno != EINTR)
                loop_remove(w); /* the interface is gone */
            return;
        }
        if (n < ETHER + 14)
            continue;
        memset(frame, 0, VNET_HEADER);
        if (to >= 0 && (w == &host_end ? inwards(frame) : outwards(frame, (size_t)n)) &&
            write(to, frame, (size_t)n) < 0)
            continue; /* a full queue drops, as on a wire */
    }
}

void net_set_mac(const unsigned char mac[6])
{
    memcpy(guest_mac, mac, 6);
}

void net_plug(int host_tap, int guest_tap, const unsigned char mac[6])
{
    net_set_mac(mac);
    host_end = (struct watch){.guest = 1, .on_ready = on_frames, .fd = -1};
    guest_end = host_end;
    loop_add(&host_end, host_tap, 1 /* POLLIN */);
    loop_add(&guest_end, guest_tap, 1);
}
