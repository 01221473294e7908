/* sim_cdp.c: see sim_cdp.h. Knows /json/version, the WebSocket handshake, and one answer for every message:
 * its id with a result, which is empty but for the few methods that a warm-up asks for. */
#include "sim_cdp.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../shared/buf.h"
#include "../../shared/json.h"
#include "../../shared/mem.h"
#include "../../shared/ws.h"

#define HEAD_MAX    16384
#define MESSAGE_MAX (1024 * 1024)
#define OUT_MAX     (4 * 1024 * 1024)

struct sim_cdp {
    struct ev_loop *loop;
    ev_io io;
    char ws_path[64];
    int is_ws, closing;
    struct ws_scan scan;
    int opcode; /* of the frame being read */
    size_t mask_at;
    struct buf in, out, message, control;
    void (*on_end)(void *arg, struct sim_cdp *c);
    void *arg;
};

static const struct {
    const char *method, *result, *event; /* event: sent before the answer */
} known[] = {
    {"Browser.getVersion",
     "{\"protocolVersion\":\"1.3\",\"product\":\"Sim/1.0\",\"revision\":\"0\",\"userAgent\":\"Sim/"
     "1.0\",\"jsVersion\":\"0\"}",
     NULL},
    {"Target.getTargets",
     "{\"targetInfos\":[{\"targetId\":\"SIM\",\"type\":\"page\",\"title\":\"\",\"url\":\"about:blank\","
     "\"attached\":false}]}",
     NULL},
    {"Target.createTarget", "{\"targetId\":\"SIM\"}", NULL},
    {"Target.attachToTarget", "{\"sessionId\":\"SIM\"}", NULL},
    {"Target.closeTarget", "{\"success\":true}",
     "{\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"SIM\",\"targetId\":\"SIM\"}}"},
    {"Page.getFrameTree",
     "{\"frameTree\":{\"frame\":{\"id\":\"SIM\",\"loaderId\":\"SIM\",\"url\":\"about:blank\"}}}", NULL},
    {"Page.navigate", "{\"frameId\":\"SIM\",\"loaderId\":\"SIM\"}",
     "{\"method\":\"Page.lifecycleEvent\",\"params\":{\"frameId\":\"SIM\",\"loaderId\":\"SIM\",\"name\":"
     "\"load\",\"timestamp\":0}"},
};

/* ---- answers ---- */

static void add_text_frame(struct buf *out, const struct buf *text)
{
    unsigned char head[10] = {0x80 | WS_OP_TEXT};
    size_t len = text->len, n = 2;

    if (len < 126) {
        head[1] = (unsigned char)len;
    } else if (len < 65536) {
        head[1] = 126;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        n = 4;
    } else {
        head[1] = 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    buf_add(out, head, n);
    buf_add(out, text->data, len);
}

static void add_session(struct buf *out, const char *session)
{
    if (session) {
        buf_adds(out, ",\"sessionId\":");
        buf_add_json_string(out, session);
    }
    buf_adds(out, "}");
}

static void answer(struct sim_cdp *c)
{
    char err[80];
    cJSON *m = json_parse(c->message.data ? c->message.data : "", c->message.len, err, sizeof(err));
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(m, "id");
    const char *method = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m, "method"));
    const char *session = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(m, "sessionId"));
    const char *result = "{}";
    struct buf text = {0};

    for (size_t i = 0; method && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].method, method) != 0)
            continue;
        result = known[i].result;
        if (known[i].event) {
            buf_adds(&text, known[i].event);
            add_session(&text, session);
            add_text_frame(&c->out, &text);
            text.len = 0;
        }
    }
    if (cJSON_IsNumber(id)) {
        buf_addf(&text, "{\"id\":%.0f,\"result\":%s", id->valuedouble, result);
        add_session(&text, session);
        add_text_frame(&c->out, &text);
    }
    buf_cleanup(&text);
    cJSON_Delete(m);
}

static void frame_over(struct sim_cdp *c, int fin)
{
    switch (c->opcode) {
    case WS_OP_PING:
        ws_add_control(&c->out, WS_OP_PONG, c->control.data, c->control.len, 0);
        break;
    case WS_OP_CLOSE:
        ws_add_control(&c->out, WS_OP_CLOSE, c->control.data, c->control.len, 0);
        c->closing = 1;
        break;
    case WS_OP_PONG:
        break;
    default:
        if (fin) {
            answer(c);
            c->message.len = 0;
        }
    }
    c->control.len = 0;
}

/* 0, or -1 on a protocol error. */
static int read_frames(struct sim_cdp *c)
{
    size_t at = 0;

    while (at < c->in.len && !c->closing) {
        struct ws_piece piece;
        uint64_t left = c->scan.left;
        long n = ws_scan_next(&c->scan, (uint8_t *)c->in.data + at, c->in.len - at, &piece);
        struct buf *to;

        if (n <= 0)
            return (int)n;
        if (piece.starts) {
            c->opcode = piece.opcode;
            c->mask_at = 0;
        }
        to = c->opcode & 8 ? &c->control : &c->message;
        if (left) { /* this piece is payload */
            size_t from = to->len;

            if (from + (size_t)n > MESSAGE_MAX)
                return -1;
            buf_add(to, c->in.data + at, (size_t)n);
            for (size_t i = 0; c->scan.masked && i < (size_t)n; i++)
                to->data[from + i] = (char)(to->data[from + i] ^ c->scan.mask_key[c->mask_at++ & 3]);
        }
        if (piece.ends)
            frame_over(c, c->scan.fin);
        at += (size_t)n;
    }
    buf_consume(&c->in, at);
    return 0;
}

/* ---- HTTP ---- */

static char *header(struct sim_cdp *c, const char *name)
{
    for (char *line = strstr(c->in.data, "\r\n"); line; line = strstr(line, "\r\n")) {
        size_t len = strlen(name);

        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " \t");
            return mem_strndup(line, strcspn(line, " \t\r\n"));
        }
    }
    return NULL;
}

static void http_answer(struct sim_cdp *c, const char *status, const char *body)
{
    buf_addf(&c->out,
             "HTTP/1.1 %s\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %zu\r\n\r\n%s",
             status, strlen(body), body);
}

/* One request's head, if it is there. 0, or -1. */
static int read_head(struct sim_cdp *c)
{
    char *end = strstr(c->in.data, "\r\n\r\n"), *key, *body;

    if (!end)
        return c->in.len > HEAD_MAX ? -1 : 0;
    end[2] = '\0'; /* headers only */
    key = header(c, "Sec-WebSocket-Key");
    if (key) {
        char accept[29];

        ws_accept_key(key, accept);
        buf_addf(&c->out,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n",
                 accept);
        c->is_ws = 1;
    } else if (strncmp(c->in.data, "GET /json/version", 17) == 0) {
        body =
            mem_printf("{\"Browser\":\"Sim/1.0\",\"Protocol-Version\":\"1.3\",\"webSocketDebuggerUrl\":\"ws:/"
                       "/127.0.0.1:9222%s\"}",
                       c->ws_path);
        http_answer(c, "200 OK", body);
        free(body);
    } else if (strncmp(c->in.data, "GET /json", 9) == 0) {
        http_answer(c, "200 OK", "[]");
    } else {
        http_answer(c, "404 Not Found", "{}");
    }
    free(key);
    buf_consume(&c->in, (size_t)(end - c->in.data) + 4);
    return 0;
}

/* ---- the connection ---- */

static int flush(struct sim_cdp *c)
{
    int events;

    while (c->out.len) {
        ssize_t n = send(c->io.fd, c->out.data, c->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR) {
            if (errno != EAGAIN)
                return -1;
            break;
        }
        if (n > 0)
            buf_consume(&c->out, (size_t)n);
    }
    if (c->out.len > OUT_MAX || (c->closing && !c->out.len))
        return -1;
    events = EV_READ | (c->out.len ? EV_WRITE : 0);
    if ((c->io.events & (EV_READ | EV_WRITE)) != events) {
        ev_io_stop(c->loop, &c->io);
        ev_io_set(&c->io, c->io.fd, events);
        ev_io_start(c->loop, &c->io);
    }
    return 0;
}

static int receive(struct sim_cdp *c)
{
    char chunk[4096];
    ssize_t n = recv(c->io.fd, chunk, sizeof(chunk), 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (n == 0)
        return -1;
    buf_add(&c->in, chunk, (size_t)n);
    while (!c->is_ws && c->in.len) {
        size_t before = c->in.len;

        if (read_head(c) != 0)
            return -1;
        if (c->in.len == before)
            return 0;
    }
    return c->is_ws ? read_frames(c) : 0;
}

static void on_socket(struct ev_loop *loop, ev_io *w, int revents)
{
    struct sim_cdp *c = w->data;

    if ((revents & EV_READ && receive(c) != 0) || flush(c) != 0) {
        ev_io_stop(loop, w);
        c->on_end(c->arg, c);
        return;
    }
    /* Thousands of these sit idle: keep no memory for them. */
    if (!c->in.len)
        buf_cleanup(&c->in);
    if (!c->out.len)
        buf_cleanup(&c->out);
    if (!c->message.len)
        buf_cleanup(&c->message);
}

struct sim_cdp *sim_cdp_new(struct ev_loop *loop, int fd, const char *ws_path,
                            void (*on_end)(void *arg, struct sim_cdp *c), void *arg)
{
    struct sim_cdp *c = mem_alloc(sizeof(*c));

    c->loop = loop;
    c->on_end = on_end;
    c->arg = arg;
    snprintf(c->ws_path, sizeof(c->ws_path), "%s", ws_path);
    ev_io_init(&c->io, on_socket, fd, EV_READ);
    c->io.data = c;
    ev_io_start(loop, &c->io);
    return c;
}

void sim_cdp_free(struct sim_cdp *c)
{
    ev_io_stop(c->loop, &c->io);
    close(c->io.fd);
    buf_cleanup(&c->in);
    buf_cleanup(&c->out);
    buf_cleanup(&c->message);
    buf_cleanup(&c->control);
    free(c);
}
