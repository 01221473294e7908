/* qmp.c: see qmp.h. Owns the socket, what is still to be written, and the calls without an answer. */
#include "qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/json.h"
#include "../shared/log.h"
#include "../shared/mem.h"

struct call {
    struct call *next;
    double id;
    char command[40];
    qmp_reply_cb *cb;
    void *arg;
};

enum qmp_state { QMP_WAIT_GREETING, QMP_WAIT_CAPABILITIES, QMP_OPEN, QMP_CLOSED };

struct qmp {
    struct ev_loop *loop;
    struct qmp_events events;
    enum qmp_state state;
    ev_io readable, writable;
    ev_timer soon; /* calls after the end */
    int fd;
    struct buf in, out;
    struct call *first, **last;
    double next_id;
    char version[40], why[200];
    int depth, freed; /* callbacks that are running; qmp_free was called meanwhile */
};

/* ---- calls ---- */

static void answer(struct call *c, const cJSON *result, const char *error)
{
    if (c->cb)
        c->cb(c->arg, result, error);
    else if (error)
        log_warn("qmp_error", "command=%s error=%s", c->command, error);
    free(c);
}

static struct call *take_first(struct qmp *q)
{
    struct call *c = q->first;

    q->first = c->next;
    if (!q->first)
        q->last = &q->first;
    return c;
}

static void drop_calls(struct qmp *q)
{
    while (q->first && !q->freed)
        answer(take_first(q), NULL, q->why);
}

/* ---- end ---- */

static void release(struct qmp *q)
{
    while (q->first)
        free(take_first(q));
    buf_cleanup(&q->in);
    buf_cleanup(&q->out);
    free(q);
}

static void leave(struct qmp *q)
{
    if (--q->depth == 0 && q->freed)
        release(q);
}

static void stop(struct qmp *q)
{
    ev_io_stop(q->loop, &q->readable);
    ev_io_stop(q->loop, &q->writable);
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    q->state = QMP_CLOSED;
}

static void end(struct qmp *q, const char *why)
{
    if (q->state == QMP_CLOSED)
        return;
    snprintf(q->why, sizeof(q->why), "%s", why);
    stop(q);
    drop_calls(q);
    if (!q->freed)
        q->events.on_close(q->events.arg, q->why);
}

void qmp_free(struct qmp *q)
{
    if (!q || q->freed)
        return;
    q->freed = 1;
    ev_timer_stop(q->loop, &q->soon);
    stop(q);
    if (q->depth == 0)
        release(q);
}

/* ---- reading ---- */

static void on_capabilities(void *arg, const cJSON *result, const char *error)
{
    struct qmp *q = arg;

    (void)result;
    if (q->state == QMP_CLOSED)
        return;
    if (error) {
        end(q, error);
        return;
    }
    q->state = QMP_OPEN;
    q->events.on_open(q->events.arg, q->version);
}

static void take_answer(struct qmp *q, const struct qmp_line *line)
{
    struct call *c;

    if (!q->first || line->id != q->first->id) {
        end(q, "QMP: an answer to nothing that was asked");
        return;
    }
    c = take_first(q);
    answer(c, line->kind == QMP_RETURN ? line->body : NULL, line->kind == QMP_ERROR ? line->text : NULL);
}

static void take_line(struct qmp *q, const char *text, size_t len)
{
    char err[120], why[200];
    struct qmp_line line;

    if (qmp_parse(text, len, &line, err, sizeof(err)) != 0) {
        snprintf(why, sizeof(why), "QMP: %s", err);
        end(q, why);
        return;
    }
    if ((line.kind == QMP_GREETING) != (q->state == QMP_WAIT_GREETING)) {
        end(q, "QMP: a greeting was due, or came twice");
    } else if (line.kind == QMP_GREETING) {
        snprintf(q->version, sizeof(q->version), "%.39s", line.text);
        q->state = QMP_WAIT_CAPABILITIES;
        qmp_call(q, "qmp_capabilities", NULL, on_capabilities, q);
    } else if (line.kind == QMP_EVENT) {
        if (q->events.on_event)
            q->events.on_event(q->events.arg, line.text, line.body);
    } else {
        take_answer(q, &line);
    }
    cJSON_Delete(line.json);
}

static void take_lines(struct qmp *q)
{
    size_t at = 0;

    while (q->state != QMP_CLOSED) {
        char *nl = q->in.len > at ? memchr(q->in.data + at, '\n', q->in.len - at) : NULL;
        size_t len;

        if (!nl)
            break;
        len = (size_t)(nl - (q->in.data + at));
        take_line(q, q->in.data + at, len);
        at += len + 1;
    }
    if (q->state == QMP_CLOSED)
        return;
    buf_consume(&q->in, at);
    if (q->in.len > QMP_LINE_MAX)
        end(q, "QMP: a line that is too long");
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct qmp *q = w->data;
    char chunk[8192];
    ssize_t n = read(q->fd, chunk, sizeof(chunk));

    (void)loop;
    (void)revents;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    q->depth++;
    if (n <= 0) {
        end(q, n == 0 ? "QMP: the connection was closed" : strerror(errno));
    } else {
        buf_add(&q->in, chunk, (size_t)n);
        take_lines(q);
    }
    leave(q);
}

/* ---- writing ---- */

static void flush(struct qmp *q)
{
    while (q->out.len) {
        ssize_t n = write(q->fd, q->out.data, q->out.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* EAGAIN; an error shows when reading */
        buf_consume(&q->out, (size_t)n);
    }
    if (q->out.len)
        ev_io_start(q->loop, &q->writable);
    else
        ev_io_stop(q->loop, &q->writable);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    (void)revents;
    flush(w->data);
}

static void on_soon(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct qmp *q = w->data;

    (void)loop;
    (void)revents;
    q->depth++;
    drop_calls(q);
    leave(q);
}

/* ---- public ---- */

struct qmp *qmp_new(struct ev_loop *loop, int fd, const struct qmp_events *events)
{
    struct qmp *q = mem_alloc(sizeof(*q));

    q->loop = loop;
    q->events = *events;
    q->fd = fd;
    q->last = &q->first;
    ev_io_init(&q->readable, on_readable, fd, EV_READ);
    ev_io_init(&q->writable, on_writable, fd, EV_WRITE);
    ev_timer_init(&q->soon, on_soon, 0, 0);
    q->readable.data = q->writable.data = q->soon.data = q;
    ev_io_start(loop, &q->readable);
    return q;
}

/* Makes the call known, and its text; caller frees. */
static char *begin_call(struct qmp *q, const char *command, cJSON *arguments, qmp_reply_cb *cb, void *arg)
{
    struct call *c = mem_alloc(sizeof(*c));
    cJSON *message = cJSON_CreateObject();
    char *text;

    c->id = q->next_id++;
    snprintf(c->command, sizeof(c->command), "%.39s", command);
    c->cb = cb;
    c->arg = arg;
    *q->last = c;
    q->last = &c->next;
    cJSON_AddStringToObject(message, "execute", command);
    if (arguments)
        cJSON_AddItemToObject(message, "arguments", arguments);
    cJSON_AddNumberToObject(message, "id", c->id);
    text = json_print(message);
    cJSON_Delete(message);
    return text;
}

static void send_text(struct qmp *q, const char *text)
{
    if (q->state == QMP_CLOSED) {
        ev_timer_start(q->loop, &q->soon);
        return;
    }
    buf_addf(&q->out, "%s\n", text);
    flush(q);
}

void qmp_call(struct qmp *q, const char *command, cJSON *arguments, qmp_reply_cb *cb, void *arg)
{
    char *text = begin_call(q, command, arguments, cb, arg);

    send_text(q, text);
    free(text);
}

/* The descriptor travels with the line's first byte. */
static int send_with_fd(struct qmp *q, const char *text, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec first = {(char *)text, 1};
    struct msghdr m = {
        .msg_iov = &first, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(q->fd, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

void qmp_give_fd(struct qmp *q, int fd, const char *name, qmp_reply_cb *cb, void *arg)
{
    cJSON *arguments = cJSON_CreateObject();
    char *text;

    cJSON_AddStringToObject(arguments, "fdname", name);
    text = begin_call(q, "getfd", arguments, cb, arg);
    /* Without it QEMU answers with an error, which says what is missing. */
    if (q->state != QMP_CLOSED && q->out.len == 0 && send_with_fd(q, text, fd) == 0)
        send_text(q, text + 1);
    else
        send_text(q, text);
    free(text);
}
