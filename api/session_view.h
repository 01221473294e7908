/* session_view.h: a session as Redis has it (a flat list), read into a struct, and as clients see it (JSON).
 * The only place that knows both. */
#ifndef BERTH_SESSION_VIEW_H
#define BERTH_SESSION_VIEW_H
#include <hiredis/hiredis.h>

#include "../shared/buf.h"

#define SESSION_TEXTS(F)                                                                                     \
    F(id)                                                                                                    \
    F(project)                                                                                               \
    F(profile)                                                                                               \
    F(state)                                                                                                 \
    F(reason)                                                                                                \
    F(worker)                                                                                                \
    F(berth)                                                                                                 \
    F(secret)                                                                                                \
    F(gateway)                                                                                               \
    F(keep_alive)                                                                                            \
    F(warm)                                                                                                  \
    F(meta)                                                                                                  \
    F(timings)                                                                                               \
    F(message)
/* ms since 1970 (the first six), ms, or a count; 0: absent */
#define SESSION_NUMBERS(F)                                                                                   \
    F(created)                                                                                               \
    F(queued)                                                                                                \
    F(starting)                                                                                              \
    F(running)                                                                                               \
    F(ending)                                                                                                \
    F(ended)                                                                                                 \
    F(expires)                                                                                               \
    F(timeout_ms)                                                                                            \
    F(idle_ms)                                                                                               \
    F(attempts)

/* Texts are borrowed from the reply; "" where absent. */
struct session {
#define F(name) const char *name;
    SESSION_TEXTS(F)
#undef F
#define F(name) long long name;
    SESSION_NUMBERS(F)
#undef F
};

/* flat may be NULL: everything is then absent. */
void session_read(const redisReply *flat, struct session *out);
int session_is(const struct session *s, const char *state);
/* Browserbase's word for where the session is: PENDING, RUNNING, COMPLETED, TIMED_OUT, ERROR. */
const char *session_status(const struct session *s);
/* "warm", "cold" or "queued": how it got its browser. */
const char *session_start(const struct session *s);

struct session_view {
    int secrets; /* the reader may connect: with connectUrl and its kin while the session runs */
    /* "wss://api.example": connectUrl leads through the API; NULL: to the worker's gateway. */
    const char *relay;
    long long position; /* in the queue; 0: does not wait */
    const char *more;   /* further JSON members without braces, or NULL */
};

/* The URL of the session's browser, as the view says; nothing is added while there is none. */
void session_add_connect_url(struct buf *out, const struct session *s, const struct session_view *v);
/* Where the worker's gateway serves the session over HTTP: http://host:port/s/<secret>. */
void session_add_gateway_http(struct buf *out, const struct session *s);
/* A JSON object. */
void session_add_json(struct buf *b, const struct session *s, const struct session_view *v);
/* [{"state","at","reason"} …], in the order in which the states were entered. */
void session_add_events(struct buf *out, const struct session *s);

#endif
