/* net_sockets.c: see net_sockets.h. */
#include "net_sockets.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/mem.h"
#include "netlink.h"

#define BATCH 24 /* requests in one message */

static const struct {
    unsigned char family, protocol;
} kinds[] = {
    {AF_INET, IPPROTO_TCP}, {AF_INET6, IPPROTO_TCP}, {AF_INET, IPPROTO_UDP}, {AF_INET6, IPPROTO_UDP}};

struct found {
    const ino_t *keep;
    int keep_count;
    const struct in_addr *peer; /* NULL: all */
    struct inet_diag_sockid *ids;
    int count, room;
    int waiting; /* of them, in TIME_WAIT */
};

static int is_peer(const struct inet_diag_msg *d, struct in_addr peer)
{
    const uint32_t *a = (const uint32_t *)d->id.idiag_dst;

    if (!d->id.idiag_dport)
        return 0; /* not connected */
    if (d->idiag_family == AF_INET)
        return a[0] == peer.s_addr;
    return !a[0] && !a[1] && a[2] == htonl(0xffff) && a[3] == peer.s_addr;
}

static void on_socket(void *arg, const struct nlmsghdr *entry)
{
    struct found *f = arg;
    const struct inet_diag_msg *d = NLMSG_DATA(entry);

    if (entry->nlmsg_len < NLMSG_SPACE(sizeof(*d)) || (f->peer && !is_peer(d, *f->peer)))
        return;
    for (int i = 0; i < f->keep_count; i++) {
        if (d->idiag_inode == f->keep[i])
            return;
    }
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 64;
        f->ids = mem_realloc(f->ids, (size_t)f->room * sizeof(*f->ids));
    }
    f->ids[f->count++] = d->id;
    f->waiting += d->idiag_state == TCP_TIME_WAIT;
}

/* Ends what was found. One that has gone meanwhile is as good as ended, and so is one in TIME_WAIT, which
 * holds nothing and which older kernels cannot end. 0, or -1 with errno. */
static int destroy(int fd, const struct found *f, unsigned char family, unsigned char protocol)
{
    struct inet_diag_req_v2 r = {.sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = ~0U};
    int failed = 0, why = 0;

    for (int i = 0; i < f->count; i += BATCH) {
        struct netlink_message m = {.len = 0};
        int n = f->count - i < BATCH ? f->count - i : BATCH, bad;

        for (int k = 0; k < n; k++) {
            r.id = f->ids[i + k];
            netlink_begin(&m, SOCK_DESTROY, NLM_F_ACK, &r, sizeof(r));
        }
        bad = netlink_do_all(fd, &m, n);
        if (bad < 0)
            return -1;
        if (bad && errno != ENOENT)
            why = errno;
        failed += bad;
    }
    errno = why;
    return why && failed > f->waiting ? -1 : 0;
}

static int end_kind(int fd, struct found *f, unsigned char family, unsigned char protocol)
{
    struct inet_diag_req_v2 r = {.sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = ~0U};
    struct netlink_message m = {.len = 0};

    f->count = f->waiting = 0;
    netlink_begin(&m, SOCK_DIAG_BY_FAMILY, 0, &r, sizeof(r));
    if (netlink_dump(fd, &m, on_socket, f) != 0)
        return family == AF_INET6 && (errno == ENOENT || errno == EAFNOSUPPORT) ? 0 : -1;
    return destroy(fd, f, family, protocol);
}

static int end_found(struct found *f)
{
    int fd = netlink_open(NETLINK_SOCK_DIAG), total = 0, saved;

    if (fd < 0)
        return -1;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && total >= 0; i++)
        total = end_kind(fd, f, kinds[i].family, kinds[i].protocol) == 0 ? total + f->count : -1;
    saved = errno;
    free(f->ids);
    close(fd);
    errno = saved;
    return total;
}

int net_sockets_end_all(const ino_t *keep, int keep_count)
{
    struct found f = {.keep = keep, .keep_count = keep_count};

    return end_found(&f);
}

int net_sockets_end_peer(struct in_addr peer)
{
    struct found f = {.peer = &peer};

    return end_found(&f);
}
