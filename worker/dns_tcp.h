/* dns_tcp.h: one TCP client of a dns_relay: its length-prefixed queries one after the other, each asked over
 * TCP. */
#ifndef BERTH_DNS_TCP_H
#define BERTH_DNS_TCP_H
#include <ev.h>
#include <stdint.h>

#include "dns_message.h"
#include "dns_upstream.h"

struct dns_tcp;

/* fd is the client's; on_end is called once when it is over, from the loop; free it there or later.
 * local: answers a query without asking; the answer's length in out (DNS_UDP_MAX), 0: ask, -1: close. */
struct dns_tcp *dns_tcp_new(struct ev_loop *loop, struct dns_upstreams *upstreams, int fd,
                            long (*local)(void *arg, const uint8_t *query, size_t len, struct dns_query *q,
                                          uint8_t *out),
                            void (*on_end)(void *arg, struct dns_tcp *t), void *arg);
void dns_tcp_free(struct dns_tcp *t);

#endif
