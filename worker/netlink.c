/* netlink.c: see netlink.h. */
#include "netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../shared/mem.h"

#define ANSWER_MAX 65536
#define WAIT_S     5 /* never needed; the worker must not hang on a kernel that is wrong */
#define ATTR_MASK  (~(NLA_F_NESTED | NLA_F_NET_BYTEORDER))

int netlink_open(int family)
{
    struct timeval wait = {WAIT_S, 0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

/* ---- writing ---- */

/* Appends len bytes (data NULL: zeros) and pads to 4. */
static void append(struct netlink_message *m, const void *data, size_t len)
{
    size_t padded = NLMSG_ALIGN(len);

    assert(m->len + padded <= sizeof(m->data));
    memset(m->data + m->len, 0, padded);
    if (data)
        memcpy(m->data + m->len, data, len);
    m->len += padded;
}

static void set_len(struct netlink_message *m)
{
    uint32_t len = (uint32_t)(m->len - m->head);

    memcpy(m->data + m->head, &len, sizeof(len)); /* nlmsg_len is the header's first member */
}

void netlink_begin(struct netlink_message *m, unsigned type, unsigned flags, const void *body, size_t len)
{
    struct nlmsghdr h = {.nlmsg_type = (uint16_t)type, .nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST)};

    m->head = m->len;
    append(m, &h, sizeof(h));
    append(m, body, len);
    set_len(m);
}

void netlink_add(struct netlink_message *m, unsigned type, const void *data, size_t len)
{
    struct nlattr a = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type};

    append(m, &a, sizeof(a));
    append(m, data, len);
    set_len(m);
}

void netlink_add_text(struct netlink_message *m, unsigned type, const char *text)
{
    netlink_add(m, type, text, strlen(text) + 1);
}

void netlink_add_u32(struct netlink_message *m, unsigned type, uint32_t value)
{
    netlink_add(m, type, &value, sizeof(value));
}

size_t netlink_nest(struct netlink_message *m, unsigned type)
{
    size_t nest = m->len;

    netlink_add(m, type | NLA_F_NESTED, NULL, 0);
    return nest;
}

void netlink_nest_end(struct netlink_message *m, size_t nest)
{
    uint16_t len = (uint16_t)(m->len - nest);

    memcpy(m->data + nest, &len, sizeof(len)); /* nla_len is the first member */
}

/* ---- asking ---- */

/* After dropping what came too late for an earlier request that was given up. */
static int send_all(int fd, const void *requests, size_t len)
{
    unsigned char late[64];
    ssize_t n;

    do
        n = recv(fd, late, sizeof(late), MSG_DONTWAIT);
    while (n > 0 || (n < 0 && errno == ENOBUFS)); /* there was no room for some, others are still there */
    return send(fd, requests, len, 0) == (ssize_t)len ? 0 : -1;
}

/* The error number of an answer; 0: it says that all is well. */
static int error_of(const struct nlmsghdr *h)
{
    struct nlmsgerr e;

    if (h->nlmsg_len < NLMSG_HDRLEN + sizeof(e.error))
        return EBADMSG;
    memcpy(&e.error, NLMSG_DATA(h), sizeof(e.error));
    return -e.error;
}

int netlink_do_bytes(int fd, const void *requests, size_t len, int count)
{
    _Alignas(8) unsigned char answer[8192];
    int failed = 0, last = 0;

    if (send_all(fd, requests, len) != 0)
        return -1;
    while (count > 0) {
        ssize_t n = recv(fd, answer, sizeof(answer), 0);
        size_t left = n > 0 ? (size_t)n : 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        for (const struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type != NLMSG_ERROR)
                continue;
            count--;
            if (error_of(h)) {
                failed++;
                last = error_of(h);
            }
        }
    }
    errno = last;
    return failed;
}

int netlink_do_all(int fd, struct netlink_message *m, int count)
{
    return netlink_do_bytes(fd, m->data, m->len, count);
}

int netlink_do(int fd, struct netlink_message *m)
{
    struct nlmsghdr *h = (void *)(m->data + m->head);

    h->nlmsg_flags |= NLM_F_ACK;
    return netlink_do_all(fd, m, 1) == 0 ? 0 : -1;
}

int netlink_call(int family, struct netlink_message *m)
{
    int fd = netlink_open(family), result, saved;

    if (fd < 0)
        return -1;
    result = netlink_do(fd, m);
    saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int netlink_dump(int fd, struct netlink_message *m, void (*fn)(void *arg, const struct nlmsghdr *entry),
                 void *arg)
{
    struct nlmsghdr *request = (void *)(m->data + m->head);
    unsigned char *answer = mem_alloc(ANSWER_MAX); /* aligned for anything */
    int result = -1;

    request->nlmsg_flags |= NLM_F_DUMP;
    if (send_all(fd, m->data, m->len) != 0)
        goto cleanup;
    for (;;) {
        ssize_t n = recv(fd, answer, ANSWER_MAX, 0);
        size_t left = n > 0 ? (size_t)n : 0;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            goto cleanup;
        for (const struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE) {
                result = 0;
                goto cleanup;
            }
            if (h->nlmsg_type == NLMSG_ERROR) {
                errno = error_of(h);
                goto cleanup;
            }
            fn(arg, h);
        }
    }
cleanup : {
    int saved = errno;

    free(answer);
    errno = saved;
}
    return result;
}

const void *netlink_find(const struct nlmsghdr *entry, size_t header_len, unsigned type, size_t *len)
{
    const unsigned char *at = (const unsigned char *)entry + NLMSG_SPACE(header_len),
                        *end = (const unsigned char *)entry + entry->nlmsg_len;

    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *a = (const void *)at;

        if (a->nla_len < NLA_HDRLEN || at + a->nla_len > end)
            return NULL;
        if ((a->nla_type & ATTR_MASK) == type) {
            *len = a->nla_len - (size_t)NLA_HDRLEN;
            return at + NLA_HDRLEN;
        }
        at += NLA_ALIGN(a->nla_len);
    }
    return NULL;
}
