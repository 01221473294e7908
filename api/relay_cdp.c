/* relay_cdp.c: connect to the gateway, ask it for the same upgrade, then hand both sockets to shared/relay.h.
 *
 * Until the gateway's 101 the client's exchange is open, so every failure is an ordinary JSON error. A link
 * is in api->links from its start to its end; link_end is the one way out. */
#include "relay_cdp.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/fetch.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "../shared/relay.h"
#include "create.h"
#include "links.h"
#include "metrics.h"
#include "session_view.h"

#define CONNECT_MS  5000
#define HANDSHAKE_S 10.0
#define HEAD_MAX    16384

struct link {
    struct api *api;
    struct http_exchange *x; /* NULL once upgraded or gone */
    char session[KEYS_SESSION_MAX];
    char *path; /* /s/<secret> */
    char *host;
    int port;
    int ends_session;
    struct fetch_job *job;
    int fd; /* to the gateway; -1: none, or the relay's */
    ev_io io;
    ev_timer timer;
    struct buf out, in;
    size_t out_done;
    struct relay *relay;
    struct link *prev, *next;
};

static void link_end(struct link *l)
{
    if (l->job)
        fetch_cancel(l->job);
    ev_io_stop(l->api->loop, &l->io);
    ev_timer_stop(l->api->loop, &l->timer);
    if (l->fd >= 0)
        close(l->fd);
    if (l->ends_session)
        api_release(l->api, l->session, "disconnected");
    if (l->prev)
        l->prev->next = l->next;
    else
        l->api->links = l->next;
    if (l->next)
        l->next->prev = l->prev;
    buf_cleanup(&l->out);
    buf_cleanup(&l->in);
    free(l->path);
    free(l->host);
    free(l);
}

static void fail(struct link *l, enum err e, const char *message)
{
    struct http_exchange *x = l->x;

    log_warn("relay_refused", "session=%s code=%s host=%s port=%d", l->session, err_name(e),
             l->host ? l->host : "", l->port);
    l->x = NULL;
    link_end(l);
    http_reply_error(x, e, message, NULL);
}

static void on_client_gone(struct http_exchange *x, void *user)
{
    struct link *l = user;

    (void)x;
    l->x = NULL;
    link_end(l);
}

/* ---- after the 101 ---- */

static void on_relay_end(void *arg)
{
    struct link *l = arg;

    metrics_gauge(l->api->metrics, METRICS_RELAYS, -1);
    log_info("relay_closed", "session=%s", l->session);
    link_end(l);
}

/* The gateway's head goes to the client as it is, with the session's id added: who came by `/` knows no other
 * way to learn it. */
static void begin_relay(struct link *l, size_t head_len)
{
    struct buf reply = {0}, early = {0};
    int client, gateway = l->fd;

    buf_add(&reply, l->in.data, head_len - 2);
    buf_addf(&reply, "X-Session-Id: %s\r\n\r\n", l->session);
    buf_add(&reply, l->in.data + head_len, l->in.len - head_len);
    ev_io_stop(l->api->loop, &l->io);
    ev_timer_stop(l->api->loop, &l->timer);
    http_upgrade(l->x, &client, &early);
    l->x = NULL;
    l->fd = -1;
    metrics_gauge(l->api->metrics, METRICS_RELAYS, 1);
    log_info("relay_opened", "session=%s host=%s port=%d", l->session, l->host, l->port);
    l->relay = relay_new(l->api->loop, client, gateway, &early, &reply, on_relay_end, l);
    buf_cleanup(&early);
    buf_cleanup(&reply);
}

/* ---- the handshake with the gateway ---- */

static void on_head(struct link *l, size_t head_len)
{
    int status = 0;

    if (sscanf(l->in.data, "HTTP/1.1 %3d", &status) != 1)
        status = 0;
    if (status == 101)
        begin_relay(l, head_len);
    else
        fail(l, status == 404 || status == 410 ? ERR_session_ended : ERR_bad_gateway, NULL);
}

static void read_head(struct link *l)
{
    const char *end;
    ssize_t n;

    buf_reserve(&l->in, HEAD_MAX);
    n = recv(l->fd, l->in.data + l->in.len, HEAD_MAX - l->in.len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail(l, ERR_bad_gateway, NULL);
        return;
    }
    l->in.len += (size_t)n;
    l->in.data[l->in.len] = '\0';
    end = memmem(l->in.data, l->in.len, "\r\n\r\n", 4);
    if (end)
        on_head(l, (size_t)(end - l->in.data) + 4);
    else if (l->in.len >= HEAD_MAX)
        fail(l, ERR_bad_gateway, "the worker's answer is too long");
}

static void on_gateway_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct link *l = io->data;
    ssize_t n;

    if (!(events & EV_WRITE)) {
        read_head(l);
        return;
    }
    n = send(l->fd, l->out.data + l->out_done, l->out.len - l->out_done, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        fail(l, ERR_bad_gateway, NULL);
        return;
    }
    l->out_done += (size_t)n;
    if (l->out_done < l->out.len)
        return;
    ev_io_stop(loop, io);
    ev_io_set(io, l->fd, EV_READ);
    ev_io_start(loop, io);
}

static void on_timer_handshake(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    fail(t->data, ERR_bad_gateway, "the worker did not answer in time");
}

static void write_request(struct link *l)
{
    const char *name, *value;
    size_t i;

    buf_addf(&l->out, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
             l->path, l->host, l->port);
    buf_addf(&l->out, "X-Request-Id: %s\r\n", http_request_id(l->x));
    for (i = 0; http_header_at(l->x, i, &name, &value); i++)
        if (!strncasecmp(name, "Sec-WebSocket-", 14))
            buf_addf(&l->out, "%s: %s\r\n", name, value);
    buf_adds(&l->out, "\r\n");
}

static void on_gateway_connected(void *arg, int fd)
{
    struct link *l = arg;

    l->job = NULL;
    if (fd < 0) {
        fail(l, ERR_bad_gateway, "the worker cannot be reached");
        return;
    }
    l->fd = fd;
    write_request(l);
    ev_io_set(&l->io, fd, EV_WRITE);
    ev_io_start(l->api->loop, &l->io);
    ev_timer_start(l->api->loop, &l->timer);
}

/* Takes the exchange over from the call, which ends here. */
static void link_begin(struct call *c, const struct session *s, int ends_session)
{
    struct link *l = mem_alloc(sizeof(*l));
    char host[256];

    l->api = c->api;
    l->x = c->x;
    l->fd = -1;
    l->ends_session = ends_session;
    snprintf(l->session, sizeof(l->session), "%s", s->id);
    l->path = mem_printf("/s/%s", s->secret);
    ev_io_init(&l->io, on_gateway_ready, -1, 0);
    l->io.data = l;
    ev_timer_init(&l->timer, on_timer_handshake, HANDSHAKE_S, 0);
    l->timer.data = l;
    l->next = c->api->links;
    if (l->next)
        l->next->prev = l;
    c->api->links = l;
    http_set_user(l->x, l, on_client_gone);
    if (links_gateway_address(s->gateway, host, sizeof(host), &l->port)) {
        fail(l, ERR_bad_gateway, "the worker's gateway speaks TLS only: connect to it directly");
    } else {
        l->host = mem_strdup(host);
        l->job = fetch_connect(l->api->fetch, host, l->port, CONNECT_MS, on_gateway_connected, l);
    }
    call_detach(c);
}

void relay_cdp_close_all(struct api *api)
{
    struct link *l;

    while ((l = api->links)) {
        if (l->relay)
            relay_close(l->relay);
        else if (l->x)
            fail(l, ERR_shutting_down, NULL);
        else
            link_end(l);
    }
}

/* ---- a session's own ---- */

static int may_create(const struct call *c)
{
    return auth_has(&c->who, SCOPE_CREATE);
}

static void refuse_access(struct call *c)
{
    call_error(c, *c->who.project ? ERR_forbidden : ERR_unauthorized, NULL, NULL);
}

static void on_session_get(struct call *c, const redisReply *reply)
{
    enum err e = redis_code(reply);
    const char *token;
    struct session s;

    if (e) {
        call_error(c, e, NULL, NULL);
        return;
    }
    session_read(redis_array(reply, 2), &s);
    token = http_query(c->x, "token");
    if (!may_create(c) && (!*s.secret || !random_equal(token, strlen(token), s.secret, strlen(s.secret))))
        call_error(c, ERR_unauthorized, NULL, NULL);
    else if (session_is(&s, "queued") || session_is(&s, "starting"))
        call_error(c, ERR_not_running, NULL, NULL);
    else if (!session_is(&s, "running"))
        call_error(c, ERR_session_ended, NULL, NULL);
    else
        link_begin(c, &s, 0);
}

void relay_cdp_on_session(struct call *c)
{
    const char *reach = may_create(c) ? auth_reach(&c->who) : "";

    if (!may_create(c) && !http_query(c->x, "token"))
        refuse_access(c);
    else if (!http_is_upgrade(c->x))
        call_error(c, ERR_upgrade_required, NULL, NULL);
    else if (!keys_is_session(c->id, c->api->settings.cell))
        call_error(c, ERR_not_found, NULL, NULL);
    else
        CALL_SCRIPT(c, on_session_get, SCRIPT_get, c->id, reach);
}

/* ---- a session for one connection ---- */

static void on_connection_running(struct call *c, const struct session *s)
{
    link_begin(c, s, *s->keep_alive != '1');
}

/* Adds a parameter that is a number, scaled; -1: it is none, and the call has been answered. */
static int add_seconds(struct call *c, struct buf *body, const char *parameter, const char *field,
                       double scale)
{
    const char *text = http_query(c->x, parameter);
    char *end, message[96];
    double v;

    if (!text)
        return 0;
    v = strtod(text, &end);
    if (!*text || *end || !isfinite(v)) {
        snprintf(message, sizeof(message), "%s: has to be a number", parameter);
        call_error_field(c, ERR_bad_query, parameter, message);
        return -1;
    }
    buf_addf(body, "%s\"%s\":%.15g", body->len > 1 ? "," : "", field, v * scale);
    return 0;
}

static void add_text(struct call *c, struct buf *body, const char *parameter, const char *field)
{
    const char *text = http_query(c->x, parameter);

    if (!text)
        return;
    buf_addf(body, "%s\"%s\":", body->len > 1 ? "," : "", field);
    buf_add_json_string(body, text);
}

static int is_yes(const char *text)
{
    return text && (!*text || !strcmp(text, "1") || !strcmp(text, "true"));
}

void relay_cdp_on_connect(struct call *c)
{
    struct buf body = {0};

    if (!may_create(c)) {
        refuse_access(c);
        return;
    }
    if (!http_is_upgrade(c->x)) {
        call_error(c, ERR_upgrade_required, NULL, NULL);
        return;
    }
    buf_adds(&body, "{");
    if (add_seconds(c, &body, "timeoutSec", "timeoutSec", 1) ||
        add_seconds(c, &body, "timeout", "timeout", 0.001) ||
        add_seconds(c, &body, "idleTimeoutSec", "idleTimeoutSec", 1)) {
        buf_cleanup(&body);
        return;
    }
    add_text(c, &body, "profile", "runtimeProfile");
    add_text(c, &body, "projectId", "projectId");
    if (is_yes(http_query(c->x, "keepAlive")))
        buf_addf(&body, "%s\"keepAlive\":true", body.len > 1 ? "," : "");
    buf_adds(&body, "}");
    create_for_connection(c, body.data, on_connection_running);
    buf_cleanup(&body);
}
