/* browser.c: see browser.h. */
#include "browser.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "loop.h"
#include "reader.h"
#include "sha1.h"

#define CONNECTIONS 32
#define HEAD_MAX    8192

struct connection {
    struct watch watch;
    struct text in, out;
    int websocket, ending; /* ending: closed once all is written */
};

static struct {
    char id[40];
    struct watch door;
    struct in_addr only_from;
    struct connection *connections[CONNECTIONS];
    int targets, sessions;
} browser = {.door = {.fd = -1}};

void browser_init(const char *id)
{
    snprintf(browser.id, sizeof(browser.id), "%s", id);
}

static void drop(struct connection *c)
{
    int fd = c->watch.fd;

    for (int i = 0; i < CONNECTIONS; i++)
        if (browser.connections[i] == c)
            browser.connections[i] = NULL;
    loop_remove(&c->watch);
    close(fd);
    text_clear(&c->in);
    text_clear(&c->out);
    free(c);
}

/* 0, or -1: the connection is gone. */
static int flush(struct connection *c)
{
    while (c->out.len) {
        ssize_t n = send(c->watch.fd, c->out.data, c->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            drop(c);
            return -1;
        }
        text_drop(&c->out, (size_t)n);
    }
    if (!c->out.len && c->ending) {
        drop(c);
        return -1;
    }
    c->watch.events = c->out.len ? POLLIN | POLLOUT : POLLIN;
    return 0;
}

/* ---- CDP ---- */

static const struct field params_fields[] = {{"expression", FIELD_STRING, FIELD_OPTIONAL, NULL, NULL, 0},
                                             {NULL, FIELD_ANY, FIELD_OPTIONAL, NULL, NULL, 0}};
static const struct table params = {"Params", params_fields, 1};
static const struct field message_fields[] = {{"id", FIELD_U64, FIELD_REQUIRED, NULL, NULL, 0},
                                              {"method", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                              {"params", FIELD_STRUCT, FIELD_OPTIONAL, &params, NULL, 0},
                                              {"sessionId", FIELD_STRING, FIELD_OPTIONAL, NULL, NULL, 0},
                                              {NULL, FIELD_ANY, FIELD_OPTIONAL, NULL, NULL, 0}};
static const struct table message = {"Message", message_fields, 1};

static void send_frame(struct connection *c, int opcode, const char *data, size_t len)
{
    unsigned char head[10] = {(unsigned char)(0x80 | opcode), (unsigned char)len};
    size_t size = 2;

    if (len >= 126) {
        size = len < 65536 ? 4 : 10;
        head[1] = len < 65536 ? 126 : 127;
        for (size_t i = 0; i < size - 2; i++)
            head[size - 1 - i] = (unsigned char)(len >> (8 * i));
    }
    text_add(&c->out, head, size);
    text_add(&c->out, data, len);
}

/* It can add two numbers and tell the time; whatever else is asked is true. */
static void evaluate(const struct value *given, struct text *out)
{
    const char *expression = given->set ? reader_get(&params, given, "expression")->text : NULL;
    long a, b;

    if (expression && sscanf(expression, "%ld + %ld", &a, &b) == 2)
        text_addf(out, "\"result\":{\"result\":{\"type\":\"number\",\"value\":%ld}}", a + b);
    else if (expression && strcmp(expression, "Date.now()") == 0)
        text_addf(out, "\"result\":{\"result\":{\"type\":\"number\",\"value\":%lld}}", guest_clock_ms());
    else
        text_addf(out, "\"result\":{\"result\":{\"type\":\"boolean\",\"value\":true}}");
}

static void result_of(const char *method, const struct value *given, struct text *out)
{
    if (strcmp(method, "Browser.getVersion") == 0)
        text_addf(
            out,
            "\"result\":{\"protocolVersion\":\"1.3\",\"product\":\"HeadlessChrome/0.0.0.0\",\"revision\":"
            "\"@fake\",\"userAgent\":\"Fake\",\"jsVersion\":\"0.0\"}");
    else if (strcmp(method, "Target.getTargets") == 0)
        text_addf(
            out,
            "\"result\":{\"targetInfos\":[{\"targetId\":\"FAKE0\",\"type\":\"page\",\"title\":\"\",\"url\":"
            "\"about:blank\",\"attached\":false,\"canAccessOpener\":false}]}");
    else if (strcmp(method, "Target.createTarget") == 0)
        text_addf(out, "\"result\":{\"targetId\":\"FAKE%d\"}", ++browser.targets);
    else if (strcmp(method, "Target.attachToTarget") == 0)
        text_addf(out, "\"result\":{\"sessionId\":\"SESSION%d\"}", ++browser.sessions);
    else if (strcmp(method, "Runtime.evaluate") == 0)
        evaluate(given, out);
    else if (strcmp(method, "Fake.guest") == 0) {
        text_addf(out, "\"result\":{");
        guest_tell(out);
        text_addf(out, "}");
    } else if (strstr(method, ".set") || strstr(method, ".enable") || strstr(method, ".close") ||
               strstr(method, ".crash") || strstr(method, ".disable"))
        text_addf(out, "\"result\":{}");
    else
        text_addf(out, "\"error\":{\"code\":-32601,\"message\":\"'%.60s' wasn't found\"}", method);
}

static void on_message(struct connection *c, const char *data, size_t len)
{
    struct value v;
    struct text out = {0};
    const struct value *session;
    const char *method;
    char err[200];

    if (reader_parse(&message, data, len, &v, err, sizeof(err)) != 0) {
        text_addf(&out, "{\"error\":{\"code\":-32700,\"message\":\"JSON: %s\"}}", "parse error");
        send_frame(c, 1, out.data, out.len);
        text_clear(&out);
        return;
    }
    method = reader_get(&message, &v, "method")->text;
    session = reader_get(&message, &v, "sessionId");
    text_addf(&out, "{\"id\":%llu,", (unsigned long long)reader_get(&message, &v, "id")->number);
    result_of(method, reader_get(&message, &v, "params"), &out);
    if (session->set) {
        text_addf(&out, ",\"sessionId\":");
        text_add_json(&out, session->text);
    }
    text_addf(&out, "}");
    send_frame(c, 1, out.data, out.len);
    text_clear(&out);
    if (strcmp(method, "Browser.crash") == 0)
        guest_browser_died();
    reader_free(&v);
}

/* Whole frames from what was received; messages are not fragmented. 0, or -1: the connection is over. */
static int take_frames(struct connection *c)
{
    for (;;) {
        unsigned char *p = (unsigned char *)c->in.data;
        size_t head, len = 0;
        int opcode;

        if (c->in.len < 2)
            return 0;
        opcode = p[0] & 15;
        len = p[1] & 127;
        head = 2 + (len == 126 ? 2U : len == 127 ? 8U : 0U);
        if (c->in.len < head + 4)
            return 0;
        if (!(p[1] & 128) || !(p[0] & 128))
            return -1; /* a client masks; and see above */
        if (head > 2) {
            len = 0;
            for (size_t i = 2; i < head; i++)
                len = len << 8 | p[i];
        }
        if (c->in.len < head + 4 + len)
            return 0;
        for (size_t i = 0; i < len; i++)
            p[head + 4 + i] ^= p[head + i % 4];
        if (opcode == 1)
            on_message(c, c->in.data + head + 4, len);
        else if (opcode == 8)
            c->ending = 1;
        if (opcode == 8 || opcode == 9)
            send_frame(c, opcode == 8 ? 8 : 10, c->in.data + head + 4, len);
        text_drop(&c->in, head + 4 + len);
    }
}

/* ---- HTTP ---- */

static void answer(struct connection *c, const char *status, const char *body)
{
    text_addf(&c->out,
              "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s",
              status, strlen(body), body);
}

/* A header's value, in value; 0, or -1: there is none. */
static int header(const char *head, const char *name, char *value, size_t size)
{
    const char *at = strcasestr(head, name);

    if (!at)
        return -1;
    at += strlen(name);
    at += strspn(at, " ");
    snprintf(value, size, "%.*s", (int)strcspn(at, "\r\n"), at);
    return 0;
}

static void upgrade(struct connection *c)
{
    char key[100], accept[32];

    if (header(c->in.data, "\r\nsec-websocket-key:", key, sizeof(key) - 40) != 0) {
        answer(c, "400 Bad Request", "");
        return;
    }
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1_base64(key, strlen(key), accept);
    text_addf(&c->out,
              "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: %s\r\n\r\n",
              accept);
    c->websocket = 1;
}

/* 0, or -1: the connection is over. */
static int take_request(struct connection *c)
{
    char path[300] = "", host[200] = "", body[800], wanted[80];
    char *end = c->in.data ? strstr(c->in.data, "\r\n\r\n") : NULL;

    if (!end)
        return c->in.len > HEAD_MAX ? -1 : 0;
    if (sscanf(c->in.data, "GET %299s", path) != 1)
        return -1;
    (void)header(c->in.data, "\r\nhost:", host, sizeof(host));
    snprintf(wanted, sizeof(wanted), "/devtools/browser/%s", browser.id);
    if (strncmp(host, "localhost", 9) != 0 && strspn(host, "0123456789.:") != strlen(host))
        answer(c, "500 Internal Server Error",
               "Host header is specified and is not an IP address or localhost.");
    else if (strcmp(path, wanted) == 0)
        upgrade(c);
    else if (strncmp(path, "/json/version", 13) == 0) {
        snprintf(
            body, sizeof(body),
            "{\n   \"Browser\": \"HeadlessChrome/0.0.0.0\",\n   \"Protocol-Version\": \"1.3\",\n"
            "   \"User-Agent\": \"Fake\",\n   \"V8-Version\": \"0.0\",\n   \"WebKit-Version\": \"0.0\",\n"
            "   \"webSocketDebuggerUrl\": \"ws://%s%s\"\n}\n",
            host, wanted);
        answer(c, "200 OK", body);
    } else if (strncmp(path, "/json", 5) == 0) {
        answer(c, "200 OK", "[]");
    } else {
        answer(c, "404 Not Found", "");
    }
    text_drop(&c->in, (size_t)(end + 4 - c->in.data));
    return 0;
}

/* ---- connections ---- */

static void on_ready(struct watch *w, short events)
{
    struct connection *c = w->arg;
    char part[16384];
    ssize_t n;

    if ((events & POLLOUT) && flush(c) != 0)
        return;
    if (!(events & (POLLIN | POLLHUP | POLLERR)))
        return;
    n = recv(w->fd, part, sizeof(part), 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0)
        text_add(&c->in, part, (size_t)n);
    if (n <= 0 || (!c->websocket && take_request(c) != 0) || (c->websocket && take_frames(c) != 0)) {
        drop(c);
        return;
    }
    flush(c);
}

static void on_door(struct watch *w, short events)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    int fd = accept4(w->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    for (int i = 0; i < CONNECTIONS; i++)
        if (!browser.connections[i] && from.sin_addr.s_addr == browser.only_from.s_addr) {
            struct connection *c = calloc(1, sizeof(*c));

            browser.connections[i] = c;
            c->watch = (struct watch){.fd = -1, .guest = 1, .on_ready = on_ready, .arg = c};
            loop_add(&c->watch, fd, faults_has("cdp", "silent") ? 0 : POLLIN);
            return;
        }
    close(fd);
}

int browser_open(int listener, struct in_addr only_from)
{
    if (listen(listener, 16) != 0)
        return -1;
    browser.only_from = only_from;
    browser.door.guest = 1;
    browser.door.on_ready = on_door;
    loop_add(&browser.door, listener, POLLIN);
    return 0;
}

void browser_close(void)
{
    int fd = browser.door.fd;

    loop_remove(&browser.door);
    if (fd >= 0)
        close(fd);
    for (int i = 0; i < CONNECTIONS; i++)
        if (browser.connections[i])
            drop(browser.connections[i]);
}
