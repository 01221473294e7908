/* http_client.h: one keep-alive HTTP/1.1 connection of a load generator, one request on its way at a time.
 * It trusts its peer (Berth's own API): replies have a Content-Length or no body. */
#ifndef BERTH_BENCH_HTTP_CLIENT_H
#define BERTH_BENCH_HTTP_CLIENT_H
#include <ev.h>
#include <netinet/in.h>
#include <stddef.h>

struct http_client;
/* status 0: the connection failed; the next request opens another. body is NUL-terminated and lives only in
 * the callback, which may send the next request. */
typedef void http_client_cb(void *arg, int status, const char *body, size_t len);

/* address is copied. Connects at the first request. */
struct http_client *http_client_new(struct ev_loop *loop, const struct sockaddr_in *address,
                                    http_client_cb *cb, void *arg);
void http_client_free(struct http_client *c);
/* body may be NULL. Not while a request is on its way. */
void http_client_send(struct http_client *c, const char *method, const char *path, const char *body);

#endif
