/* redis_conn.h: what redis.c, redis_greet.c, redis_script.c and redis_sub.c share; for nobody else. */
#ifndef BERTH_REDIS_CONN_H
#define BERTH_REDIS_CONN_H
#include <ev.h>
#include <hiredis/hiredis.h>

#include "buf.h"
#include "keys.h"
#include "redis.h"

enum conn_state {
    CONN_DOWN,       /* no socket; the timer says when to try again */
    CONN_CONNECTING, /* connect(2) is under way; the timer is its limit */
    CONN_GREETING,   /* AUTH … FUNCTION LOAD are under way; the timer is their limit */
    CONN_UP          /* the timer watches the oldest command */
};

struct pending { /* one command that waits for its reply */
    redis_reply_cb *cb;
    void *arg;
    double due_ms; /* clock_mono_ms at which its limit passes */
};

struct pending_ring { /* first in, first out; grows */
    struct pending *at;
    size_t first, count, cap;
};

struct redis {
    struct ev_loop *loop;
    const struct redis_address *address;
    char *cell, *name;
    char prefix[KEYS_MAX];
    int timeout_ms;
    redis_state_cb *on_state;
    void *arg;

    enum conn_state state;
    int fd;
    redisReader *reader;
    struct redis_block *memory; /* of the reply that is being read or called back with */
    struct buf out;             /* commands not yet written; the first `sent` bytes are */
    size_t sent;
    struct pending_ring waiting; /* given to Redis (or in out), in order */
    struct pending_ring refused; /* came while there was no connection: NULL from the next loop iteration */
    char doomed[160]; /* why the connection is to be dropped as soon as no callback of it runs; "" if it is
                         not */

    ev_io io;
    ev_prepare
        flush; /* active while out has something new: all commands of one loop iteration leave in one write */
    ev_timer timer;    /* its meaning depends on state */
    double due_ms;     /* clock_mono_ms at which the timer's event is really due */
    ev_timer deferred; /* refused commands, doomed connection */

    unsigned attempts; /* to connect, ever */
    unsigned failures; /* in a row */
    double up_since_ms;
    char said[160]; /* the last failure that was logged, and when: an outage is one line, not thousands */
    double said_ms;
    int in_callback;
    int freeing;

    /* Set right after redis_new by redis_sub.c: takes (with arg) every reply after the greeting, which then
     * loads no scripts. */
    void (*on_push)(void *arg, const redisReply *reply);

    /* redis_script.c */
    struct script_line {
        struct script_call *first, **end;
        int sent; /* the first is on its way */
    } retry[REDIS_RETRY_LINES];
    unsigned retry_failures;
    ev_timer retry_timer;
    int loads_on_their_way; /* FUNCTION LOADs on this connection */
};

/* redis_address.c */
/* A non-blocking socket, connecting or connected, or -1 with why. attempt turns through the addresses of a
 * name. */
int redis_address_connect(const struct redis_address *a, unsigned attempt, char *why, size_t n);
const char *redis_address_user(const struct redis_address *a); /* NULL: none */
const char *redis_address_password(const struct redis_address *a);
int redis_address_db(const struct redis_address *a);

/* redis_reader.c */
/* A reader whose replies live in *memory (NULL at first) until redis_reader_reset. */
redisReader *redis_reader_new(struct redis_block **memory);
/* The last reply, which must be whole, is not needed any more. */
void redis_reader_reset(struct redis_block **memory);
void redis_reader_free(redisReader *reader, struct redis_block **memory);

/* redis.c */
/* The bytes of a command, for redis_conn_queue. */
void redis_conn_begin(struct buf *out, int argc);
void redis_conn_arg(struct buf *out, const char *arg, size_t len);

/* redis_conn.c */
void redis_conn_start(struct redis *r);
void redis_conn_stop(struct redis *r); /* all callbacks get NULL; r is then good for free() alone */
/* One command more, whose bytes have been added to out. While greeting or up. */
void redis_conn_queued(struct redis *r, redis_reply_cb *cb, void *arg);
/* The same with the command's bytes. */
void redis_conn_queue(struct redis *r, redis_reply_cb *cb, void *arg, const char *command, size_t len);
/* A command that has no reply of its own (SUBSCRIBE); only when up. */
void redis_conn_queue_unanswered(struct redis *r, const char *command, size_t len);
/* Makes the callback get NULL in the next loop iteration. */
void redis_conn_refuse(struct redis *r, redis_reply_cb *cb, void *arg);
/* Drops the connection as soon as no callback of it runs. */
void redis_conn_doom(struct redis *r, const char *why);
void redis_conn_greeted(struct redis *r); /* the greeting is over: up */

/* redis_greet.c */
void redis_greet(struct redis *r);
void redis_greet_loaded(struct redis *r,
                        const redisReply *reply); /* the library's FUNCTION LOAD is answered */

/* redis_script.c */
const char *redis_script_library(void); /* its name, which has its text's hash */
const char *redis_script_function(enum script s);
/* 1 if it is the answer to a call of a function that Redis does not have. */
int redis_script_is_unknown(const redisReply *reply);
void redis_script_load(struct redis *r);
void redis_script_init(struct redis *r);
void redis_script_on_up(struct redis *r);
void redis_script_cleanup(struct redis *r);

/* redis_reply.c: 1 if it is an error reply that begins with this word. */
int redis_is_error(const redisReply *reply, const char *word);

#endif
