/* netlink.h: requests to the kernel's netlink families (links, addresses, packet filter, sockets), in
 * whichever network namespace the calling thread was when the socket was opened. The kernel works while the
 * request is being sent, so nothing here waits for anybody. */
#ifndef BERTH_NETLINK_H
#define BERTH_NETLINK_H
#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/errors.h"

#define NETLINK_MESSAGE_MAX 2048

/* One request, or several one after the other; embedded. */
struct netlink_message {
    _Alignas(8) unsigned char data[NETLINK_MESSAGE_MAX];
    size_t len;  /* in all */
    size_t head; /* where the last one begins */
};

/* A socket of this family (NETLINK_ROUTE …), or -1 with errno. Caller closes. */
int netlink_open(int family) MUST_USE;

/* Begins a request with the family's own header, after what m holds already (m->len 0: an empty one). */
void netlink_begin(struct netlink_message *m, unsigned type, unsigned flags, const void *body, size_t len);
void netlink_add(struct netlink_message *m, unsigned type, const void *data, size_t len);
void netlink_add_text(struct netlink_message *m, unsigned type, const char *text); /* with its NUL */
void netlink_add_u32(struct netlink_message *m, unsigned type, uint32_t value);
/* What is added until netlink_nest_end is inside of this attribute. */
size_t netlink_nest(struct netlink_message *m, unsigned type);
void netlink_nest_end(struct netlink_message *m, size_t nest);

/* Sends and takes the kernel's answer. 0, or -1 with errno. */
int netlink_do(int fd, struct netlink_message *m) MUST_USE;
/* The same over a socket of its own, in the thread's network namespace. */
int netlink_call(int family, struct netlink_message *m) MUST_USE;
/* Sends what m holds and takes one answer for each of count requests that want one (NLM_F_ACK); those that
 * fail do not keep the others from being done. How many failed; -1 with errno if it could not be asked. */
int netlink_do_all(int fd, struct netlink_message *m, int count);
/* The same for requests that were written elsewhere. */
int netlink_do_bytes(int fd, const void *requests, size_t len, int count);
/* Asks for a list and calls fn for each entry. 0, or -1 with errno. */
int netlink_dump(int fd, struct netlink_message *m, void (*fn)(void *arg, const struct nlmsghdr *entry),
                 void *arg) MUST_USE;
/* The attribute of this type in an entry whose family's header is header_len long, or NULL; *len: its data's
 * length. */
const void *netlink_find(const struct nlmsghdr *entry, size_t header_len, unsigned type, size_t *len);

#endif
