/* http_internal.h: what the files of the HTTP server share; nobody else includes it (but the tests of its
 * parts).
 *
 *   http_server.c   listens, accepts, keeps the connections' list and the pool of exchanges, drains
 *   http_conn.c     one connection: its states, reading, writing, deadlines
 *   http_request.c  bytes to a checked request: head, body
 *   http_target.c   request target: forms, path and query decoding
 *   http_exchange.c what handlers ask of a request
 *   http_reply.c    what handlers answer */
#ifndef BERTH_HTTP_INTERNAL_H
#define BERTH_HTTP_INTERNAL_H
#include <llhttp.h>

#include "http.h"

#define HTTP_HEADERS_MAX 100
/* One read; also the most that is kept of pipelined requests while one is answered. */
#define HTTP_READ_SIZE       65536
#define HTTP_REQUEST_ID_SIZE 65

struct http_conn;

struct http_field {
    const char *name;
    const char *value;
};

/* Strings made on demand, freed with the exchange. */
struct http_note {
    struct http_note *next;
    char text[];
};

enum http_phase { HTTP_PHASE_HEAD, HTTP_PHASE_BODY, HTTP_PHASE_COMPLETE };

/* What feeding bytes to a request came to. */
enum http_feed { HTTP_FEED_MORE, HTTP_FEED_COMPLETE, HTTP_FEED_REFUSED };

struct http_exchange {
    struct http_conn *conn;
    struct http_exchange *next; /* in the server's pool */
    const struct http_limits *limits;

    /* the request so far */
    enum http_phase phase;
    llhttp_t parser;
    struct buf head; /* raw until complete; then cut into the strings below */
    size_t lines;    /* complete lines of the head */
    size_t line_len; /* of the line that is arriving */
    char last;       /* its last byte */
    struct buf body;
    size_t body_fed;  /* body bytes as sent, chunk framing included */
    enum err refusal; /* after HTTP_FEED_REFUSED: why */
    const char *refusal_text;

    /* the request */
    enum http_method method;
    const char *method_name; /* "-" until known */
    const char *target;
    const char *query; /* after the '?'; NULL: none */
    struct buf path;
    struct http_field fields[HTTP_HEADERS_MAX];
    size_t n_fields;
    int minor; /* of HTTP/1.x */
    int keep_alive;
    int wants_continue; /* Expect: 100-continue, not yet answered */
    double arrived_ms;  /* monotonic; 0: not complete */
    char request_id[HTTP_REQUEST_ID_SIZE];
    struct http_note *notes;

    /* the answer */
    struct buf reply_head;
    void *user;
    void (*on_gone)(struct http_exchange *x, void *user);
};

enum http_conn_state {
    HTTP_CONN_IDLE,      /* between requests: no byte of one has arrived; no exchange */
    HTTP_CONN_READING,   /* a request is arriving in the exchange */
    HTTP_CONN_WAITING,   /* the exchange is the handler's */
    HTTP_CONN_WRITING,   /* a reply is on its way; no exchange */
    HTTP_CONN_LINGERING, /* everything is said, our side is shut: reads until the client has shut its own */
    HTTP_CONN_DEAD       /* closed or given away: parked, freed before the loop sleeps */
};

struct http_conn {
    unsigned magic;
    enum http_conn_state state;
    struct http_server *server;
    /* The server's list; next stays valid for a walk when the connection dies. */
    struct http_conn *prev, *next;
    struct http_conn *next_dead;
    struct http_exchange *x;
    ev_io readable;
    ev_io writable; /* runs only while out has something */
    /* Fires at deadline or before, then looks again: deadlines move often, the timer rarely. */
    ev_timer timer;
    double deadline; /* monotonic, seconds; 0: none */
    int fd;
    int running;    /* requests are being taken from in: replies leave the rest to that loop */
    int last_reply; /* close after this reply */
    int eof;        /* the client will send no more */
    int overflow;   /* pipelined input was dropped */
    size_t discarded;
    struct buf in; /* pipelined input that waits, from in_done on */
    size_t in_done;
    struct buf out; /* reply bytes the socket did not take, from out_done on */
    size_t out_done;
    char peer[56];
};

struct http_server {
    struct ev_loop *loop;
    struct http_server_config config;
    int fd;      /* -1: draining */
    int fd_room; /* descriptors from here on are kept for Redis, relays, files */
    int port;
    int draining;
    int starved;      /* out of descriptors: accepting is paused */
    double full_said; /* loop time at which the log last said that clients are turned away */
    ev_io acceptable;
    ev_timer retry;
    ev_prepare reaper; /* runs only while something is dead */
    struct http_conn *conns;
    struct http_conn *dead;
    int n_conns;
    struct http_exchange *pool;
    int n_pool;
    unsigned long long serial; /* of our own request ids */
    char id_prefix[9];
    time_t date_at;
    char date[32];
    struct buf reply; /* head of the reply being written */
    char scratch[HTTP_READ_SIZE];
};

/* ---- http_server.c */
/* Serves an accepted socket (non-blocking). */
struct http_conn *http_server_adopt(struct http_server *s, int fd, const char *peer);
struct http_exchange *http_exchange_get(struct http_server *s, struct http_conn *c);
void http_exchange_put(struct http_server *s, struct http_exchange *x);
void http_server_bury(struct http_server *s, struct http_conn *c);
const char *http_server_date(struct http_server *s);

/* ---- http_conn.c */
/* Takes fd (non-blocking). */
struct http_conn *http_conn_new(struct http_server *s, int fd, const char *peer);
/* Answers with an error instead of reading anything. */
void http_conn_refuse(struct http_conn *c, enum err e);
/* Reads what is there; closes if that begins no request. For draining. */
void http_conn_drain(struct http_conn *c);
void http_conn_close(struct http_conn *c);
/* Ends the exchange with these bytes; body may be NULL. bytes counts both for on_done. */
void http_conn_reply(struct http_conn *c, int status, const struct buf *head, const void *body, size_t len);
int http_conn_detach(struct http_conn *c, struct buf *early);

/* ---- http_request.c */
/* Takes bytes of one request; *used says how many (all unless the request is complete or refused). */
enum http_feed http_request_feed(struct http_exchange *x, const char *data, size_t len, size_t *used);

/* ---- http_exchange.c */
void http_exchange_init(struct http_exchange *x, struct http_conn *c, const struct http_limits *limits);
/* Forgets the request and keeps small buffers for the next. */
void http_exchange_reset(struct http_exchange *x);
void http_exchange_cleanup(struct http_exchange *x);
/* len zeroed bytes and a NUL to write a string to; it lives as long as the exchange. */
char *http_exchange_note(struct http_exchange *x, size_t len);
int http_is_token(const char *s);

/* ---- http_target.c */
/* Decodes a path once into out. ERR_ok, or ERR_bad_request with the reason in *why. */
enum err http_target_path(const char *raw, size_t len, struct buf *out, const char **why) MUST_USE;
/* ERR_ok if every pair can be decoded, else ERR_bad_query. */
enum err http_target_check_query(const char *query, const char **why) MUST_USE;
/* The first value of name, decoded, is added to out: 1; 0 if the query has none. */
int http_target_find(const char *query, const char *name, struct buf *out);
/* A host with or without port, as in Host. */
int http_target_is_host(const char *s, size_t len);

#endif
