/* local.h: whether a request without an API key comes from this machine's own programs, and not from a web
 * page that a browser here was led to (cross-site requests, DNS rebinding). */
#ifndef BERTH_LOCAL_H
#define BERTH_LOCAL_H

/* host: the Host header ("localhost:3000"), NULL: none, which no browser sends. public_url may be "". */
int local_is_host(const char *host, const char *public_url);
/* origin: the Origin header; NULL: no page sent this. */
int local_is_origin(const char *origin, const char *public_url);

#endif
