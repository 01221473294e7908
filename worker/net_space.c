/* net_space.c: see net_space.h. */
#include "net_space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/log.h"
#include "netlink.h"

#define OWN_SPACE "/proc/thread-self/ns/net"

static void close_keeping_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

int net_space_enter(int space)
{
    return setns(space, CLONE_NEWNET);
}

void net_space_leave(int home)
{
    int saved = errno;

    if (setns(home, CLONE_NEWNET) != 0)
        log_fatal("netns_return_failed", "error=%s", strerror(errno));
    errno = saved;
}

/* ---- names ---- */

/* The folder of names is a mount of its own that is shared, as `ip netns` makes it: a name that is taken away
 * is then gone also for jails, which have copies of the mounts from when they began. */
static int share_names(void)
{
    if (mkdir(NET_SPACE_DIR, 0755) != 0 && errno != EEXIST)
        return -1;
    if (mount("", NET_SPACE_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
        return 0;
    if (errno != EINVAL || mount(NET_SPACE_DIR, NET_SPACE_DIR, "none", MS_BIND | MS_REC, NULL) != 0)
        return -1;
    return mount("", NET_SPACE_DIR, "none", MS_SHARED | MS_REC, NULL);
}

static void path_of(const char *name, char path[160])
{
    snprintf(path, 160, NET_SPACE_DIR "/%.120s", name);
}

static int give_name(const char *name, const char *from)
{
    char path[160];
    int fd;

    if (share_names() != 0)
        return -1;
    path_of(name, path);
    fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    close(fd);
    if (mount(from, path, "none", MS_BIND, NULL) == 0)
        return 0;
    fd = errno;
    unlink(path);
    errno = fd;
    return -1;
}

int net_space_make(const char *name, int holder)
{
    char path[160], from[64];
    int home, space = -1, made;

    snprintf(from, sizeof(from), "/proc/%d/ns/net", holder);
    if (holder) {
        made = give_name(name, from) == 0;
    } else {
        home = open(OWN_SPACE, O_RDONLY | O_CLOEXEC);
        if (home < 0)
            return -1;
        made = unshare(CLONE_NEWNET) == 0;
        if (made) {
            made = give_name(name, OWN_SPACE) == 0;
            net_space_leave(home);
        }
        close_keeping_errno(home);
    }
    path_of(name, path);
    if (made)
        space = open(path, O_RDONLY | O_CLOEXEC);
    return space;
}

int net_space_remove(const char *name)
{
    char path[160];

    path_of(name, path);
    (void)umount2(path, MNT_DETACH); /* a name that is no mount is a leftover too */
    return unlink(path);
}

/* ---- interfaces ---- */

static int ask(struct netlink_message *m)
{
    int fd = netlink_open(NETLINK_ROUTE), result;

    if (fd < 0)
        return -1;
    result = netlink_do(fd, m);
    close_keeping_errno(fd);
    return result;
}

int net_space_link(const char *ifname, const char *peer, int space)
{
    struct netlink_message m = {.len = 0};
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    size_t info, data, other;

    netlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
    netlink_add_text(&m, IFLA_IFNAME, ifname);
    info = netlink_nest(&m, IFLA_LINKINFO);
    netlink_add_text(&m, IFLA_INFO_KIND, "veth");
    data = netlink_nest(&m, IFLA_INFO_DATA);
    /* The peer's description begins with a header of its own. */
    other = m.len;
    netlink_add(&m, VETH_INFO_PEER | NLA_F_NESTED, &link, sizeof(link));
    netlink_add_text(&m, IFLA_IFNAME, peer);
    netlink_add_u32(&m, IFLA_NET_NS_FD, (uint32_t)space);
    netlink_nest_end(&m, other);
    netlink_nest_end(&m, data);
    netlink_nest_end(&m, info);
    return ask(&m);
}

int net_space_unlink(const char *ifname)
{
    struct netlink_message m = {.len = 0};
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC};

    netlink_begin(&m, RTM_DELLINK, 0, &link, sizeof(link));
    netlink_add_text(&m, IFLA_IFNAME, ifname);
    return ask(&m);
}
