/* gateway_client.c: one client at a berth, from its request on: a WebSocket being connected, then relayed; or
 * a /json request being answered. Owns the exchange until it is answered and the relay's handle; the relay
 * owns the sockets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/ws.h"
#include "cdp_http.h"
#include "gateway_internal.h"
#include "gateway_json.h"

#define BROWSER_LIMIT_MS 10000
/* Of one session. Far more than any client needs; it bounds what a hostile one can take from the others. */
#define VISITORS_MAX 256

struct gateway_client {
    struct gateway_berth *berth;
    struct gateway_client *prev, *next;
    struct http_exchange *exchange; /* until it is answered or upgraded */
    struct cdp_http *http;          /* while the browser is asked */
    struct gateway_relay *relay;    /* from then on */
    int rewrite;
    int is_page; /* its WebSocket is a target's: it ends with the target, not with the browser */
    double since;
    char accept[29];
    char peer[56];
};

static void client_free(struct gateway_client *c)
{
    if (c->http)
        cdp_http_cancel(c->http);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->berth->list = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->berth->visitors--;
    free(c);
}

static void on_exchange_gone(struct http_exchange *x, void *user)
{
    (void)x;
    client_free(user);
}

/* Answers with an error, counts and logs it. */
static void client_refuse(struct gateway_client *c, enum err e, const char *message, const char *why)
{
    c->berth->gateway->stats.refused++;
    log_warn("gateway_refused", "berth=%d peer=%s request=%s code=%s why=%s", c->berth->index, c->peer,
             http_request_id(c->exchange), err_name(e), why);
    http_reply_error(c->exchange, e, message, NULL);
    client_free(c);
}

/* Sends request (taken) to the berth's browser. NULL, with the exchange answered, if that cannot even be
 * begun. */
static struct gateway_client *
client_new(struct gateway_berth *b, struct http_exchange *x, struct buf *request,
           void (*on_done)(void *arg, const struct cdp_http_reply *reply, const char *why))
{
    const struct gateway_config *config = &b->gateway->config;
    struct gateway_client *c = mem_alloc(sizeof(*c));
    struct driver *driver = NULL;
    const struct driver_ops *ops;
    int fd = -1;

    c->berth = b;
    c->exchange = x;
    c->since = ev_now(config->loop);
    snprintf(c->peer, sizeof(c->peer), "%s", http_peer(x));
    c->next = b->list;
    if (c->next)
        c->next->prev = c;
    b->list = c;
    if (++b->visitors > VISITORS_MAX) {
        client_refuse(c, ERR_concurrency_limit, "the session has as many connections as it may", "visitors");
        goto failed;
    }
    ops = config->ops_of(config->events.arg, b->index, &driver);
    errno = ENOTCONN;
    if (ops)
        fd = ops->connect(driver, b->index);
    if (fd < 0) {
        client_refuse(c, ERR_bad_gateway, "the browser cannot be reached", strerror(errno));
        goto failed;
    }
    c->http = cdp_http_start(config->loop, fd, request, BROWSER_LIMIT_MS, on_done, c);
    http_set_user(x, c, on_exchange_gone);
    return c;
failed:
    buf_cleanup(request);
    return NULL;
}

/* ---- WebSocket ---- */

static void on_relay_activity(void *arg)
{
    struct gateway_berth *b = ((struct gateway_client *)arg)->berth;
    const struct gateway_config *config = &b->gateway->config;
    double now = ev_now(config->loop);

    if (now - b->active < 1.0)
        return;
    b->active = now;
    config->events.on_activity(config->events.arg, b->index);
}

static void on_relay_end(void *arg, const char *why)
{
    struct gateway_client *c = arg;
    struct gateway_berth *b = c->berth;
    const struct gateway_config *config = &b->gateway->config;

    b->clients--;
    log_info("gateway_client_end", "berth=%d peer=%s why=%s seconds=%.1f clients=%d", b->index, c->peer, why,
             ev_now(config->loop) - c->since, b->clients);
    client_free(c);
    config->events.on_clients(config->events.arg, b->index, b->clients);
}

/* The browser has agreed: its answer goes to the client as it is, so that both agree on the extensions. */
static void client_relay(struct gateway_client *c, const struct cdp_http_reply *reply)
{
    struct gateway_berth *b = c->berth;
    struct gateway *g = b->gateway;
    struct buf early = {0};
    struct gateway_relay_config config = {
        .browser = *reply->fd,
        .to_client = reply->head,
        .from_browser = reply->body,
        .from_client = &early,
        .lost_code = c->is_page ? WS_CLOSE_NORMAL : ws_close_code("browser_crashed"),
        .lost_text = c->is_page ? "the target was closed" : ws_close_text("browser_crashed"),
        .on_activity = on_relay_activity,
        .on_end = on_relay_end,
        .arg = c,
    };
    char request[72];

    *reply->fd = -1;
    snprintf(request, sizeof(request), "%s", http_request_id(c->exchange));
    http_upgrade(c->exchange, &config.client, &early);
    c->exchange = NULL;
    c->relay = gateway_relay_new(g->hub, &config);
    if (!c->relay) {
        client_free(c);
        return;
    }
    g->stats.connections++;
    b->clients++;
    log_debug("gateway_client_open", "berth=%d peer=%s request=%s clients=%d", b->index, c->peer, request,
              b->clients);
    g->config.events.on_clients(g->config.events.arg, b->index, b->clients);
}

static void on_handshake_done(void *arg, const struct cdp_http_reply *reply, const char *why)
{
    struct gateway_client *c = arg;

    c->http = NULL;
    if (!reply)
        client_refuse(c, ERR_bad_gateway, "the browser did not answer", why);
    else if (reply->status == 101 && !strcmp(reply->accept, c->accept))
        client_relay(c, reply);
    else if (reply->status != 101 && c->is_page)
        client_refuse(c, ERR_not_found, "the browser has no such target", "target");
    else
        client_refuse(c, ERR_bad_gateway, "the browser refused the WebSocket", "handshake");
}

void gateway_client_connect(struct gateway_berth *b, struct http_exchange *x, const char *path)
{
    const char *key = http_header(x, "Sec-WebSocket-Key");
    struct buf request = {0};
    struct gateway_client *c;

    cdp_http_add_handshake(&request, path, key, http_header(x, "Sec-WebSocket-Extensions"),
                           http_header(x, "Sec-WebSocket-Protocol"));
    c = client_new(b, x, &request, on_handshake_done);
    if (!c)
        return;
    c->is_page = strcmp(path, b->ws_path) != 0;
    ws_accept_key(key, c->accept);
}

/* ---- json ---- */

static void on_fetch_done(void *arg, const struct cdp_http_reply *reply, const char *why)
{
    struct gateway_client *c = arg;
    struct gateway_berth *b = c->berth;
    struct buf out = {0};
    const struct buf *body;

    c->http = NULL;
    if (!reply || reply->status < 200) {
        client_refuse(c, ERR_bad_gateway, "the browser did not answer", why ? why : "status");
        return;
    }
    body = reply->body;
    if (c->rewrite && reply->status == 200) {
        char *base = mem_printf("%s/s/%s", b->gateway->url, b->secret);
        int result =
            gateway_json_rewrite(reply->body->data ? reply->body->data : "", reply->body->len, base, &out);

        free(base);
        if (result < 0) {
            client_refuse(c, ERR_bad_gateway, "the browser's answer is not JSON", "json");
            return;
        }
        body = &out;
    }
    http_add_header(c->exchange, "Cache-Control", "no-store");
    http_reply(c->exchange, reply->status, reply->type[0] ? reply->type : "application/json", body->data,
               body->len);
    client_free(c);
    buf_cleanup(&out);
}

void gateway_client_fetch(struct gateway_berth *b, struct http_exchange *x, const char *target, int rewrite)
{
    struct buf request = {0};
    struct gateway_client *c;

    buf_addf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             http_method(x) == HTTP_METHOD_HEAD ? "GET" : http_method_name(x), target);
    c = client_new(b, x, &request, on_fetch_done);
    if (c)
        c->rewrite = rewrite;
}

/* ---- the end ---- */

void gateway_client_close_all(struct gateway_berth *b, const char *reason)
{
    int n = b->clients;

    b->clients = 0;
    for (struct gateway_client *c; (c = b->list);) {
        if (c->relay) {
            gateway_relay_close(c->relay, ws_close_code(reason), ws_close_text(reason));
            log_info("gateway_client_end", "berth=%d peer=%s why=%s seconds=%.1f clients=%d", b->index,
                     c->peer, reason, ev_now(b->gateway->config.loop) - c->since, --n);
        } else {
            http_reply_error(c->exchange, ERR_session_ended, NULL, NULL);
        }
        client_free(c);
    }
}

void gateway_client_forget_all(struct gateway_berth *b)
{
    while (b->list)
        client_free(b->list);
}
