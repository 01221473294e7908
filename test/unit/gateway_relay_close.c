/* links: worker/gateway.c worker/gateway_client.c worker/gateway_hub.c worker/gateway_json.c */
/* links: worker/gateway_pipe.c worker/gateway_relay.c worker/cdp_http.c test/support/gateway_fixture.c */
/* gateway_relay_close.c: the end of a WebSocket through the gateway, whoever ends it and however: close
 * frames exactly at frame boundaries, and nobody waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/ws.h"
#include "test/support/gateway_fixture.h"

#define LONG_PING 600000
#define S         "/s/" FIXTURE_SECRET

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

static void expect_close(struct buf *in, size_t at, int code, const char *text)
{
    struct buf frame = {0};

    ws_add_close(&frame, code, text, 0);
    assert_int_equal(in->len, at + frame.len);
    assert_memory_equal(in->data + at, frame.data, frame.len);
    buf_cleanup(&frame);
}

static void test_close_at_boundary(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0}, at_browser = {0};
    double since = clock_mono_ms();

    (void)state;
    gateway_fixture_write(&f, p.browser,
                          "\x01\x03"
                          "abc",
                          5); /* between two fragments is a boundary too */
    gateway_fixture_expect(&f, p.client, &in, 5);
    gateway_close(f.gateway, 1, "timeout");
    gateway_fixture_end(&f, p.browser, &at_browser);
    gateway_fixture_end(&f, p.client, &in);
    expect_close(&in, 5, 4001, "session ended: timeout");
    /* What the client still says is taken (no reset that could eat the frame) until it closes or a second is
     * over. */
    gateway_fixture_write(&f, p.client, "\x88\x80\0\0\0\0", 6);
    UNTIL(&f, send(p.client, "x", 1, MSG_NOSIGNAL) < 0);
    assert_true(clock_mono_ms() - since > 900);
    assert_int_equal(f.client_changes, 1);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
    buf_cleanup(&at_browser);
}

static void test_close_in_message(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0};

    (void)state;
    gateway_fixture_write(&f, p.browser,
                          "\x81\x06"
                          "abc",
                          5);
    gateway_fixture_expect(&f, p.client, &in, 5);
    gateway_close(f.gateway, 1, "released");
    gateway_fixture_write(&f, p.client, "\x81\x80\0\0\0\0", 6); /* for nobody */
    ev_run(f.loop, EVRUN_ONCE);
    gateway_fixture_write(&f, p.browser, "def\x81\x01z", 6);
    gateway_fixture_end(&f, p.client, &in);
    assert_memory_equal(in.data,
                        "\x81\x06"
                        "abcdef",
                        8);
    expect_close(&in, 8, 1000, "session ended: released");
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
}

static void test_close_in_endless_message(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0};
    double since = clock_mono_ms();

    (void)state;
    gateway_fixture_write(&f, p.browser,
                          "\x81\x06"
                          "abc",
                          5);
    gateway_fixture_expect(&f, p.client, &in, 5);
    gateway_close(f.gateway, 1, "released");
    gateway_fixture_end(&f, p.client, &in);
    assert_int_equal(in.len, 5);
    assert_true(clock_mono_ms() - since > 900);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
}

static void test_close_in_message_and_browser_gone(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0), q = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0};

    (void)state;
    gateway_fixture_write(&f, p.browser,
                          "\x81\x06"
                          "abc",
                          5);
    gateway_fixture_write(&f, q.browser,
                          "\x81\x06"
                          "abc",
                          5);
    gateway_fixture_expect(&f, q.client, &in, 5);
    gateway_fixture_unpair(&q); /* ends first */
    UNTIL(&f, f.clients == 1);
    in.len = 0;
    gateway_fixture_expect(&f, p.client, &in, 5);
    gateway_close(f.gateway, 1, "released");
    close(p.browser);
    p.browser = -1;
    gateway_fixture_end(&f, p.client, &in);
    assert_int_equal(in.len, 5);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
}

/* A client that reads nothing cannot hold anything up: a second, and it is cut. */
static void test_close_unread(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 4096);
    struct buf frame = {0}, at_browser = {0};
    char payload[60000] = {0};
    int still = 0;

    (void)state;
    gateway_fixture_frame(&frame, 1, WS_OP_BINARY, payload, sizeof(payload), 0);
    gateway_fixture_wait_begin(&f);
    while (still < 20) {
        ssize_t n = send(p.browser, frame.data, frame.len, MSG_NOSIGNAL);
        still = n > 0 ? 0 : still + 1;
        gateway_fixture_wait_step(&f, "the client to be full", __FILE__, __LINE__);
    }
    gateway_close(f.gateway, 1, "released");
    gateway_fixture_end(&f, p.browser, &at_browser);
    gateway_fixture_unpair(&p);
    buf_cleanup(&frame);
    buf_cleanup(&at_browser);
}

static void lose_browser(const char *path, const char *reason, int code, const char *text)
{
    struct gateway_pair p = gateway_fixture_pair(&f, path, 0);
    struct buf in = {0};
    double since = clock_mono_ms();

    close(p.browser);
    p.browser = -1;
    for (int i = 0; i < 5; i++)
        ev_run(f.loop, EVRUN_NOWAIT);
    if (reason)
        gateway_close(f.gateway, 1, reason);
    gateway_fixture_end(&f, p.client, &in);
    expect_close(&in, 0, code, text);
    if (!reason) {
        assert_true(clock_mono_ms() - since > 150);
        assert_int_equal(f.clients, 0);
    }
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
}

static void test_browser_lost(void **state)
{
    (void)state;
    lose_browser(S, NULL, 4004, "session ended: browser_crashed");
    lose_browser(S "/devtools/page/X", NULL, 1000, "the target was closed");
    lose_browser(S, "drained", 4005, "session ended: drained");
}

/* The client's close frame and the browser's answer pass as they are. */
static void test_client_closes(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf frame = {0}, in = {0};

    (void)state;
    ws_add_close(&frame, 1001, "bye", 1);
    gateway_fixture_write(&f, p.client, frame.data, 4); /* in two pieces */
    ev_run(f.loop, EVRUN_ONCE);
    gateway_fixture_write(&f, p.client, frame.data + 4, frame.len - 4);
    gateway_fixture_expect(&f, p.browser, &in, frame.len);
    assert_memory_equal(in.data, frame.data, frame.len);
    in.len = 0;
    gateway_fixture_write(&f, p.browser, "\x88\x02\x03\xe9", 4);
    close(p.browser);
    p.browser = -1;
    gateway_fixture_end(&f, p.client, &in);
    assert_int_equal(in.len, 4);
    assert_memory_equal(in.data, "\x88\x02\x03\xe9", 4);
    UNTIL(&f, f.clients == 0);
    gateway_fixture_unpair(&p);
    buf_cleanup(&frame);
    buf_cleanup(&in);
}

/* A browser that does not answer the close frame, by hanging up or by silence: the gateway does. */
static void test_client_closes_unanswered(void **state)
{
    static const int codes[][2] = {{1001, 1001}, {3000, 3000}, {1005, 1000}, {1006, 1000}, {7, 1000}};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
        struct buf frame = {0}, in = {0};

        ws_add_close(&frame, codes[i][0], "", 1);
        gateway_fixture_write(&f, p.client, frame.data, frame.len);
        gateway_fixture_expect(&f, p.browser, &in, frame.len);
        in.len = 0;
        if (i > 0) {
            close(p.browser);
            p.browser = -1;
        }
        gateway_fixture_end(&f, p.client, &in);
        expect_close(&in, 0, codes[i][1], "");
        assert_int_equal(f.clients, 0);
        gateway_fixture_unpair(&p);
        buf_cleanup(&frame);
        buf_cleanup(&in);
    }
}

static void test_client_gone(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct linger reset = {1, 0};
    struct buf in = {0}, frame = {0};

    (void)state;
    /* What it said last still arrives. */
    gateway_fixture_frame(&frame, 1, WS_OP_TEXT, "last", 4, 1);
    gateway_fixture_write(&f, p.client, frame.data, frame.len);
    close(p.client);
    gateway_fixture_end(&f, p.browser, &in);
    assert_int_equal(in.len, frame.len);
    assert_int_equal(f.clients, 0);
    close(p.browser);

    p = gateway_fixture_pair(&f, S, 0);
    setsockopt(p.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(p.client);
    p.client = -1;
    gateway_fixture_end(&f, p.browser, &in);
    assert_int_equal(f.clients, 0);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
    buf_cleanup(&frame);
}

static void test_client_breaks_protocol(void **state)
{
    static const char *const bad[] = {"\x83\x80\0\0\0\0", "\x0a\x80\0\0\0\0",
                                      "\x8a\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x88\xfe\0\xff\0\0\0\0",
                                      "\x81\xff\xff\0\0\0\0\0\0\0\0\0\0\0",
                                      /* not masked */
                                      "\x81\x02hi",
                                      "\x8a\x05"
                                      "berth"};
    static const size_t lens[] = {6, 6, 10, 8, 14, 4, 7};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
        struct buf in = {0};

        gateway_fixture_write(&f, p.client, bad[i], lens[i]);
        gateway_fixture_end(&f, p.client, &in);
        expect_close(&in, 0, 1002, "not a WebSocket frame");
        in.len = 0;
        gateway_fixture_end(&f, p.browser, &in);
        assert_int_equal(in.len, 0);
        assert_int_equal(f.clients, 0);
        gateway_fixture_unpair(&p);
        buf_cleanup(&in);
    }
}

static void test_browser_breaks_protocol(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0};

    (void)state;
    gateway_fixture_write(&f, p.browser, "\x83\x01x", 3);
    gateway_fixture_end(&f, p.client, &in);
    assert_int_equal(f.clients, 0);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_close_at_boundary),
        T(test_close_in_message),
        T(test_close_in_endless_message),
        T(test_close_in_message_and_browser_gone),
        T(test_close_unread),
        T(test_browser_lost),
        T(test_client_closes),
        T(test_client_closes_unanswered),
        T(test_client_gone),
        T(test_client_breaks_protocol),
        T(test_browser_breaks_protocol),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
