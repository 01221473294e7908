/* call.h: one request being served: who asks, for what, and what it waits for.
 *
 * A call is made for every request that reaches a handler and frees itself: when it has been answered
 * (call_reply and its kin) or its client has gone, and nothing is under way for it any more. A handler owns
 * `data`; free_data is called when the call ends, by then nothing else refers to it. After call_reply* the
 * call must not be touched. */
#ifndef BERTH_CALL_H
#define BERTH_CALL_H
#include "../shared/buf.h"
#include "../shared/redis.h"
#include "api.h"
#include "auth.h"
#include "router.h"

struct call;
typedef void call_reply_fn(struct call *c, const redisReply *reply);

struct call {
    struct api *api;
    struct http_exchange *x; /* NULL once it has been answered or the client has gone */
    const struct route *route;
    struct principal who;
    char id[KEYS_ID_MAX + 1]; /* what stood for :id in the path */

    void *data;
    void (*free_data)(void *data);
    void (*on_gone)(struct call *c); /* the client hung up before the reply; x is NULL already. May be NULL */
    call_reply_fn *on_late;          /* a script's reply came after the client had gone. May be NULL */
    /* SIGTERM (last 0); the drain's time is over (last 1). May be NULL. */
    void (*on_drain)(struct call *c, int last);

    double validated_ms; /* age at which the request was found good; 0: not said */
    double redis_ms;     /* spent in scripts on the way of this request */
    double waited_ms;    /* spent waiting for a state */

    /* call.c's own */
    call_reply_fn *on_reply;
    double began_ms;
    int held;
    struct call *prev, *next;
};

struct call *call_new(struct api *api, struct http_exchange *x, const struct router_match *match,
                      const struct principal *who) MUST_USE;
/* Something else (a fetch, a snapshot) holds a pointer to the call: it lives on until as many call_drop. */
void call_hold(struct call *c);
void call_drop(struct call *c);

/* Calls a script; argv ends with NULL. cb gets the reply (NULL: none) if the client is still there. One at a
 * time. */
void call_script(struct call *c, call_reply_fn *cb, enum script s, const char *const argv[]);
#define CALL_SCRIPT(c, cb, s, ...) call_script(c, cb, s, (const char *const[]){__VA_ARGS__, NULL})

/* Each ends the exchange; Server-Timing is added. */
void call_reply(struct call *c, int status, struct buf *json); /* takes json's bytes */
void call_reply_empty(struct call *c, int status);
void call_reply_text(struct call *c, int status, const char *type, const char *text, size_t len);
/* message NULL: the table's. details: JSON members or NULL. Retry-After is added where it helps. */
void call_error(struct call *c, enum err e, const char *message, const char *details);
void call_error_field(struct call *c, enum err e, const char *field, const char *message);
/* The exchange was ended otherwise (http_upgrade): lets go of the call. */
void call_detach(struct call *c);

/* At exit, when nothing calls back any more: ends what is still held. */
void call_end_all(struct api *api);

/* A query parameter in seconds, 0 … max, as ms; *ms stays as it is when the parameter is absent.
 * 0, or -1 when it is not a number in bounds: the call has then been answered. */
int call_query_seconds(struct call *c, const char *name, double max, double *ms) MUST_USE;
/* The same for a whole number. */
int call_query_number(struct call *c, const char *name, long min, long max, long *out) MUST_USE;

/* Seconds after which a client may try again, 0: no use. */
int call_retry_after(enum err e);

#endif
