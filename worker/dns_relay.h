/* dns_relay.h: a berth's resolver. Sockets bound inside the berth's network namespace take its queries; they
 * are asked of the host's resolvers from the host's own network, where a resolver on loopback or in a private
 * range can be reached.
 *
 * host.berth.internal is answered here (no other name in berth.internal exists). What a berth can hold is
 * bounded: UDP queries in flight, TCP connections, and the time each may take. */
#ifndef BERTH_DNS_RELAY_H
#define BERTH_DNS_RELAY_H
#include <ev.h>
#include <netinet/in.h>

#include "dns_upstream.h"

/* What a berth may have at once, both at least 1. */
struct dns_limits {
    long queries; /* over UDP, in flight; further ones wait in the kernel's buffer, which drops what is too
                     much */
    long connections; /* over TCP; further ones wait in the kernel's queue */
};

struct dns_relay;

/* udp_fd: bound; tcp_fd: listening; both non-blocking and the relay's from now on. upstreams is borrowed.
 * host: what host.berth.internal means, once it is allowed. */
struct dns_relay *dns_relay_new(struct ev_loop *loop, struct dns_upstreams *upstreams,
                                const struct dns_limits *limits, int udp_fd, int tcp_fd, struct in_addr host);
void dns_relay_allow_host(struct dns_relay *r, int allowed);
/* Forgets queries in flight and closes TCP connections: between two sessions. */
void dns_relay_reset(struct dns_relay *r);
void dns_relay_free(struct dns_relay *r);

#endif
