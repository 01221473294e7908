/* http.c: the HTTP server against clients that do everything right, wrong, slowly, in pieces or not to the
 * end. Server and clients share one loop and one thread: a step runs the loop until something is there, never
 * a fixed time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/http.h"
#include "shared/log.h"

#define PATIENCE_MS 90000

static struct ev_loop *loop;
static struct http_server *server;
static struct http_exchange *waiting[4096];
static int n_waiting, n_gone, n_requests, n_done, last_status;
static int upgraded_fd = -1;
static struct buf upgraded_early;

/* ---- the server under test: /now answers at once with what it saw, /later when told, /big with a lot */

static void on_gone(struct http_exchange *x, void *user)
{
    assert_ptr_equal(user, &n_gone);
    n_gone++;
    for (int i = 0; i < n_waiting; i++)
        if (waiting[i] == x)
            waiting[i] = waiting[--n_waiting];
}

static void reply_with_request(struct http_exchange *x)
{
    struct buf json = {0};
    const char *name, *value;
    size_t len;

    buf_adds(&json, "{\"method\":");
    buf_add_json_string(&json, http_method_name(x));
    buf_adds(&json, ",\"path\":");
    buf_add_json_string(&json, http_path(x));
    buf_adds(&json, ",\"q\":");
    buf_add_json_string(&json, http_query(x, "q"));
    buf_adds(&json, ",\"host\":");
    buf_add_json_string(&json, http_header(x, "hOST"));
    buf_adds(&json, ",\"x\":");
    buf_add_json_string(&json, http_header(x, "x"));
    buf_adds(&json, ",\"body\":");
    buf_add_json_string(&json, http_body(x, &len));
    for (size_t i = 0; http_header_at(x, i, &name, &value); i++)
        assert_true(*name != '\0' && value != NULL);
    assert_int_equal(len, strlen(http_body(x, NULL)));
    assert_true(http_age_ms(x) >= 0);
    buf_adds(&json, "}");
    http_reply_json(x, 200, &json);
}

static void on_request(void *arg, struct http_exchange *x)
{
    const char *path = http_path(x);

    (void)arg;
    n_requests++;
    if (strcmp(path, "/later") == 0) {
        http_set_user(x, &n_gone, on_gone);
        waiting[n_waiting++] = x;
    } else if (strcmp(path, "/big") == 0) {
        const size_t len = 4u << 20;
        char *body = malloc(len);
        memset(body, 'b', len);
        http_reply(x, 200, "text/plain", body, len);
        free(body);
    } else if (strcmp(path, "/ws") == 0) {
        if (http_is_upgrade(x))
            http_upgrade(x, &upgraded_fd, &upgraded_early);
        else
            http_reply_error(x, ERR_upgrade_required, NULL, NULL);
    } else if (strcmp(path, "/204") == 0)
        http_reply(x, 204, "text/plain", "never sent", 10);
    else if (strcmp(path, "/headers") == 0) {
        http_add_header(x, "X-Fine", "a b");
        http_add_header(x, "X-Forged", "a\r\nX-Injected: 1");
        http_add_header(x, "X Bad", "1");
        http_reply(x, 200, NULL, NULL, 0);
    } else
        reply_with_request(x);
}

static void on_done(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms)
{
    (void)arg;
    assert_non_null(http_path(x));
    assert_non_null(http_method_name(x));
    assert_true(*http_request_id(x) != '\0' && bytes > 0 && ms >= 0);
    n_done++;
    last_status = status;
}

static void start(const struct http_limits *limits)
{
    struct http_server_config config = {
        .limits = {.head_bytes = 4096,
                   .target_bytes = 1024,
                   .body_bytes = 2000,
                   .request_ms = 5000,
                   .idle_ms = 60000,
                   .write_ms = 5000,
                   .connections = 3000},
        .on_request = on_request,
        .on_done = on_done,
    };
    char err[256] = "";

    if (limits)
        config.limits = *limits;
    loop = ev_loop_new(EVFLAG_AUTO);
    server = http_server_new(loop, "127.0.0.1:0", &config, err, sizeof(err));
    if (!server)
        fail_msg("%s", err);
    n_waiting = n_gone = n_requests = n_done = last_status = 0;
}

static void stop(void)
{
    http_server_free(server);
    assert_int_equal(n_waiting, 0);
    assert_int_equal(ev_pending_count(loop), 0);
    ev_loop_destroy(loop);
}

static int setup(void **state)
{
    (void)state;
    start(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stop();
    return 0;
}

/* ---- clients */

struct client {
    int fd;
    struct buf got;
    int eof; /* 1: closed in order, -1: reset */
};

static void client_connect(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

static void client_close(struct client *c)
{
    close(c->fd);
    buf_cleanup(&c->got);
}

static void client_reset(struct client *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
}

static void client_read(struct client *c)
{
    char data[65536];
    ssize_t n = 1;

    while (!c->eof && n > 0) {
        n = recv(c->fd, data, sizeof(data), 0);
        if (n > 0)
            buf_add(&c->got, data, (size_t)n);
        else if (n == 0)
            c->eof = 1;
        else if (errno != EAGAIN)
            c->eof = -1;
    }
}

static void on_tick(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l, (void)w, (void)revents;
}

/* Runs the loop until check(arg) holds. The tick only lets the clients look. */
#define run_until(condition)                                                                                 \
    do {                                                                                                     \
        const double end_ = clock_mono_ms() + PATIENCE_MS;                                                   \
        ev_timer tick_;                                                                                      \
        ev_timer_init(&tick_, on_tick, 0.001, 0.001);                                                        \
        ev_timer_start(loop, &tick_);                                                                        \
        while (!(condition)) {                                                                               \
            if (clock_mono_ms() > end_)                                                                      \
                fail_msg("waited in vain for %s", #condition);                                               \
            ev_run(loop, EVRUN_ONCE);                                                                        \
        }                                                                                                    \
        ev_timer_stop(loop, &tick_);                                                                         \
    } while (0)

/* Lets the server take everything that is in its sockets now. */
static void run_some(void)
{
    for (int i = 0; i < 4; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

static void client_send(struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            run_some();
            continue;
        }
        if (n < 0) /* refused early: the server need not read the rest */
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void client_say(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

/* Length of the complete reply that text begins with, 0 if it is not complete; status in *status. */
static size_t reply_length(const char *text, int *status, int head_only)
{
    const char *end = text ? strstr(text, "\r\n\r\n") : NULL, *length;
    size_t len;

    if (!end || sscanf(text, "HTTP/1.1 %d ", status) != 1)
        return 0;
    len = (size_t)(end + 4 - text);
    length = strcasestr(text, "\r\nContent-Length: ");
    if (length && length < end && !head_only)
        len += (size_t)atol(length + 18);
    return strlen(text) >= len ? len : 0;
}

/* Complete replies that have come; their statuses as "200 404" in statuses. */
static int replies(struct client *c, char *statuses, size_t size)
{
    size_t at = 0, len;
    int n = 0, status;

    client_read(c);
    if (statuses)
        *statuses = '\0';
    while (c->got.data && (len = reply_length(c->got.data + at, &status, 0)) > 0) {
        if (statuses)
            snprintf(statuses + strlen(statuses), size - strlen(statuses), n ? " %d" : "%d", status);
        at += len;
        n++;
    }
    return n;
}

static int client_ended(struct client *c)
{
    client_read(c);
    return c->eof;
}

static int got_text(struct client *c, const char *text)
{
    client_read(c);
    return c->got.data && strstr(c->got.data, text) != NULL;
}

/* ---- the table */

#define GET        "GET /now HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD(line) line " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST       "POST /now HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED    POST "Transfer-Encoding: chunked\r\n\r\n"
#define X100                                                                                                 \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X500  X100 X100 X100 X100 X100
#define X2000 X500 X500 X500 X500

enum after { KEPT, CLOSED };

static const struct row {
    const char *name;
    const char *raw;
    const char *statuses;
    enum after after;
    const char *text; /* somewhere in the replies; NULL: whatever */
} rows[] = {
    /* what is right */
    {"plain", GET, "200", KEPT, "\"path\":\"/now\""},
    {"says how long it is kept", GET, "200", KEPT, "Keep-Alive: timeout=60\r\n"},
    {"head has no body", HEAD("HEAD /nothing"), "200", KEPT, "Content-Length: "},
    {"two blank lines before", "\r\n\r\n" GET, "200", KEPT, NULL},
    {"length", POST "Content-Length: 5\r\n\r\nhello", "200", KEPT, "\"body\":\"hello\""},
    {"length zero", POST "Content-Length: 0\r\n\r\n", "200", KEPT, "\"body\":\"\""},
    {"post without length", POST "\r\n", "200", KEPT, "\"body\":\"\""},
    {"get with body", "GET /now HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "200", KEPT,
     "\"body\":\"hi\""},
    {"chunks", CHUNKED "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", "200", KEPT, "\"body\":\"hello world\""},
    {"trailers", CHUNKED "1\r\na\r\n0\r\nX: 1\r\nHost: evil\r\n\r\n", "200", KEPT, "\"x\":null"},
    {"body at limit", POST "Content-Length: 2000\r\n\r\n" X2000, "200", KEPT, NULL},
    {"pipelined", GET POST "Content-Length: 2\r\n\r\nhi" CHUNKED "1\r\na\r\n0\r\n\r\n" GET, "200 200 200 200",
     KEPT, "\"hi\""},
    {"close", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", CLOSED,
     "Connection: close"},
    {"close and more", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET, "200", CLOSED, NULL},
    {"close among tokens", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: foo, close\r\n\r\n", "200", CLOSED,
     NULL},
    {"1.0", "GET /now HTTP/1.0\r\n\r\n", "200", CLOSED, "Connection: close"},
    {"1.0 kept", "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200", KEPT,
     "Connection: keep-alive"},
    {"absolute form", "GET http://real:80/now?q=1 HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT,
     "\"host\":\"real:80\""},
    {"absolute form, no path", "GET https://real HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT, "\"path\":\"/\""},
    {"absolute form, query alone", "GET http://real?q=z HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT,
     "\"q\":\"z\""},
    {"options star", HEAD("OPTIONS *"), "204", KEPT, "Allow: "},
    {"options", HEAD("OPTIONS /now"), "200", KEPT, "\"OPTIONS\""},
    {"delete, patch, put", HEAD("DELETE /a") HEAD("PATCH /a") HEAD("PUT /a"), "200 200 200", KEPT,
     "\"PATCH\""},
    {"no upgrade but h2c",
     "GET /now HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" GET,
     "200 200", KEPT, NULL},
    {"header joined", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\r\nx:  b \t\r\nX:\r\n\r\n", "200", KEPT,
     "\"x\":\"a, b, \""},
    {"header utf-8", "GET /now HTTP/1.1\r\nHost: h\r\nX: \xC3\xA9\r\n\r\n", "200", KEPT,
     "\"x\":\"\xC3\xA9\""},
    {"colons in a value", "GET /now HTTP/1.1\r\nHost: h\r\nX::a:b\r\n\r\n", "200", KEPT, "\"x\":\":a:b\""},
    {"host with port", "GET /now HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n", "200", KEPT,
     "\"host\":\"[::1]:3000\""},
    {"204", HEAD("GET /204"), "204", KEPT, NULL},
    {"request id taken", "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc-1\r\n\r\n", "200", KEPT,
     "X-Request-Id: abc-1\r\n"},
    {"path decoded", HEAD("GET /a%20b/%C3%a9?q=1"), "200", KEPT, "\"path\":\"/a b/\xC3\xA9\""},
    {"path decoded once", HEAD("GET /%252e%252e/x"), "200", KEPT, "\"path\":\"/%2e%2e/x\""},
    {"dots in names", HEAD("GET /.../..a/a.."), "200", KEPT, "\"path\":\"/.../..a/a..\""},
    {"two slashes stay", HEAD("GET //now"), "200", KEPT, "\"path\":\"//now\""},
    {"query", HEAD("GET /now?a=b&q=x+y%2B%26&q=2"), "200", KEPT, "\"q\":\"x y+&\""},
    {"query name encoded", HEAD("GET /now?%71=1"), "200", KEPT, "\"q\":\"1\""},
    {"query empty", HEAD("GET /now?q"), "200", KEPT, "\"q\":\"\""},
    {"query absent", HEAD("GET /now?&&qq=1&=q"), "200", KEPT, "\"q\":null"},
    {"query with equals", HEAD("GET /now?q=a=b?c/d"), "200", KEPT, "\"q\":\"a=b?c/d\""},
    /* malformed heads */
    {"garbage", "garbage\r\n\r\n", "400", CLOSED, "bad_request"},
    {"tls", "\x16\x03\x01\x02", "400", CLOSED, "bad_request"},
    {"0.9", "GET /now\r\n\r\n", "400", CLOSED, "bad_request"},
    {"1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505", CLOSED, "http_version"},
    {"2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505", CLOSED, "http_version"},
    {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", CLOSED, "http_version"},
    {"rtsp", "GET / RTSP/1.0\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"unknown method", HEAD("BREW /now"), "501", CLOSED, "not_implemented"},
    {"trace", HEAD("TRACE /now"), "501", CLOSED, "not_implemented"},
    {"connect", HEAD("CONNECT a:1"), "501", CLOSED, "not_implemented"},
    {"method case", HEAD("get /now"), "501", CLOSED, NULL},
    {"two spaces", "GET  /now HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"tab in line", "GET\t/now HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"bare lf", "GET /now HTTP/1.1\nHost: h\n\n", "400", CLOSED, NULL},
    {"bare lf in headers", "GET /now HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", "400", CLOSED, NULL},
    {"bare cr", "GET /now HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "400", CLOSED, NULL},
    {"space before colon", "GET /now HTTP/1.1\r\nHost : h\r\n\r\n", "400", CLOSED, NULL},
    {"space in name", "GET /now HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", "400", CLOSED, NULL},
    {"folded", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400", CLOSED, NULL},
    {"folded first", "GET /now HTTP/1.1\r\n Host: h\r\n\r\n", "400", CLOSED, NULL},
    {"no name", "GET /now HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", "400", CLOSED, NULL},
    {"no colon", "GET /now HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", "400", CLOSED, NULL},
    {"control in value", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", "400", CLOSED, NULL},
    {"no host", "GET /now HTTP/1.1\r\n\r\n", "400", CLOSED, "Host"},
    {"two hosts", "GET /now HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", "400", CLOSED, "Host"},
    {"bad host", "GET /now HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", CLOSED, "Host"},
    {"host with user", "GET /now HTTP/1.1\r\nHost: a@b\r\n\r\n", "400", CLOSED, "Host"},
    {"host with bad port", "GET /now HTTP/1.1\r\nHost: a:b\r\n\r\n", "400", CLOSED, "Host"},
    {"empty host", "GET /now HTTP/1.1\r\nHost:\r\n\r\n", "400", CLOSED, "Host"},
    {"target too long", "GET /" X500 X500 X100 " HTTP/1.1\r\nHost: h\r\n\r\n", "414", CLOSED, "uri_too_long"},
    {"target too long, endless", "GET /" X2000 X2000 X2000, "414", CLOSED, "uri_too_long"},
    {"head too large", "GET /now HTTP/1.1\r\nHost: h\r\nX: " X2000 X2000 X500 "\r\n\r\n", "431", CLOSED,
     "headers_too_large"},
    {"head too large, endless", "GET /now HTTP/1.1\r\nHost: h\r\nX" X2000 X2000 X2000, "431", CLOSED,
     "headers_too_large"},
    {"good, then bad", GET "bad\r\n\r\n" GET, "200 400", CLOSED, NULL},
    /* targets */
    {"no slash", HEAD("GET now"), "400", CLOSED, NULL},
    {"star", HEAD("GET *"), "400", CLOSED, NULL},
    {"authority", HEAD("GET h:80"), "400", CLOSED, NULL},
    {"other scheme", HEAD("GET ftp://h/now"), "400", CLOSED, NULL},
    {"absolute with user", HEAD("GET http://u@h/now"), "400", CLOSED, NULL},
    {"fragment", HEAD("GET /now#a"), "400", CLOSED, NULL},
    {"raw 8 bit", HEAD("GET /\xC3\xA9"), "400", CLOSED, NULL},
    {"encoded nul", HEAD("GET /a%00"), "400", CLOSED, NULL},
    {"encoded newline", HEAD("GET /a%0d%0a"), "400", CLOSED, NULL},
    {"encoded c1", HEAD("GET /a%C2%85"), "400", CLOSED, NULL},
    {"encoded bad utf-8", HEAD("GET /a%ff"), "400", CLOSED, NULL},
    {"overlong", HEAD("GET /%C0%AE"), "400", CLOSED, NULL},
    {"half encoding", HEAD("GET /a%2"), "400", CLOSED, NULL},
    {"not hex", HEAD("GET /a%zz"), "400", CLOSED, NULL},
    {"dot dot", HEAD("GET /a/../b"), "400", CLOSED, NULL},
    {"dot", HEAD("GET /./a"), "400", CLOSED, NULL},
    {"dot dot at the end", HEAD("GET /a/.."), "400", CLOSED, NULL},
    {"encoded dot dot", HEAD("GET /a/%2e%2E/b"), "400", CLOSED, NULL},
    {"encoded slash", HEAD("GET /a%2Fb"), "400", CLOSED, NULL},
    {"backslash", HEAD("GET /a\\b"), "400", CLOSED, NULL},
    {"encoded backslash", HEAD("GET /a%5Cb"), "400", CLOSED, NULL},
    {"query nul", HEAD("GET /now?q=%00"), "400", CLOSED, "bad_query"},
    {"query bad encoding", HEAD("GET /now?a=%q"), "400", CLOSED, "bad_query"},
    {"query bad utf-8", HEAD("GET /now?%e9=1"), "400", CLOSED, "bad_query"},
    {"query utf-8 cut", HEAD("GET /now?a=%e2%82&b=%ac"), "400", CLOSED, "bad_query"},
    /* bodies */
    {"length twice", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length list", POST "Content-Length: 2, 2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length sign", POST "Content-Length: +2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length negative", POST "Content-Length: -1\r\n\r\n", "400", CLOSED, NULL},
    {"length hex", POST "Content-Length: 0x2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length empty", POST "Content-Length:\r\n\r\n", "400", CLOSED, NULL},
    {"length overflow", POST "Content-Length: 18446744073709551617\r\n\r\nh", "400", CLOSED, NULL},
    {"length and chunked", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked in 1.0", "POST /now HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", CLOSED,
     NULL},
    {"gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501", CLOSED, NULL},
    {"xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", CLOSED, NULL},
    {"chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk size", CHUNKED "zz\r\n", "400", CLOSED, NULL},
    {"chunk size sign", CHUNKED "-1\r\n", "400", CLOSED, NULL},
    {"chunk size 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk size huge", CHUNKED "ffffffffffffffff1\r\n", "400", CLOSED, NULL},
    {"chunk without end", CHUNKED "1\r\naXX0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk bare lf", CHUNKED "1\na\n0\n\n", "400", CLOSED, NULL},
    {"body too large", POST "Content-Length: 2001\r\n\r\n", "413", CLOSED, "body_too_large"},
    {"chunk too large", CHUNKED "7d1\r\n", "413", CLOSED, "body_too_large"},
    {"chunks too large", CHUNKED "7d0\r\n" X2000 "\r\n1\r\nx\r\n0\r\n\r\n", "413", CLOSED, "body_too_large"},
    {"chunk framing too large", CHUNKED "1;" X2000 X2000 X500 "\r\nx\r\n0\r\n\r\n", "413", CLOSED,
     "body_too_large"},
    {"unknown expectation", POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", "417", CLOSED,
     "expectation_failed"},
};

static void check_row(const struct row *row, size_t piece)
{
    struct client c;
    char statuses[128];
    const size_t len = strlen(row->raw);

    client_connect(&c);
    for (size_t at = 0; at < len; at += piece) {
        client_send(&c, row->raw + at, piece < len - at ? piece : len - at);
        if (piece < len)
            run_some();
    }
    if (strcmp(row->name, "head has no body") == 0) { /* replies() cannot know */
        run_until(got_text(&c, "\r\n\r\n"));
        assert_int_equal(strlen(strstr(c.got.data, "\r\n\r\n")), 4);
        client_close(&c);
        return;
    }
    run_until(replies(&c, statuses, sizeof(statuses)) >= (int)(strlen(row->statuses) + 1) / 4 ||
              client_ended(&c));
    if (strcmp(statuses, row->statuses) != 0 || (row->text && !strstr(c.got.data, row->text)))
        fail_msg("%s, %zu a piece: wanted %s with %s, got %s:\n%s", row->name, piece, row->statuses,
                 row->text ? row->text : "-", statuses, c.got.data);
    if (row->after == CLOSED) {
        run_until(client_ended(&c));
        if (c.eof != 1)
            fail_msg("%s, %zu a piece: the connection was reset", row->name, piece);
    } else {
        const int before = replies(&c, NULL, 0);
        client_say(&c, GET);
        run_until(replies(&c, NULL, 0) == before + 1 || client_ended(&c));
        if (c.eof || replies(&c, statuses, sizeof(statuses)) != before + 1)
            fail_msg("%s, %zu a piece: the connection was not kept", row->name, piece);
    }
    client_close(&c);
}

static void test_table(void **state)
{
    static const size_t pieces[] = {1 << 20, 1, 7};

    (void)state;
    for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            check_row(&rows[i], pieces[p]);
    run_until(http_server_connections(server) == 0);
    assert_true(n_done > 100);
}

static void test_too_many_headers(void **state)
{
    struct client c;
    char statuses[32];

    (void)state;
    client_connect(&c);
    client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 100; i++)
        client_say(&c, "a: b\r\n");
    client_say(&c, "\r\n");
    run_until(replies(&c, statuses, sizeof(statuses)) == 1);
    assert_string_equal(statuses, "431");
    client_close(&c);
}

static void test_reply_headers(void **state)
{
    struct client c;

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /headers"));
    run_until(replies(&c, NULL, 0) == 1);
    assert_non_null(strstr(c.got.data, "HTTP/1.1 200 OK\r\nDate: "));
    assert_non_null(strstr(c.got.data, "X-Fine: a b\r\n"));
    assert_non_null(strstr(c.got.data, "X-Request-Id: "));
    assert_null(strstr(c.got.data, "Injected"));
    assert_null(strstr(c.got.data, "X Bad"));
    client_close(&c);
}

static void test_request_id_refused(void **state)
{
    struct client c;

    (void)state;
    client_connect(&c);
    client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: a b<script>\r\n\r\n");
    run_until(replies(&c, NULL, 0) == 1);
    assert_null(strstr(c.got.data, "script"));
    client_close(&c);
}

/* ---- answers that take time */

static void answer(int i)
{
    struct http_exchange *x = waiting[i];

    waiting[i] = waiting[--n_waiting];
    http_reply(x, 200, "text/plain", "late", 4);
}

static void test_later(void **state)
{
    struct client c;
    char statuses[32];

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /later"));
    run_until(n_waiting == 1);
    client_say(&c, HEAD("GET /later") GET);
    run_some();
    assert_int_equal(n_waiting, 1); /* one exchange at a time */
    answer(0);
    assert_int_equal(n_waiting, 0); /* the next is not begun from inside http_reply */
    run_until(n_waiting == 1);
    assert_int_equal(replies(&c, NULL, 0), 1);
    answer(0);
    run_until(replies(&c, statuses, sizeof(statuses)) == 3);
    assert_string_equal(statuses, "200 200 200");
    client_close(&c);
    run_until(http_server_connections(server) == 0);
    assert_int_equal(n_gone, 0);
}

/* ends: 0 EOF of the whole connection, 1 of its sending side, 2 reset. early: pipelined bytes before. */
static void check_gone(int ends, size_t early)
{
    struct client c;
    const int gone = n_gone;

    client_connect(&c);
    client_say(&c, HEAD("GET /later"));
    run_until(n_waiting == 1);
    for (size_t sent = 0; sent < early; sent += 65536) {
        static char junk[65536];
        memset(junk, 'j', sizeof(junk));
        ssize_t n = send(c.fd, junk, sizeof(junk), MSG_NOSIGNAL);
        (void)n; /* the server takes a part and then no more */
        run_some();
    }
    assert_int_equal(n_gone, gone);
    if (ends == 1)
        shutdown(c.fd, SHUT_WR);
    else if (ends == 2)
        client_reset(&c);
    else
        client_close(&c);
    run_until(n_gone == gone + 1);
    run_until(http_server_connections(server) == 0);
    assert_int_equal(n_waiting, 0);
    assert_int_equal(n_gone, gone + 1);
    if (ends == 1)
        client_close(&c);
}

static void test_gone(void **state)
{
    (void)state;
    for (int ends = 0; ends < 3; ends++) {
        check_gone(ends, 0);
        check_gone(ends, 100);
    }
}

static void test_gone_behind_much_input(void **state)
{
    (void)state;
    for (int ends = 0; ends < 3; ends++)
        check_gone(ends, 4 * 65536);
}

/* Pipelines n requests of about 1 KB, as far as the server takes them. */
static void pipeline(struct client *c, int n)
{
    struct buf request = {0};

    for (int i = 0; i < n; i++)
        buf_adds(&request, "POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" X500 X500);
    client_send(c, request.data, request.len);
    buf_cleanup(&request);
}

static void test_pipeline_overflow_behind_waiting(void **state)
{
    struct client c;
    char statuses[64];

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /later"));
    run_until(n_waiting == 1);
    pipeline(&c, 200);
    run_some();
    answer(0);
    run_until(client_ended(&c));
    replies(&c, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    assert_non_null(strstr(c.got.data, "Connection: close"));
    assert_int_equal(c.eof, 1);
    client_close(&c);
    /* who never stops is cut off */
    client_connect(&c);
    client_say(&c, HEAD("GET /later"));
    run_until(n_waiting == 1);
    pipeline(&c, 2000);
    run_until(n_gone == 1);
    client_close(&c);
}

static void test_pipeline_behind_writing_is_bounded(void **state)
{
    struct client c;

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /big"));
    run_some();
    for (int i = 0; i < 300; i++) { /* blocks if the server stops reading for good */
        pipeline(&c, 1);
        if (i > 150)
            client_read(&c);
        run_some();
    }
    run_until(replies(&c, NULL, 0) == 301);
    client_close(&c);
}

static void test_free_with_waiting(void **state)
{
    struct client c[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        client_connect(&c[i]);
        client_say(&c[i], i < 3 ? HEAD("GET /later") : "GET /half");
    }
    run_until(n_waiting == 3);
    stop();
    assert_int_equal(n_gone, 3);
    for (int i = 0; i < 5; i++)
        client_close(&c[i]);
    start(NULL);
}

/* ---- writing */

static void test_big_reply_to_slow_reader(void **state)
{
    struct client c;

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /big") HEAD("GET /big") GET);
    run_some();
    assert_int_equal(n_requests, 1); /* the second waits until the first is written */
    run_until(replies(&c, NULL, 0) == 3);
    assert_true(c.got.len > (8u << 20));
    client_close(&c);
}

static void test_gone_in_big_reply(void **state)
{
    struct client c;

    (void)state;
    for (int i = 0; i < 2; i++) {
        client_connect(&c);
        client_say(&c, HEAD("GET /big") HEAD("GET /big"));
        run_some();
        if (i == 0)
            client_close(&c);
        else
            client_reset(&c);
        run_until(http_server_connections(server) == 0);
    }
}

/* The sending side alone is shut: a reply that is being written still arrives whole. */
static void test_half_close_in_big_reply(void **state)
{
    struct client c;

    (void)state;
    client_connect(&c);
    client_say(&c, HEAD("GET /big"));
    run_some();
    shutdown(c.fd, SHUT_WR);
    run_some();
    run_until(replies(&c, NULL, 0) == 1 && client_ended(&c));
    client_close(&c);
}

static void test_continue(void **state)
{
    struct client c;
    char statuses[32];

    (void)state;
    client_connect(&c);
    client_say(&c, POST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    run_until(got_text(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_int_equal(n_requests, 0);
    client_say(&c, "hi");
    run_until(replies(&c, statuses, sizeof(statuses)) == 2);
    assert_string_equal(statuses, "100 200");
    /* the body came along: no need to ask for it */
    client_say(&c, POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    run_until(replies(&c, statuses, sizeof(statuses)) == 3);
    assert_string_equal(statuses, "100 200 200");
    /* nothing to wait for */
    client_say(&c, POST "Expect: 100-continue\r\n\r\n");
    run_until(replies(&c, statuses, sizeof(statuses)) == 4);
    assert_string_equal(statuses, "100 200 200 200");
    /* no invitation to a body that will not be read */
    client_say(&c, POST "Expect: 100-continue\r\nContent-Length: 9999\r\n\r\n");
    run_until(replies(&c, statuses, sizeof(statuses)) == 5);
    assert_string_equal(statuses, "100 200 200 200 413");
    client_close(&c);
}

/* A client that sends on after an early refusal still reads the reply. */
static void test_refusal_is_read(void **state)
{
    struct client c;
    char statuses[32];

    (void)state;
    client_connect(&c);
    client_say(&c, POST "Content-Length: 500000\r\n\r\n");
    for (int i = 0; i < 250; i++) {
        client_say(&c, X2000);
        run_some();
    }
    run_until(client_ended(&c));
    assert_int_equal(replies(&c, statuses, sizeof(statuses)), 1);
    assert_string_equal(statuses, "413");
    assert_int_equal(c.eof, 1);
    client_close(&c);
}

/* ---- time and number */

static const struct http_limits quick = {.head_bytes = 4096,
                                         .target_bytes = 1024,
                                         .body_bytes = 2000,
                                         .request_ms = 300,
                                         .idle_ms = 500,
                                         .write_ms = 300,
                                         .connections = 3};

static void test_slow_senders(void **state)
{
    static const char *const parts[] = {"G", "GET /now HTTP/1.1\r\nHost", POST "Content-Length: 5\r\n\r\nhel",
                                        CHUNKED "5\r\n"};
    char statuses[32];

    (void)state;
    stop();
    start(&quick);
    for (size_t i = 0; i < 4; i++) {
        struct client c;
        client_connect(&c);
        client_say(&c, parts[i]);
        run_until(client_ended(&c));
        assert_int_equal(replies(&c, statuses, sizeof(statuses)), 1);
        assert_string_equal(statuses, "408");
        assert_int_equal(c.eof, 1);
        client_close(&c);
    }
}

/* A byte now and then does not extend the time for a request. */
static void test_trickle(void **state)
{
    struct client c;
    char statuses[32];
    double next = 0;

    (void)state;
    stop();
    start(&quick);
    client_connect(&c);
    client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\nX: ");
    while (!client_ended(&c)) {
        run_until(client_ended(&c) || clock_mono_ms() > next);
        client_say(&c, "x");
        next = clock_mono_ms() + 5;
    }
    replies(&c, statuses, sizeof(statuses));
    assert_string_equal(statuses, "408");
    client_close(&c);
}

static void test_idle(void **state)
{
    struct client silent, used;

    (void)state;
    stop();
    start(&quick);
    client_connect(&silent);
    client_connect(&used);
    client_say(&used, GET);
    run_until(client_ended(&silent) && client_ended(&used));
    assert_int_equal(silent.got.len, 0); /* nothing was asked, nothing is said */
    assert_int_equal(replies(&used, NULL, 0), 1);
    client_close(&silent);
    client_close(&used);
}

static void test_waiting_has_no_deadline(void **state)
{
    struct client c;
    const double begin = clock_mono_ms();

    (void)state;
    stop();
    start(&quick);
    client_connect(&c);
    client_say(&c, HEAD("GET /later"));
    run_until(n_waiting == 1 && clock_mono_ms() - begin > 300);
    answer(0);
    run_until(replies(&c, NULL, 0) == 1);
    client_close(&c);
}

static void test_reader_that_never_reads(void **state)
{
    struct client c;

    (void)state;
    stop();
    start(&quick);
    client_connect(&c);
    client_say(&c, HEAD("GET /big"));
    run_until(http_server_connections(server) == 1);
    run_until(http_server_connections(server) == 0);
    client_close(&c);
}

static void test_too_many_connections(void **state)
{
    struct client c[5];
    char statuses[32];

    (void)state;
    stop();
    start(&quick);
    for (int i = 0; i < 5; i++) {
        client_connect(&c[i]);
        if (i < 3)
            client_say(&c[i], HEAD("GET /later"));
        run_until(http_server_connections(server) == i + 1);
    }
    for (int i = 3; i < 5; i++) {
        run_until(client_ended(&c[i]));
        replies(&c[i], statuses, sizeof(statuses));
        assert_string_equal(statuses, "503");
        assert_non_null(strstr(c[i].got.data, "too_many_connections"));
        client_close(&c[i]);
    }
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    run_until(http_server_connections(server) == 0);
    assert_int_equal(n_gone, 3);
}

static int highest_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);

    close(fd);
    return fd;
}

static void test_out_of_descriptors(void **state)
{
    struct client c;
    struct rlimit old, none;
    int rounds = 0;

    (void)state;
    client_connect(&c);
    client_say(&c, GET);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = (rlim_t)highest_fd();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (double end = clock_mono_ms() + 250; clock_mono_ms() < end; rounds++)
        ev_run(loop, EVRUN_ONCE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(rounds < 20); /* it paused rather than spin */
    run_until(replies(&c, NULL, 0) == 1);
    client_close(&c);
}

/* ---- the end of the server */

static void test_drain(void **state)
{
    struct client idle, waits, half, late;
    char statuses[32];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    (void)state;
    client_connect(&idle);
    client_say(&idle, GET);
    client_connect(&waits);
    client_say(&waits, HEAD("GET /later") GET);
    client_connect(&half);
    client_say(&half, "GET /now HTTP/1.1\r\n");
    run_until(n_waiting == 1 && replies(&idle, NULL, 0) == 1 && http_server_connections(server) == 3);
    client_connect(&late); /* in the queue, not accepted */
    client_say(&late, GET);
    http_server_drain(server);
    http_server_drain(server);
    run_until(client_ended(&idle));
    client_say(&half, "Host: h\r\n\r\n");
    run_until(client_ended(&half) && client_ended(&late));
    answer(0);
    run_until(client_ended(&waits));
    replies(&waits, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    replies(&half, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    replies(&late, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    assert_non_null(strstr(waits.got.data, "Connection: close"));
    client_close(&idle);
    client_close(&waits);
    client_close(&half);
    client_close(&late);
    run_until(http_server_connections(server) == 0);
    late.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late.fd, (struct sockaddr *)&to, sizeof(to)), -1);
    close(late.fd);
}

/* ---- upgrades */

#define UPGRADE(line, headers) line " HTTP/1.1\r\nHost: h\r\n" headers "\r\n"
#define KEY                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION                "Sec-WebSocket-Version: 13\r\n"

static void test_upgrade(void **state)
{
    struct client c;
    char back[8] = "";

    (void)state;
    client_connect(&c);
    client_say(&c, UPGRADE("GET /ws",
                           "connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" KEY VERSION) "early");
    run_until(upgraded_fd >= 0);
    assert_int_equal(http_server_connections(server), 0);
    assert_string_equal(upgraded_early.data, "early");
    buf_cleanup(&upgraded_early);
    assert_int_equal(send(upgraded_fd, "hello", 5, 0), 5);
    run_until(got_text(&c, "hello"));
    client_say(&c, "back");
    run_some();
    assert_int_equal(recv(upgraded_fd, back, sizeof(back), 0), 4); /* the server has let go of it */
    close(upgraded_fd);
    upgraded_fd = -1;
    client_close(&c);
}

static void test_upgrade_refused(void **state)
{
    static const char *const requests[] = {
        UPGRADE("POST /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n" KEY VERSION),
        UPGRADE("GET /ws", "Connection: keep-alive\r\nUpgrade: websocket\r\n" KEY VERSION),
        UPGRADE("GET /ws", "Connection: Upgrades\r\nUpgrade: websocket\r\n" KEY VERSION),
        UPGRADE("GET /ws", "Connection: Upgrade\r\nUpgrade: h2c\r\n" KEY VERSION),
        UPGRADE("GET /ws", "Connection: Upgrade\r\n" KEY VERSION),
        UPGRADE("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n" KEY),
        UPGRADE("GET /ws",
                "Connection: Upgrade\r\nUpgrade: websocket\r\n" KEY "Sec-WebSocket-Version: 8\r\n"),
        UPGRADE("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n" VERSION),
        UPGRADE("GET /ws",
                "Connection: Upgrade\r\nUpgrade: websocket\r\n" VERSION "Sec-WebSocket-Key: short==\r\n"),
        UPGRADE("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n" VERSION
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!=\r\n"),
        UPGRADE("GET /ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n" VERSION KEY KEY),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct client c;
        char statuses[32];
        client_connect(&c);
        client_say(&c, requests[i]);
        run_until(replies(&c, statuses, sizeof(statuses)) == 1);
        if (strcmp(statuses, "426") != 0)
            fail_msg("taken for an upgrade: %s", requests[i]);
        client_close(&c);
    }
}

/* ---- memory */

static void test_waiting_is_cheap(void **state)
{
    enum { N = 400 };
    struct client *c = calloc(N, sizeof(*c));
    size_t before, after;

    (void)state;
    client_connect(&c[0]);
    client_say(&c[0], HEAD("GET /later"));
    run_until(n_waiting == 1);
    before = mallinfo2().uordblks;
    for (int i = 1; i < N; i++) {
        client_connect(&c[i]);
        client_say(&c[i], POST "\r\n" HEAD("GET /later?q=" X100));
    }
    run_until(n_waiting == N);
    after = mallinfo2().uordblks;
    if (before > 0)
        print_message("%zu bytes a waiting connection\n", (after - before) / (N - 1));
    assert_true(before == 0 ||
                after - before < (size_t)(N - 1) * 8192); /* a sanitizer's malloc counts nothing */
    for (int i = 0; i < N; i++)
        client_close(&c[i]);
    free(c);
    run_until(http_server_connections(server) == 0);
    assert_int_equal(n_gone, N);
}

/* ---- addresses */

static void test_listen(void **state)
{
    static const char *const bad[] = {
        "", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", "[::1]"};
    const struct http_server_config config = {.on_request = on_request};
    char err[256];

    (void)state;
    assert_true(http_listen_is_loopback("127.0.0.1:80") && http_listen_is_loopback("127.9.9.9:0") &&
                http_listen_is_loopback("[::1]:80"));
    assert_true(http_listen_is_loopback("localhost:80") && http_listen_is_loopback("[::ffff:127.0.0.1]:1"));
    assert_false(http_listen_is_loopback("0.0.0.0:80") || http_listen_is_loopback("[::]:80") ||
                 http_listen_is_loopback("10.0.0.1:80"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err[0] = '\0';
        assert_null(http_server_new(loop, bad[i], &config, err, sizeof(err)));
        assert_true(err[0] != '\0');
        assert_false(http_listen_is_loopback(bad[i]));
    }
}

static void test_two_servers_share_a_port(void **state)
{
    const struct http_server_config config = {.limits = {.connections = 10}, .on_request = on_request};
    char listen_text[64], err[256];
    struct http_server *second;

    (void)state;
    snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%d", http_server_port(server));
    second = http_server_new(loop, listen_text, &config, err, sizeof(err));
    assert_non_null(second);
    http_server_free(second);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_table),
        T(test_too_many_headers),
        T(test_reply_headers),
        T(test_request_id_refused),
        T(test_later),
        T(test_gone),
        T(test_gone_behind_much_input),
        T(test_pipeline_overflow_behind_waiting),
        T(test_pipeline_behind_writing_is_bounded),
        T(test_free_with_waiting),
        T(test_big_reply_to_slow_reader),
        T(test_gone_in_big_reply),
        T(test_half_close_in_big_reply),
        T(test_continue),
        T(test_refusal_is_read),
        T(test_slow_senders),
        T(test_trickle),
        T(test_idle),
        T(test_waiting_has_no_deadline),
        T(test_reader_that_never_reads),
        T(test_too_many_connections),
        T(test_out_of_descriptors),
        T(test_drain),
        T(test_upgrade),
        T(test_upgrade_refused),
        T(test_waiting_is_cheap),
        T(test_listen),
        T(test_two_servers_share_a_port),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
