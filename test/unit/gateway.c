/* links: worker/gateway.c worker/gateway_client.c worker/gateway_hub.c worker/gateway_json.c */
/* links: worker/gateway_pipe.c worker/gateway_relay.c worker/cdp_http.c test/support/gateway_fixture.c */
/* gateway.c: who is let in, what reaches the browser of a handshake, what comes back of /json, and how a
 * berth's end looks. The bytes of a WebSocket are gateway_relay.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "test/support/gateway_fixture.h"
#include "worker/gateway_json.h"

#define LONG_PING 600000
#define S         "/s/" FIXTURE_SECRET
#define GET(path) "GET " path " HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
#define WS(path)                                                                                             \
    "GET " path " HTTP/1.1\r\nHost: here\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"       \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " FIXTURE_KEY "\r\n"

static struct gateway_fixture f;

static int setup(void **state)
{
    (void)state;
    gateway_fixture_init(&f, LONG_PING, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gateway_fixture_cleanup(&f);
    return 0;
}

/* Status of one request, and its body if asked for. */
static int status_of(const char *request, char **body)
{
    struct buf reply = {0};
    int status = gateway_fixture_get(&f, request, &reply);

    if (body) {
        char *at = strstr(reply.data, "\r\n\r\n");
        *body = strdup(at ? at + 4 : "");
    }
    buf_cleanup(&reply);
    return status;
}

/* ---- paths and secrets ---- */

static void test_paths(void **state)
{
    (void)state;
    assert_int_equal(status_of(GET("/healthz"), NULL), 200);
    assert_int_equal(status_of(GET("/"), NULL), 404);
    assert_int_equal(status_of(GET("/json/version"), NULL), 404);
    assert_int_equal(status_of(GET(S), NULL), 426);
    assert_int_equal(status_of(GET(S "/"), NULL), 426);
    assert_int_equal(status_of(GET(S "/devtools/page/ABC"), NULL), 426);
    assert_int_equal(status_of(GET(S "/devtools/page/"), NULL), 404);
    assert_int_equal(status_of(GET(S "/devtools/page/A%20HTTP"), NULL), 404);
    assert_int_equal(status_of(GET(S "/devtools/inspector.html"), NULL), 404);
    assert_int_equal(status_of(GET(S "/json/secrets"), NULL), 404);
    assert_int_equal(status_of(GET(S "/json/close/"), NULL), 404);
    assert_int_equal(status_of(GET(S "/json/close/a%0d%0aX"), NULL), 400);
    assert_int_equal(status_of(GET(S "/jsonx"), NULL), 404);
    assert_int_equal(
        status_of("DELETE " S "/json/list HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", NULL), 405);
    /* An upgrade that is not a WebSocket's */
    assert_int_equal(status_of("GET " S
                               " HTTP/1.1\r\nHost: h\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n",
                               NULL),
                     426);
}

/* The requestId is the only thing in which two refusals may differ. */
static char *refusal(const char *request)
{
    char *body, *id;

    assert_int_equal(status_of(request, &body), 404);
    id = strstr(body, "requestId");
    assert_non_null(id);
    *id = 0;
    return body;
}

static void test_secrets(void **state)
{
    static const char *const wrong[] = {
        GET("/s/1-00112233445566778899aabbccddeefe"),
        GET("/s/1-00112233445566778899aabbccddeef"),
        GET("/s/1-00112233445566778899aabbccddeeff0"),
        GET("/s/01-00112233445566778899aabbccddeeff"),
        GET("/s/0-00112233445566778899aabbccddeeff"),
        GET("/s/2-00112233445566778899aabbccddeeff"),
        GET("/s/3-00112233445566778899aabbccddeeff"),
        GET("/s/99999999999-00112233445566778899aabbccddeeff"),
        GET("/s/-1-00112233445566778899aabbccddeeff"),
        GET("/s/1"),
        GET("/s/1-"),
        GET("/s/"),
        GET("/s//"),
        GET("/s/1-00112233445566778899AABBCCDDEEFF"),
        GET("/s/1-/json/version"),
        GET("/s/1-x/devtools/page/X"),
    };
    char *first = refusal(GET("/nothing"));
    struct gateway_stats stats;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char *body = refusal(wrong[i]);
        assert_string_equal(body, first);
        free(body);
    }
    free(first);
    gateway_stats(f.gateway, &stats);
    assert_int_equal(stats.refused, sizeof(wrong) / sizeof(*wrong));
    assert_int_equal(stats.connections, 0);
}

static void test_secret_after_close(void **state)
{
    (void)state;
    assert_int_equal(status_of(GET(S), NULL), 426);
    gateway_close(f.gateway, 1, "released");
    gateway_close(f.gateway, 1, "released");
    assert_int_equal(status_of(GET(S), NULL), 404);
    gateway_open(f.gateway, 1, "1-ffffffffffffffffffffffffffffffff", FIXTURE_PATH);
    assert_int_equal(status_of(GET(S), NULL), 404);
    assert_int_equal(status_of(GET("/s/1-ffffffffffffffffffffffffffffffff"), NULL), 426);
}

/* ---- the handshake ---- */

static void test_handshake(void **state)
{
    static const char answer[] =
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " FIXTURE_ACCEPT
        "\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Odd: 1\r\n\r\n";
    struct buf head = {0}, in = {0};
    int client = gateway_fixture_connect(
        &f,
        WS(S) "Origin: http://evil\r\nCookie: a=b\r\nAuthorization: x\r\n"
              "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
              "Sec-WebSocket-Protocol: a, b\r\n\r\n\x81",
        0);
    int browser = gateway_fixture_accept(&f, &head);

    (void)state;
    assert_string_equal(head.data,
                        "GET " FIXTURE_PATH
                        " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " FIXTURE_KEY "\r\n"
                        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                        "Sec-WebSocket-Protocol: a, b\r\n\r\n");
    /* What both sides sent too early is not lost: half of the answer, then its rest and a frame behind it. */
    gateway_fixture_write(&f, browser, answer, 50);
    assert_int_equal(gateway_clients(f.gateway, 1), 0);
    gateway_fixture_write(&f, browser, answer + 50, sizeof(answer) - 51);
    gateway_fixture_write(&f, browser, "\x81\x02hi", 4);
    gateway_fixture_expect(&f, client, &in, sizeof(answer) + 3);
    assert_memory_equal(in.data, answer, sizeof(answer) - 1);
    assert_memory_equal(in.data + sizeof(answer) - 1, "\x81\x02hi", 4);
    gateway_fixture_write(&f, client, "\x80\0\0\0\0", 5);
    head.len = 0;
    gateway_fixture_expect(&f, browser, &head, 6);
    assert_memory_equal(head.data, "\x81\x80\0\0\0\0", 6);
    assert_int_equal(f.clients, 1);
    assert_int_equal(gateway_clients(f.gateway, 1), 1);
    close(client);
    UNTIL(&f, f.clients == 0);
    gateway_fixture_end(&f, browser, &head);
    close(browser);
    buf_cleanup(&head);
    buf_cleanup(&in);
}

/* A client's handshake, the browser's answer (NULL: it hangs up), and the status that the client gets. */
static int handshake_status(const char *request, const char *answer)
{
    struct buf head = {0}, in = {0};
    int client = gateway_fixture_connect(&f, request, 0), browser = gateway_fixture_accept(&f, &head),
        status = 0;

    if (answer)
        gateway_fixture_write(&f, browser, answer, strlen(answer));
    close(browser);
    UNTIL(&f, !gateway_fixture_read(client, &in) || (in.data && strstr(in.data, "\r\n\r\n")));
    sscanf(in.data, "HTTP/1.1 %d", &status);
    close(client);
    buf_cleanup(&head);
    buf_cleanup(&in);
    return status;
}

static void test_browser_refuses(void **state)
{
    char *huge = malloc(20001);

    (void)state;
    memset(huge, 'x', 20000);
    huge[20000] = 0;
    memcpy(huge, "HTTP/1.1 101 X\r\nA: ", 19);
    assert_int_equal(handshake_status(WS(S) "\r\n", NULL), 502);
    assert_int_equal(handshake_status(WS(S) "\r\n", "junk\r\n\r\n"), 502);
    assert_int_equal(handshake_status(WS(S) "\r\n", huge), 502);
    assert_int_equal(handshake_status(WS(S) "\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                     502);
    assert_int_equal(handshake_status(WS(S "/devtools/page/X") "\r\n",
                                      "HTTP/1.1 500 Internal Server Error\r\nContent-Length:3\r\n\r\nNo!"),
                     404);
    assert_int_equal(handshake_status(WS(S) "\r\n",
                                      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                      "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
                     502);
    assert_int_equal(
        handshake_status(WS(S) "\r\n", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        502);
    assert_int_equal(f.client_changes, 0);
    close(f.listener);
    f.listener = -1;
    assert_int_equal(status_of(GET(S "/json/version"), NULL), 502);
    free(huge);
}

static void test_client_gone_in_handshake(void **state)
{
    struct buf head = {0};
    int client = gateway_fixture_connect(&f, WS(S) "\r\n", 0), browser = gateway_fixture_accept(&f, &head);

    (void)state;
    close(client);
    gateway_fixture_end(&f, browser, &head);
    close(browser);
    buf_cleanup(&head);
    assert_int_equal(f.client_changes, 0);
}

static void test_closed_in_handshake(void **state)
{
    struct buf head = {0}, in = {0};
    int client = gateway_fixture_connect(&f, WS(S) "\r\n", 0), browser = gateway_fixture_accept(&f, &head);

    (void)state;
    gateway_close(f.gateway, 1, "timeout");
    UNTIL(&f, !gateway_fixture_read(client, &in) || (in.data && strstr(in.data, "\r\n\r\n")));
    assert_memory_equal(in.data, "HTTP/1.1 410 ", 13);
    gateway_fixture_end(&f, browser, &head);
    close(browser);
    close(client);
    buf_cleanup(&head);
    buf_cleanup(&in);
}

/* ---- several clients, the berth's end ---- */

static void test_several_clients(void **state)
{
    struct gateway_pair a = gateway_fixture_pair(&f, S, 0), b = gateway_fixture_pair(&f, S "/", 0),
                        c = gateway_fixture_pair(&f, S "/devtools/page/AB-12_x", 0);
    struct buf in = {0};

    (void)state;
    assert_int_equal(f.clients, 3);
    assert_int_equal(f.client_changes, 3);
    close(b.client);
    b.client = -1;
    UNTIL(&f, f.clients == 2);
    gateway_close(f.gateway, 1, "idle");
    assert_int_equal(gateway_clients(f.gateway, 1), 0);
    assert_int_equal(f.client_changes, 4); /* the owner knows what it does itself */
    gateway_fixture_end(&f, a.client, &in);
    assert_memory_equal(in.data, "\x88\x15\x0f\xa2session ended: idle", 23);
    in.len = 0;
    gateway_fixture_end(&f, c.client, &in);
    assert_memory_equal(in.data, "\x88\x15\x0f\xa2session ended: idle", 23);
    gateway_fixture_unpair(&a);
    gateway_fixture_unpair(&b);
    gateway_fixture_unpair(&c);
    buf_cleanup(&in);
}

static void test_close_inside_event(void **state)
{
    struct gateway_pair a = gateway_fixture_pair(&f, S, 0), b = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0};

    (void)state;
    f.on_clients_closes = 1;
    close(a.client);
    a.client = -1;
    gateway_fixture_end(&f, b.client, &in);
    assert_memory_equal(in.data, "\x88\x15\x0f\xa2session ended: idle", 23);
    gateway_fixture_unpair(&a);
    gateway_fixture_unpair(&b);
    buf_cleanup(&in);
}

static void test_too_many_clients(void **state)
{
    int fds[257];
    struct buf in = {0};

    (void)state;
    for (int i = 0; i < 257; i++)
        fds[i] = gateway_fixture_connect(&f, WS(S) "\r\n", 0);
    UNTIL(&f, gateway_fixture_read(fds[256], &in) == 0 || in.len > 13);
    assert_memory_equal(in.data, "HTTP/1.1 429 ", 13);
    for (int i = 0; i < 257; i++)
        close(fds[i]);
    buf_cleanup(&in);
}

/* Everything that can be going on is going on when the gateway is freed (by teardown). */
static void test_freed_in_the_middle(void **state)
{
    struct gateway_pair a = gateway_fixture_pair(&f, S, 0), b = gateway_fixture_pair(&f, S, 0);
    struct buf head = {0};
    int dialling = gateway_fixture_connect(&f, WS(S) "\r\n", 0), asking, browser;

    (void)state;
    browser = gateway_fixture_accept(&f, &head);
    close(browser);
    asking = gateway_fixture_connect(&f, GET(S "/json/list"), 0);
    browser = gateway_fixture_accept(&f, &head);
    close(b.browser); /* waits for a reason */
    b.browser = -1;
    close(browser);
    gateway_fixture_unpair(&a);
    gateway_fixture_unpair(&b);
    close(dialling);
    close(asking);
    buf_cleanup(&head);
}

static void test_activity(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf frame = {0}, in = {0};

    (void)state;
    gateway_fixture_frame(&frame, 1, 0x9, "x", 1, 1);
    gateway_fixture_write(&f, p.client, frame.data, frame.len);
    gateway_fixture_expect(&f, p.browser, &in, frame.len);
    assert_int_equal(f.activities, 0); /* a ping is not somebody at work */
    for (int i = 0; i < 100; i++) {
        in.len = frame.len = 0;
        gateway_fixture_frame(&frame, 1, 0x1, "hello", 5, 1);
        gateway_fixture_write(&f, p.client, frame.data, frame.len);
        gateway_fixture_expect(&f, p.browser, &in, frame.len);
    }
    assert_in_range(f.activities, 1, 2);
    gateway_fixture_unpair(&p);
    buf_cleanup(&frame);
    buf_cleanup(&in);
}

#ifndef __SANITIZE_ADDRESS__ /* whose heap counts otherwise */
/* What ten thousand idle connections cost: measured on the heap, a loop and sockets that the test holds cost
 * nothing there. */
static void test_idle_memory(void **state)
{
    enum { N = 100 };
    struct gateway_pair p[N];
    struct buf in = {0};
    size_t before;

    (void)state;
    p[0] = gateway_fixture_pair(&f, S, 0);
    before = mallinfo2().uordblks;
    for (int i = 1; i < N; i++) {
        char chunk[5000] = {0};
        struct buf frame = {0};
        p[i] = gateway_fixture_pair(&f, S, 0);
        /* It has been busy, and is idle again. */
        gateway_fixture_frame(&frame, 1, 1, chunk, sizeof(chunk), 1);
        gateway_fixture_write(&f, p[i].client, frame.data, frame.len);
        gateway_fixture_expect(&f, p[i].browser, &in, frame.len);
        buf_cleanup(&in);
        buf_cleanup(&frame);
    }
    print_message("an idle connection takes %zu bytes\n", (mallinfo2().uordblks - before) / (N - 1));
    assert_true((mallinfo2().uordblks - before) / (N - 1) <= 6144);
    for (int i = 0; i < N; i++)
        gateway_fixture_unpair(&p[i]);
}
#endif

/* ---- json ---- */

/* A request, what the browser was asked, its answer; the reply with its body returned. */
static char *fetch(const char *request, const char *asked, const char *answer, int expected)
{
    struct buf head = {0}, in = {0};
    int client = gateway_fixture_connect(&f, request, 0), browser = gateway_fixture_accept(&f, &head),
        status = 0;
    char *body;

    if (asked)
        assert_memory_equal(head.data, asked, strlen(asked));
    assert_non_null(strstr(head.data, "\r\nHost: localhost\r\n"));
    gateway_fixture_write(&f, browser, answer, strlen(answer));
    shutdown(browser, SHUT_WR);
    gateway_fixture_end(&f, client, &in);
    sscanf(in.data, "HTTP/1.1 %d", &status);
    assert_int_equal(status, expected);
    body = strdup(strstr(in.data, "\r\n\r\n") + 4);
    close(client);
    close(browser);
    buf_cleanup(&head);
    buf_cleanup(&in);
    return body;
}

static void test_json(void **state)
{
    char *body, *expected;

    (void)state;
    body =
        fetch(GET(S "/json/version/"), "GET /json/version HTTP/1.1\r\n",
              "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 80\r\n\r\n"
              "{\"Browser\":\"X\",\"webSocketDebuggerUrl\":\"ws://localhost/devtools/browser/d8-1-aa\"}",
              200);
    expected = NULL;
    assert_true(asprintf(&expected,
                         "{\n\t\"Browser\":\t\"X\",\n\t\"webSocketDebuggerUrl\":\t\"ws://127.0.0.1:%d" S
                         "/devtools/browser/d8-1-aa\"\n}\n",
                         f.port) > 0);
    assert_string_equal(body, expected);
    free(body);
    free(expected);

    /* In chunks, without an end but the connection's, and a query that goes along */
    body = fetch(GET(S "/json/list?for_tab"), "GET /json/list?for_tab HTTP/1.1\r\n",
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n3\r\n[{\"\r\n4\r\na\":1\r\n2\r\n}]\r\n0\r\n\r\n",
                 200);
    assert_string_equal(body, "[{\n\t\t\"a\":\t1\n\t}]\n");
    free(body);
    body = fetch(GET(S "/json"), "GET /json HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n\r\n[  ]", 200);
    assert_string_equal(body, "[]\n");
    free(body);
    body = fetch("PUT " S "/json/new?http://a/?b=%20c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                 "PUT /json/new?http://a/?b=%20c HTTP/1.1\r\n",
                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200);
    free(body);
    body = fetch(GET(S "/json/new?x"), NULL,
                 "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 3\r\n\r\nPUT", 405);
    assert_string_equal(body, "PUT");
    free(body);
    body = fetch(GET(S "/json/close/AB12"), "GET /json/close/AB12 HTTP/1.1\r\n",
                 "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nTarget is closing", 200);
    assert_string_equal(body, "Target is closing");
    free(body);
    free(fetch(GET(S "/json/list"), NULL, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", 502));
    free(fetch(GET(S "/json/list"), NULL, "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n[]", 502));
    free(
        fetch(GET(S "/json/list"), NULL, "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 502));
    assert_int_equal(f.client_changes, 0);
}

static void test_json_too_large(void **state)
{
    struct buf head = {0}, in = {0};
    int client = gateway_fixture_connect(&f, GET(S "/json/protocol"), 0),
        browser = gateway_fixture_accept(&f, &head);
    char *chunk = malloc(1 << 20);

    (void)state;
    memset(chunk, 'x', 1 << 20);
    gateway_fixture_write(&f, browser, "HTTP/1.1 200 OK\r\n\r\n", 19);
    gateway_fixture_wait_begin(&f);
    while (gateway_fixture_read(client, &in) && in.len == 0) {
        send(browser, chunk, 1 << 20, MSG_NOSIGNAL);
        gateway_fixture_wait_step(&f, "refused", __FILE__, __LINE__);
    }
    assert_memory_equal(in.data, "HTTP/1.1 502 ", 13);
    close(browser);
    close(client);
    free(chunk);
    buf_cleanup(&head);
    buf_cleanup(&in);
}

static void rewrites(const char *json, const char *base, const char *expected)
{
    struct buf out = {0};

    assert_int_equal(gateway_json_rewrite(json, strlen(json), base, &out), 0);
    assert_string_equal(out.data, expected);
    buf_cleanup(&out);
}

static void test_rewrite(void **state)
{
    struct buf out = {0};

    (void)state;
    rewrites(
        "[{\"webSocketDebuggerUrl\":\"ws://localhost:9/devtools/page/A\","
        "\"devtoolsFrontendUrl\":\"/devtools/inspector.html?ws=localhost:9/devtools/page/A\"}]",
        "ws://h:1/s/x",
        "[{\n\t\t\"webSocketDebuggerUrl\":\t\"ws://h:1/s/x/devtools/page/A\",\n\t\t\"devtoolsFrontendUrl\":\t"
        "\"http://h:1/s/x/devtools/inspector.html?ws=h:1/s/x/devtools/page/A\"\n\t}]\n");
    rewrites("{\"devtoolsFrontendUrl\":\"https://e.com/i.html?ws=localhost/devtools/page/A\"}", "wss://h/s/x",
             "{\n\t\"devtoolsFrontendUrl\":\t\"https://e.com/i.html?wss=h/s/x/devtools/page/A\"\n}\n");
    rewrites("[1,{\"webSocketDebuggerUrl\":7,\"devtoolsFrontendUrl\":\"ws=\"}]", "wss://h/s/x",
             "[1, {\n\t\t\"webSocketDebuggerUrl\":\t7,\n\t\t\"devtoolsFrontendUrl\":\t\"ws=\"\n\t}]\n");
    assert_int_equal(gateway_json_rewrite("7", 1, "ws://h", &out), -1);
    assert_int_equal(gateway_json_rewrite("", 0, "ws://h", &out), -1);
    buf_cleanup(&out);
}

static const char *url_for(const char *public_url, const char *listen)
{
    static char out[200];
    char err[200] = "";
    struct gateway_config config = f.gateway
                                       ? (struct gateway_config){.loop = f.loop, .berths = 1, .ping_ms = 1000}
                                       : (struct gateway_config){0};
    struct gateway *g;

    config.public_url = public_url;
    config.listen = listen;
    g = gateway_new(&config, err, sizeof(err));
    snprintf(out, sizeof(out), "%s", g ? gateway_url(g) : err);
    gateway_free(g);
    return out;
}

static void test_url(void **state)
{
    (void)state;
    assert_string_equal(url_for("ws://a.b:3/", "127.0.0.1:0"), "ws://a.b:3");
    assert_string_equal(url_for("https://a.b/cdp//", "127.0.0.1:0"), "wss://a.b/cdp");
    assert_string_equal(url_for("http://a.b", "127.0.0.1:0"), "ws://a.b");
    assert_memory_equal(url_for("", "127.0.0.1:0"), "ws://127.0.0.1:", 15);
    assert_memory_equal(url_for(NULL, "0.0.0.0:0"), "ws://127.0.0.1:", 15);
    assert_non_null(strstr(url_for("a.b:3", "127.0.0.1:0"), "URL"));
    assert_non_null(strstr(url_for("ws://", "127.0.0.1:0"), "URL"));
    assert_non_null(strstr(url_for("ws://a/?x", "127.0.0.1:0"), "URL"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_paths),
        T(test_secrets),
        T(test_secret_after_close),
        T(test_handshake),
        T(test_browser_refuses),
        T(test_client_gone_in_handshake),
        T(test_closed_in_handshake),
        T(test_several_clients),
        T(test_close_inside_event),
        T(test_too_many_clients),
        T(test_freed_in_the_middle),
        T(test_activity),
#ifndef __SANITIZE_ADDRESS__
        T(test_idle_memory),
#endif
        T(test_json),
        T(test_json_too_large),
        T(test_rewrite),
        T(test_url),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
