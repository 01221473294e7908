/* qmp.h: QEMU's machine protocol over a socket: greeting, capabilities, calls with an answer each, events.
 *
 * QEMU is believed no more than a client is: lines are bounded, JSON is strict, answers have to come in the
 * order of the calls; anything else ends the connection with a reason. */
#ifndef BERTH_QMP_H
#define BERTH_QMP_H
#include <cjson/cJSON.h>
#include <ev.h>
#include <stddef.h>

#include "../shared/errors.h"

#define QMP_LINE_MAX (256 * 1024)

struct qmp;

/* result lives only in the callback; on failure it is NULL and error says why ("GenericError: …"). Every call
 * is answered once, unless the client is freed first. */
typedef void qmp_reply_cb(void *arg, const cJSON *result, const char *error);

struct qmp_events {
    void (*on_open)(void *arg, const char *version); /* capabilities agreed; "7.2.22" */
    /* Optional. data is NULL where the event has none; lives only in the callback. */
    void (*on_event)(void *arg, const char *name, const cJSON *data);
    /* The connection has ended; after the pending calls' callbacks. The owner still frees the client. */
    void (*on_close)(void *arg, const char *why);
    void *arg;
};

/* fd: a connected stream socket, non-blocking; the client's from now on. No event comes from inside this
 * call. */
struct qmp *qmp_new(struct ev_loop *loop, int fd, const struct qmp_events *events) MUST_USE;
void qmp_free(struct qmp *q); /* allowed in any of its own callbacks; none comes after it */

/* arguments is taken; NULL for none. cb may be NULL: an error is then logged. After the end the callback
 * comes from the next loop iteration. */
void qmp_call(struct qmp *q, const char *command, cJSON *arguments, qmp_reply_cb *cb, void *arg);

/* Hands fd over under this name (getfd); the caller's stays open. As qmp_call; for an idle connection. */
void qmp_give_fd(struct qmp *q, int fd, const char *name, qmp_reply_cb *cb, void *arg);

/* One line as QEMU sends them, apart for tests. */
enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };
struct qmp_line {
    enum qmp_kind kind;
    cJSON *json;       /* owns what follows; free with cJSON_Delete */
    const cJSON *body; /* return's value, event's data (or NULL) */
    double id;         /* of a return or error; -1 where there is none */
    char text[200];    /* greeting: version; error: "Class: description"; event: name */
};
/* 0, or -1 with what is wrong in err; then nothing is to be freed. */
int qmp_parse(const char *text, size_t len, struct qmp_line *out, char *err, size_t errlen) MUST_USE;

#endif
