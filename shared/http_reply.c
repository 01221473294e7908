/* http_reply.c: what handlers answer: the head of a reply, JSON and error bodies. */
#include <assert.h>
#include <string.h>

#include "http_internal.h"
#include "log.h"

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].text;
    return ""; /* which the grammar allows */
}

static int is_header_value(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7F)
            return 0;
    return 1;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    if (!http_is_token(name) || !is_header_value(value)) {
        log_warn("http_header_dropped", "request=%s name=%s", x->request_id, name);
        return;
    }
    buf_adds(&x->reply_head, name);
    buf_add(&x->reply_head, ": ", 2);
    buf_adds(&x->reply_head, value);
    buf_add(&x->reply_head, "\r\n", 2);
}

static void add_line(struct buf *out, const char *name, const char *value)
{
    buf_adds(out, name);
    buf_adds(out, value);
    buf_add(out, "\r\n", 2);
}

void http_reply(struct http_exchange *x, int status, const char *type, const void *body, size_t len)
{
    struct http_conn *c = x->conn;
    struct http_server *s = c->server;
    struct buf *head = &s->reply;
    const int bodiless = status == 204 || status == 304;

    assert(status >= 200 && status <= 599);
    head->len = 0;
    buf_adds(head, "HTTP/1.1 ");
    buf_add_int(head, status);
    buf_add(head, " ", 1);
    buf_adds(head, reason_phrase(status));
    add_line(head, "\r\nDate: ", http_server_date(s));
    if (!bodiless) {
        buf_adds(head, "Content-Length: ");
        buf_add_int(head, (long long)len);
        buf_add(head, "\r\n", 2);
        if (type)
            add_line(head, "Content-Type: ", type);
    }
    if (s->draining || c->overflow)
        x->keep_alive = 0;
    buf_adds(head, x->keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    /* A client that is told how long the connection stays keeps it as long: Node's fetch gives it up after
     * four seconds otherwise, and pays for a new one with its next request. */
    if (x->keep_alive && s->config.limits.idle_ms >= 1000) {
        buf_adds(head, "Keep-Alive: timeout=");
        buf_add_int(head, s->config.limits.idle_ms / 1000);
        buf_add(head, "\r\n", 2);
    }
    add_line(head, "X-Request-Id: ", x->request_id);
    if (x->reply_head.len)
        buf_add(head, x->reply_head.data, x->reply_head.len);
    buf_add(head, "\r\n", 2);
    if (bodiless || x->method == HTTP_METHOD_HEAD)
        len = 0;
    http_conn_reply(c, status, head, body, len);
}

void http_reply_json(struct http_exchange *x, int status, struct buf *json)
{
    http_reply(x, status, "application/json", json->data, json->len);
    buf_cleanup(json);
}

void http_reply_error(struct http_exchange *x, enum err e, const char *message, const char *details)
{
    struct buf json = {0};

    buf_addf(&json, "{\"error\":{\"code\":\"%s\",\"message\":", err_name(e));
    buf_add_json_string(&json, message ? message : err_text(e));
    buf_adds(&json, ",\"requestId\":");
    buf_add_json_string(&json, x->request_id);
    if (details)
        buf_addf(&json, ",%s", details);
    buf_adds(&json, "}}");
    http_reply_json(x, err_status(e), &json);
}

void http_upgrade(struct http_exchange *x, int *fd, struct buf *early)
{
    *early = (struct buf){0};
    *fd = http_conn_detach(x->conn, early);
}
