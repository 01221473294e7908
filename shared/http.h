/* http.h: an HTTP/1.1 server on libev and llhttp, for the API and for the worker's gateway.
 *
 * A connection carries one exchange at a time; pipelined requests wait in the connection's input (64 KB; who
 * pipelines more behind a request that waits is told Connection: close). The handler gets a complete request
 * and answers now or later. Whatever the client does, the handler's exchange is ended exactly once: by
 * http_reply, by http_upgrade, or by on_gone when the client has hung up first. A client that shuts its
 * sending side counts as hung up once its request waits.
 *
 * Refused here, with the JSON error body {"error":{"code","message","requestId"}}: malformed requests, head
 * over limit (431, 414), body over limit (413), slow senders (408), header names with spaces, obs-fold, more
 * than one Content-Length or Host, Content-Length with Transfer-Encoding, bad Host, control characters, bad
 * percent-encoding, backslashes, encoded slashes or dot segments in the path, a query that cannot be decoded
 * (bad_query), HTTP/2 preface (505), unknown Expect (417), methods not in enum http_method and codings other
 * than chunked (501), connections over the limit (503). The connection is closed after such a reply. OPTIONS
 * * is answered here. on_done sees these too: what was not read yet is "-" (method) or "" (path, target). */
#ifndef BERTH_HTTP_H
#define BERTH_HTTP_H
#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "errors.h"

struct http_server;
struct http_exchange;

enum http_method {
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_OPTIONS
};

struct http_limits {
    size_t head_bytes; /* request line and headers together */
    size_t target_bytes;
    size_t body_bytes;
    int request_ms;  /* from a request's first byte to its last */
    int idle_ms;     /* between requests */
    int write_ms;    /* a reply that makes no progress for this long */
    int connections; /* further ones get 503 and are closed */
};

struct http_server_config {
    struct http_limits limits;
    /* Called with each complete request. */
    void (*on_request)(void *arg, struct http_exchange *x);
    /* Optional: seen after each reply, for metrics and the access log. */
    void (*on_done)(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms);
    void *arg;
};

/* listen: "127.0.0.1:3000", "[::1]:0", "0.0.0.0:80". With SO_REUSEPORT, so that several processes may share a
 * port. NULL with a message in err. */
struct http_server *http_server_new(struct ev_loop *loop, const char *listen,
                                    const struct http_server_config *config, char *err,
                                    size_t errlen) MUST_USE;
/* The port in use (listen may have said 0). "[::]:80" takes IPv4 too, where the system is set so. */
int http_server_port(const struct http_server *s);
/* 1 if every address of this listen text is a loopback address. */
int http_listen_is_loopback(const char *listen);
/* Stops accepting and closes idle connections; the others are closed after their reply (which says
 * Connection: close). */
void http_server_drain(struct http_server *s);
int http_server_connections(const struct http_server *s); /* open now, upgraded ones not counted */
void http_server_free(struct http_server *s);             /* closes everything; exchanges get on_gone */

/* The request; all strings are NUL-terminated and live until the exchange ends. */
enum http_method http_method(const struct http_exchange *x);
const char *http_method_name(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);   /* percent-decoded, without the query */
const char *http_target(const struct http_exchange *x); /* as sent */
/* name in any case. NULL if absent; several are joined by ", ". */
const char *http_header(const struct http_exchange *x, const char *name);
/* Decoded value of a query parameter, "" if it has none, NULL if absent; owned by the exchange. */
const char *http_query(struct http_exchange *x, const char *name);
const char *http_body(const struct http_exchange *x, size_t *len);
const char *http_peer(const struct http_exchange *x); /* "1.2.3.4:5678" */
/* X-Request-Id if the client sent a sane one, else our own. */
const char *http_request_id(const struct http_exchange *x);
double http_age_ms(const struct http_exchange *x);  /* since the request's last byte arrived */
int http_is_upgrade(const struct http_exchange *x); /* a well-formed WebSocket upgrade (RFC 6455 §4.2.1) */
/* Header number i, from 0: 1, or 0 after the last. */
int http_header_at(const struct http_exchange *x, size_t i, const char **name, const char **value);

/* The handler's own pointer, and what to call when the client has gone before the reply (the exchange ends
 * with it). */
void http_set_user(struct http_exchange *x, void *user, void (*on_gone)(struct http_exchange *x, void *user));

/* Adds a header to the reply to come. Values with control characters are dropped and logged. */
void http_add_header(struct http_exchange *x, const char *name, const char *value);
/* Ends the exchange. type NULL: no Content-Type. Content-Length, Date, X-Request-Id, Connection are added; a
 * HEAD reply carries no body; 204 and 304 neither. The body is copied. */
void http_reply(struct http_exchange *x, int status, const char *type, const void *body, size_t len);
void http_reply_json(struct http_exchange *x, int status, struct buf *json); /* takes the bytes of json */
/* {"error":{"code","message","requestId", …}}. message NULL: the table's. details: more JSON members without
 * braces, or NULL. */
void http_reply_error(struct http_exchange *x, enum err e, const char *message, const char *details);
/* Ends the exchange and gives the connection away: *fd is non-blocking and the caller's; early holds bytes
 * that came after the request's head (the caller cleans it up). Nothing has been written. */
void http_upgrade(struct http_exchange *x, int *fd, struct buf *early);

#endif
