/* redis.h: one asynchronous connection to Redis on libev, rebuilt with back-off when it is lost, with a time
 * limit on every command; and the scripts, functions of one library that is loaded again when Redis has
 * forgotten it.
 *
 * A command is sent once. If the connection is lost or the limit passes before its reply, its callback gets
 * NULL: it may or may not have been carried out (every script is safe to repeat; redis_script_retry does so).
 * While there is no connection a command fails at once (callback from the next loop iteration, never from
 * inside the call). After a time-out the connection is dropped and rebuilt, since replies could no longer be
 * told apart. */
#ifndef BERTH_REDIS_H
#define BERTH_REDIS_H
#include <ev.h>
#include <hiredis/hiredis.h>
#include <stddef.h>

#include "errors.h"

enum script { /* order and names: scripts.def; build/scripts.c has the library */
#define SCRIPT(name) SCRIPT_##name,
#include "scripts.def"
#undef SCRIPT
              SCRIPT_COUNT
};

struct redis;
struct redis_address; /* parsed URL */

/* Parses redis://[user:password@]host:port/db, redis://host, unix:///path?db=N. NULL, message in err. */
struct redis_address *redis_address_parse(const char *url, char *err, size_t errlen) MUST_USE;
void redis_address_free(struct redis_address *a);
/* "127.0.0.1:6379/0" or "unix:/path/0", for logs: without user and password. Owned by a. */
const char *redis_address_text(const struct redis_address *a);

/* up is 1 when the connection is ready (AUTH, SELECT and script loading done), 0 when it was lost. */
typedef void redis_state_cb(void *arg, int up);
/* reply is NULL when there was none. The reply lives only in the callback. */
typedef void redis_reply_cb(void *arg, const redisReply *reply);

/* address is borrowed and must outlive it. cell names the key prefix of scripts. timeout_ms: limit of a
 * command, 0: none. A connection of blocking reads has either 0 or, so that a Redis that hangs is noticed,
 * its BLOCK time and some seconds more; no other command goes on it, as it would wait behind the read. Starts
 * connecting at once. name is for logs and for Redis' CLIENT LIST (no spaces). A host name is looked up with
 * getaddrinfo, which blocks, at every attempt to connect. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address, const char *cell,
                        const char *name, int timeout_ms, redis_state_cb *on_state, void *arg) MUST_USE;
/* Pending callbacks are called with NULL first; commands they give are dropped without a callback. on_state
 * is not called. Not from inside a callback of this connection. */
void redis_free(struct redis *r);
int redis_is_up(const struct redis *r);

/* Any command. cb may be NULL. */
void redis_command(struct redis *r, redis_reply_cb *cb, void *arg, int argc, const char **argv,
                   const size_t *lens);
/* The same with NUL-terminated strings, ended by NULL: redis_call(r, cb, arg, "HGETALL", key, NULL). */
void redis_call(struct redis *r, redis_reply_cb *cb, void *arg, ...) __attribute__((sentinel));

/* A script: KEYS[1] = the cell's prefix, ARGV[1] = "0" are added here; the rest of ARGV are the strings up to
 * NULL. */
void redis_script(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, ...)
    __attribute__((sentinel));
void redis_script_argv(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, int argc,
                       const char **argv, const size_t *lens);
/* The same, repeated (with back-off, over reconnects) until Redis has answered; for a worker's reports, which
 * must arrive. Calls of one line (any number; REDIS_RETRY_LINES are told apart) keep their order: one of them
 * is on its way at a time; lines go side by side. Dropped without a callback by redis_free. */
#define REDIS_RETRY_LINES 64
void redis_script_retry(struct redis *r, unsigned line, redis_reply_cb *cb, void *arg, enum script s, ...)
    __attribute__((sentinel));

/* Pub/sub on a connection of its own. One callback for all channels; a channel subscribed to is subscribed
 * again after a reconnect. A NULL message tells that the channel's subscription is in force (for each add,
 * and after each reconnect; never from inside redis_sub_add): only then does a look at the hash plus a hint
 * miss nothing. Counted: n adds need n removes. After the last remove the channel is not heard of again. */
struct redis_sub;
typedef void redis_sub_cb(void *arg, const char *channel, const char *message);
struct redis_sub *redis_sub_new(struct ev_loop *loop, const struct redis_address *address, const char *cell,
                                redis_sub_cb *cb, void *arg) MUST_USE;
void redis_sub_free(struct redis_sub *s);
void redis_sub_add(struct redis_sub *s, const char *channel);
void redis_sub_remove(struct redis_sub *s, const char *channel);

/* Reading replies. */
/* The code of a script's reply: ERR_ok, the named error, ERR_redis_unavailable for NULL and for a Redis that
 * cannot serve now (redis_is_unavailable), ERR_internal for anything odd (which is logged). */
enum err redis_code(const redisReply *reply);
/* 1 for an error reply that says that Redis cannot do this now but may soon: loading, read-only replica,
 * busy, out of memory … */
int redis_is_unavailable(const redisReply *reply);
/* Element i of an array reply as text, or NULL if it is absent; integers are not text. */
const char *redis_str(const redisReply *reply, size_t i);
long long redis_int(const redisReply *reply, size_t i, long long otherwise); /* integer or decimal text */
const redisReply *redis_array(const redisReply *reply, size_t i); /* element i if it is an array, else NULL */
/* The value of field in a flat array of field, value, …; NULL if absent. */
const char *redis_field(const redisReply *flat, const char *field);

/* The library as assembled at build time (one text); the scripts' names. */
extern const char *const scripts_library_text[];
extern const char *const scripts_name[SCRIPT_COUNT];

#endif
