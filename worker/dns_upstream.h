/* dns_upstream.h: the host's resolvers, from /etc/resolv.conf, read again when it changes. */
#ifndef BERTH_DNS_UPSTREAM_H
#define BERTH_DNS_UPSTREAM_H
#include <stddef.h>
#include <sys/socket.h>

#define DNS_UPSTREAMS_MAX 3

struct dns_upstreams;

/* path NULL: /etc/resolv.conf. port 0: 53. timeout_ms: in which one of them has to answer. */
struct dns_upstreams *dns_upstreams_new(const char *path, int port, long timeout_ms);
void dns_upstreams_free(struct dns_upstreams *u);
/* The i-th resolver, in turn (i may be any number); its length in *len. Never NULL: without any it is
 * 127.0.0.1, as in libc. */
const struct sockaddr *dns_upstream(struct dns_upstreams *u, unsigned i, socklen_t *len);
/* How long one of them is waited for before the next is asked, in seconds. */
double dns_upstream_timeout_s(const struct dns_upstreams *u);
/* Resolvers in a resolv.conf text; how many. */
int dns_parse_resolv_conf(const char *text, int port, struct sockaddr_storage out[DNS_UPSTREAMS_MAX]);

#endif
