/* gateway.c: see gateway.h. Owns the HTTP server, the berths' secrets and the paths clients may ask for;
 * gateway_client.c has what happens to a client that was let in, gateway_relay.c its bytes. */
#include "gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "gateway_internal.h"

static const struct http_limits limits = {
    .head_bytes = 32 * 1024,
    .target_bytes = 16 * 1024,
    .body_bytes = 4096, /* no request here needs a body */
    .request_ms = 10000,
    .idle_ms = 75000,
    .write_ms = 30000,
    .connections = 20000,
};

/* ---- berths and secrets ---- */

/* The berth that secret[0..len) opens, or NULL: an unknown berth, a closed one and a wrong secret are all the
 * same to a client. */
static struct gateway_berth *berth_find(struct gateway *g, const char *secret, size_t len)
{
    struct gateway_berth *b;
    long index = 0;
    size_t digits = 0;

    while (digits < len && digits < 6 && secret[digits] >= '0' && secret[digits] <= '9')
        index = index * 10 + (secret[digits++] - '0');
    if (digits == 0 || digits == len || secret[digits] != '-' || index >= g->config.berths)
        return NULL;
    b = &g->berths[index];
    if (!b->secret || !random_equal(b->secret, strlen(b->secret), secret, len))
        return NULL;
    return b;
}

void gateway_open(struct gateway *g, int berth, const char *secret, const char *ws_path)
{
    struct gateway_berth *b = &g->berths[berth];

    gateway_close(g, berth, "released");
    b->secret = mem_strdup(secret);
    b->ws_path = mem_strdup(ws_path);
    b->active = 0;
}

void gateway_close(struct gateway *g, int berth, const char *reason)
{
    struct gateway_berth *b = &g->berths[berth];

    if (!b->secret)
        return;
    gateway_client_close_all(b, reason);
    free(b->secret);
    free(b->ws_path);
    b->secret = b->ws_path = NULL;
}

int gateway_clients(const struct gateway *g, int berth)
{
    return g->berths[berth].clients;
}

/* ---- requests ---- */

/* A target's or the browser's id. It goes into a request line, so it is held to what ids are made of. */
static int is_id(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return n > 0 && n <= 128 && s[n] == '\0';
}

static const char *after(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(path, prefix, n) ? NULL : path + n;
}

static void request_socket(struct gateway_berth *b, struct http_exchange *x, const char *path)
{
    if (http_is_upgrade(x)) {
        gateway_client_connect(b, x, path);
        return;
    }
    http_add_header(x, "Upgrade", "websocket");
    http_add_header(x, "Sec-WebSocket-Version", "13");
    http_reply_error(x, ERR_upgrade_required,
                     "this is a CDP WebSocket: connect to it with ws://, or ask for json/version below it",
                     NULL);
}

static void request_json(struct gateway_berth *b, struct http_exchange *x, const char *path)
{
    const char *query = strchr(http_target(x), '?');
    const char *name = after(path, "/json");
    const char *id = after(name, "/activate/");
    int is_new = !strcmp(name, "/new");
    int rewrite = is_new || !*name || !strcmp(name, "/list") || !strcmp(name, "/version");
    char *target;

    if (!id)
        id = after(name, "/close/");
    if (!rewrite && strcmp(name, "/protocol") && !(id && is_id(id))) {
        http_reply_error(x, ERR_not_found, NULL, NULL);
        return;
    }
    /* Chromium answers 405 to a GET of /json/new itself, with a better message than ours. */
    if (http_method(x) != HTTP_METHOD_GET && http_method(x) != HTTP_METHOD_HEAD &&
        http_method(x) != HTTP_METHOD_PUT) {
        http_add_header(x, "Allow", is_new ? "PUT" : "GET, HEAD, PUT");
        http_reply_error(x, ERR_method_not_allowed, NULL, NULL);
        return;
    }
    for (const char *p = query; p && *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f) {
            http_reply_error(x, ERR_bad_query, NULL, NULL);
            return;
        }
    target = mem_printf("%s%s", path, query ? query : "");
    gateway_client_fetch(b, x, target, rewrite);
    free(target);
}

/* path: what follows the secret. */
static void request_at_berth(struct gateway_berth *b, struct http_exchange *x, const char *path)
{
    const char *id = after(path, "/devtools/browser/");

    if (!id)
        id = after(path, "/devtools/page/");
    if (*path == '\0')
        request_socket(b, x, b->ws_path);
    else if (id && is_id(id))
        request_socket(b, x, path);
    else if (!strcmp(path, "/json") || after(path, "/json/"))
        request_json(b, x, path);
    else
        http_reply_error(x, ERR_not_found, NULL, NULL);
}

static void on_server_request(void *arg, struct http_exchange *x)
{
    struct gateway *g = arg;
    const char *secret = after(http_path(x), "/s/");
    struct gateway_berth *b;
    char *path;
    size_t len;

    if (!strcmp(http_path(x), "/healthz")) {
        http_reply(x, 200, "application/json", "{\"status\":\"ok\"}\n", 16);
        return;
    }
    len = secret ? strcspn(secret, "/") : 0;
    b = secret ? berth_find(g, secret, len) : NULL;
    if (!b) {
        g->stats.refused += secret != NULL;
        http_reply_error(x, ERR_not_found, NULL, NULL);
        return;
    }
    path = mem_strdup(secret + len);
    len = strlen(path);
    if (len > 0 && path[len - 1] == '/') /* Playwright asks for json/version/ */
        path[len - 1] = '\0';
    request_at_berth(b, x, path);
    free(path);
}

/* ---- the gateway ---- */

/* The URL clients are given, without a slash at its end; NULL if public_url is none. */
static char *url_make(const char *public_url, const char *listen, int port)
{
    const char *colon = strrchr(listen, ':');
    int host_len = colon ? (int)(colon - listen) : 0;
    const char *rest, *scheme = "ws";
    char *url;

    if (!public_url || !*public_url) {
        /* A listener on every address has no name of its own; on this host, loopback reaches it. */
        if (host_len == 0 || !strncmp(listen, "0.0.0.0:", 8))
            return mem_printf("ws://127.0.0.1:%d", port);
        if (!strncmp(listen, "[::]:", 5))
            return mem_printf("ws://[::1]:%d", port);
        return mem_printf("ws://%.*s:%d", host_len, listen, port);
    }
    if (!(rest = after(public_url, "ws://")) && !(rest = after(public_url, "http://"))) {
        scheme = "wss";
        if (!(rest = after(public_url, "wss://")) && !(rest = after(public_url, "https://")))
            return NULL;
    }
    if (!*rest || *rest == '/' || strpbrk(rest, " ?#\"\\"))
        return NULL;
    url = mem_printf("%s://%s", scheme, rest);
    for (size_t n = strlen(url); url[n - 1] == '/';)
        url[--n] = '\0';
    return url;
}

struct gateway *gateway_new(const struct gateway_config *config, char *err, unsigned errlen)
{
    struct gateway *g = mem_alloc(sizeof(*g));
    struct http_server_config server = {.limits = limits, .on_request = on_server_request, .arg = g};

    g->config = *config;
    g->config.listen = g->config.public_url = NULL; /* the caller's, and no longer needed */
    g->berths = mem_alloc(sizeof(*g->berths) * (size_t)config->berths);
    for (int i = 0; i < config->berths; i++) {
        g->berths[i].gateway = g;
        g->berths[i].index = i;
    }
    g->hub = gateway_hub_new(config->loop, config->ping_ms, &g->stats);
    g->server = http_server_new(config->loop, config->listen, &server, err, errlen);
    if (!g->server)
        goto failed;
    g->url = url_make(config->public_url, config->listen, http_server_port(g->server));
    if (!g->url) {
        snprintf(err, errlen, "the gateway's URL is not ws://host:port or wss://host: %s",
                 config->public_url);
        goto failed;
    }
    log_info("listening", "what=gateway listen=%s port=%d url=%s", config->listen,
             http_server_port(g->server), g->url);
    return g;
failed:
    gateway_free(g);
    return NULL;
}

const char *gateway_url(const struct gateway *g)
{
    return g->url;
}

void gateway_stats(const struct gateway *g, struct gateway_stats *out)
{
    *out = g->stats;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    if (g->url)
        log_info("gateway_closed",
                 "connections=%lu refused=%lu bytes_to_browser=%lu bytes_to_client=%lu half_open=%lu",
                 g->stats.connections, g->stats.refused, g->stats.bytes_to_browser, g->stats.bytes_to_client,
                 g->stats.half_open);
    if (g->server)
        http_server_free(g->server); /* its exchanges' clients end with it */
    gateway_hub_free(g->hub);
    for (int i = 0; i < g->config.berths; i++) {
        gateway_client_forget_all(&g->berths[i]);
        free(g->berths[i].secret);
        free(g->berths[i].ws_path);
    }
    free(g->berths);
    free(g->url);
    free(g);
}
