/* cdp_client.c: see cdp_client.h. Owns the socket, wslay's framing and the calls that wait for an answer.
 *
 * The owner may free the client in any callback, so callbacks run between client_enter and client_leave: a
 * client freed meanwhile only closes its socket, and its memory goes when the outermost of them returns. */
#include "cdp_client.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "../shared/ws.h"
#include "cdp_http.h"

struct call {
    struct call *next;
    int id;
    cdp_client_reply_cb *cb;
    void *arg;
};

enum client_state { CLIENT_HANDSHAKE, CLIENT_OPEN, CLIENT_ENDING, CLIENT_CLOSED };

struct cdp_client {
    struct ev_loop *loop;
    enum client_state state;
    struct cdp_client_events events;
    struct cdp_http *handshake; /* CLIENT_HANDSHAKE only */
    char key[25];
    int fd;          /* -1 before CLIENT_OPEN and in CLIENT_CLOSED */
    struct buf rest; /* read with the handshake, not yet seen by wslay */
    ev_io readable, writable;
    ev_timer ending; /* ends the client from the loop, where no caller is in the way */
    char why[128];
    wslay_event_context_ptr ws;
    struct buf out;     /* frames on their way: heads and payloads of one turn leave in one write */
    int drained;        /* the socket gave less than was asked for: nothing more is there now */
    struct call *calls; /* newest first */
    int last_id;
    int depth, freed;
};

static void client_enter(struct cdp_client *c)
{
    c->depth++;
}

static void client_leave(struct cdp_client *c)
{
    if (--c->depth > 0 || !c->freed)
        return;
    wslay_event_context_free(c->ws);
    buf_cleanup(&c->rest);
    buf_cleanup(&c->out);
    while (c->calls) {
        struct call *call = c->calls;
        c->calls = call->next;
        free(call);
    }
    free(c);
}

static void client_disconnect(struct cdp_client *c)
{
    ev_io_stop(c->loop, &c->readable);
    ev_io_stop(c->loop, &c->writable);
    ev_timer_stop(c->loop, &c->ending);
    if (c->handshake)
        cdp_http_cancel(c->handshake);
    c->handshake = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* The one way to the end: from the next loop iteration on_ending_timer tells everybody. */
static void client_end(struct cdp_client *c, const char *why)
{
    if (c->freed || c->state == CLIENT_ENDING || c->state == CLIENT_CLOSED)
        return;
    client_disconnect(c);
    c->state = CLIENT_ENDING;
    snprintf(c->why, sizeof(c->why), "%s", why);
    ev_timer_start(c->loop, &c->ending);
}

static void on_ending_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct cdp_client *c = w->data;
    int first = c->state == CLIENT_ENDING;

    (void)loop, (void)events;
    c->state = CLIENT_CLOSED;
    client_enter(c);
    for (struct call *call; !c->freed && (call = c->calls);) {
        c->calls = call->next;
        if (call->cb)
            call->cb(call->arg, NULL, c->why);
        free(call);
    }
    if (!c->freed && first)
        c->events.on_close(c->events.arg, c->why);
    client_leave(c);
}

/* ---- messages ---- */

static void message_answer(struct cdp_client *c, int id, const cJSON *message)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(message, "error");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(error, "message"));

    for (struct call **p = &c->calls, *call; (call = *p); p = &call->next) {
        if (call->id != id)
            continue;
        *p = call->next;
        if (call->cb && error)
            call->cb(call->arg, NULL, text ? text : "error without a message");
        else if (call->cb)
            call->cb(call->arg, cJSON_GetObjectItemCaseSensitive(message, "result"), NULL);
        free(call);
        return;
    }
}

static void message_take(struct cdp_client *c, const char *text, size_t len)
{
    cJSON *message = cJSON_ParseWithLength(text, len);
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(message, "id");
    const char *method = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "method"));
    const char *session = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "sessionId"));

    if (cJSON_IsNumber(id))
        message_answer(c, id->valueint, message);
    else if (method && c->events.on_event)
        c->events.on_event(c->events.arg, session ? session : "", method,
                           cJSON_GetObjectItemCaseSensitive(message, "params"));
    else if (!method)
        client_end(c, "the browser sent something that is not CDP");
    cJSON_Delete(message);
}

/* ---- wslay ---- */

static ssize_t on_ws_recv(wslay_event_context_ptr ws, uint8_t *data, size_t len, int flags, void *arg)
{
    struct cdp_client *c = arg;
    ssize_t n;

    (void)flags;
    if (c->rest.len > 0) {
        n = (ssize_t)(len < c->rest.len ? len : c->rest.len);
        memcpy(data, c->rest.data, (size_t)n);
        buf_consume(&c->rest, (size_t)n);
        return n;
    }
    /* A callback may have closed the socket in the middle of wslay's loop. */
    if (c->drained && c->fd >= 0) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    n = c->fd < 0 ? 0 : recv(c->fd, data, len, 0);
    c->drained = n > 0 && (size_t)n < len;
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
    else
        wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_ws_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags, void *arg)
{
    struct cdp_client *c = arg;

    (void)ws, (void)flags;
    buf_add(&c->out, data, len);
    return (ssize_t)len;
}

static int on_ws_mask(wslay_event_context_ptr ws, uint8_t *data, size_t len, void *arg)
{
    (void)ws, (void)arg;
    random_bytes(data, len);
    return 0;
}

static void on_ws_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
    struct cdp_client *c = arg;

    (void)ws;
    if (c->state == CLIENT_OPEN && !c->freed && m->opcode == WSLAY_TEXT_FRAME)
        message_take(c, (const char *)m->msg, m->msg_length);
}

static const struct wslay_event_callbacks ws_callbacks = {
    .recv_callback = on_ws_recv,
    .send_callback = on_ws_send,
    .genmask_callback = on_ws_mask,
    .on_msg_recv_callback = on_ws_message,
};

static int send_out(struct cdp_client *c)
{
    ssize_t n = c->out.len > 0 ? send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL) : 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    buf_consume(&c->out, (size_t)n);
    return 0;
}

/* Sends what waits, and watches for room if it did not all go. */
static void client_flush(struct cdp_client *c)
{
    if (c->freed || c->state != CLIENT_OPEN)
        return;
    if (wslay_event_send(c->ws) != 0 || send_out(c) != 0)
        client_end(c, "sending to the browser failed");
    else if (c->out.len > 0)
        ev_io_start(c->loop, &c->writable);
    else
        ev_io_stop(c->loop, &c->writable);
}

static void client_receive(struct cdp_client *c)
{
    int result;

    client_enter(c);
    c->drained = 0;
    result = wslay_event_recv(c->ws);
    if (result != 0)
        client_end(c, "the browser closed the connection");
    client_flush(c);
    if (wslay_event_get_close_received(c->ws))
        client_end(c, "the browser closed the WebSocket");
    else if (!wslay_event_want_read(c->ws)) /* wslay has given up on it */
        client_end(c, "the browser sent a wrong or too large frame");
    client_leave(c);
}

static void on_socket_readable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop, (void)events;
    client_receive(w->data);
}

static void on_socket_writable(struct ev_loop *loop, ev_io *w, int events)
{
    (void)loop, (void)events;
    client_flush(w->data);
}

/* ---- handshake ---- */

static void on_handshake_done(void *arg, const struct cdp_http_reply *reply, const char *why)
{
    struct cdp_client *c = arg;
    char accept[29];

    c->handshake = NULL;
    ws_accept_key(c->key, accept);
    if (!reply || reply->status != 101 || strcmp(reply->accept, accept)) {
        client_end(c, reply ? "the browser refused the WebSocket" : why);
        return;
    }
    c->fd = *reply->fd;
    *reply->fd = -1;
    c->rest = *reply->body;
    memset(reply->body, 0, sizeof(*reply->body));
    c->state = CLIENT_OPEN;
    ev_io_init(&c->readable, on_socket_readable, c->fd, EV_READ);
    ev_io_init(&c->writable, on_socket_writable, c->fd, EV_WRITE);
    c->readable.data = c->writable.data = c;
    ev_io_start(c->loop, &c->readable);

    client_enter(c);
    c->events.on_open(c->events.arg);
    client_flush(c);
    if (!c->freed && c->rest.len > 0)
        client_receive(c);
    client_leave(c);
}

/* ---- public ---- */

struct cdp_client *cdp_client_new(struct ev_loop *loop, int fd, const char *ws_path, int limit_ms,
                                  const struct cdp_client_events *events)
{
    struct cdp_client *c = mem_alloc(sizeof(*c));
    struct buf request = {0};
    unsigned char nonce[16];

    c->loop = loop;
    c->events = *events;
    c->fd = -1;
    random_bytes(nonce, sizeof(nonce));
    if (wslay_event_context_client_init(&c->ws, &ws_callbacks, c) != 0)
        log_fatal("cdp_client_setup", "error=%s", "no memory");
    wslay_event_config_set_max_recv_msg_length(c->ws, CDP_CLIENT_MESSAGE_MAX);
    EVP_EncodeBlock((unsigned char *)c->key, nonce, sizeof(nonce));
    ev_timer_init(&c->ending, on_ending_timer, 0., 0.);
    c->ending.data = c;
    ev_io_init(&c->readable, on_socket_readable, -1, EV_READ);
    ev_io_init(&c->writable, on_socket_writable, -1, EV_WRITE);
    cdp_http_add_handshake(&request, ws_path, c->key, NULL, NULL);
    c->handshake = cdp_http_start(loop, fd, &request, limit_ms, on_handshake_done, c);
    return c;
}

void cdp_client_free(struct cdp_client *c)
{
    if (!c || c->freed)
        return;
    client_enter(c);
    client_disconnect(c);
    c->freed = 1;
    client_leave(c);
}

void cdp_client_call(struct cdp_client *c, const char *session, const char *method, cJSON *params,
                     cdp_client_reply_cb *cb, void *arg)
{
    struct call *call = mem_alloc(sizeof(*call));
    cJSON *message = cJSON_CreateObject();
    char *text;

    call->id = ++c->last_id;
    call->cb = cb;
    call->arg = arg;
    call->next = c->calls;
    c->calls = call;
    cJSON_AddNumberToObject(message, "id", call->id);
    cJSON_AddStringToObject(message, "method", method);
    if (session)
        cJSON_AddStringToObject(message, "sessionId", session);
    if (params)
        cJSON_AddItemToObject(message, "params", params);
    text = cJSON_PrintUnformatted(message);
    cJSON_Delete(message);
    if (!text)
        log_fatal("out_of_memory", "in=%s", "cdp_client");
    if (c->state == CLIENT_OPEN) {
        struct wslay_event_msg m = {WSLAY_TEXT_FRAME, (const uint8_t *)text, strlen(text)};

        if (wslay_event_queue_msg(c->ws, &m) != 0)
            client_end(c, "the WebSocket is closing");
        else if (c->depth == 0)
            client_flush(c);
    } else if (c->state == CLIENT_HANDSHAKE) {
        client_end(c, "called before the connection was open");
    } else if (!c->freed) {
        ev_timer_start(c->loop, &c->ending);
    }
    free(text);
}
