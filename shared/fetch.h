/* fetch.h: outgoing HTTP on the loop (libcurl's multi interface): small requests over TCP or a unix socket,
 * on connections that are kept and used again, and TCP connections to hosts by name. */
#ifndef BERTH_FETCH_H
#define BERTH_FETCH_H
#include <ev.h>
#include <stddef.h>

struct fetch;
struct fetch_job;

struct fetch *fetch_new(struct ev_loop *loop);
void fetch_free(struct fetch *f); /* jobs under way end without a callback */

/* status: of the reply, 0 when there was none (no connection, too late, larger than 1 MiB). body is
 * NUL-terminated and lives as long as the callback. */
typedef void fetch_get_cb(void *arg, int status, const char *body, size_t len);
struct fetch_job *fetch_get(struct fetch *f, const char *url, long timeout_ms, fetch_get_cb *cb, void *arg);

struct fetch_request {
    const char *method;      /* NULL: GET, or POST where there is a body */
    const char *url;         /* http or https; with a unix socket its host is only named */
    const char *unix_socket; /* path, or NULL */
    const char *json;        /* body, copied; NULL: none */
    long timeout_ms;
};
/* As fetch_get's callback; why: curl's words where status is 0, "" otherwise. */
typedef void fetch_reply_cb(void *arg, int status, const char *body, size_t len, const char *why);
struct fetch_job *fetch_start(struct fetch *f, const struct fetch_request *request, fetch_reply_cb *cb,
                              void *arg);

/* fd: connected, non-blocking, the callee's; -1 when that failed. */
typedef void fetch_connect_cb(void *arg, int fd);
struct fetch_job *fetch_connect(struct fetch *f, const char *host, int port, long timeout_ms,
                                fetch_connect_cb *cb, void *arg);

/* Ends a job; its callback is not called. Not from inside its callback (it has ended then). */
void fetch_cancel(struct fetch_job *job);

#endif
