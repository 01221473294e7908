/* links: test/support/http_fixture.c test/support/http_client.c */
/* http_exchange.c: answers that take time: clients that go meanwhile, what is pipelined behind them; and
 * upgrades, which leave the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "test/support/http_client.h"
#include "test/support/http_fixture.h"

static void test_later(void **state)
{
    struct http_client c;
    char statuses[32];

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1);
    http_client_say(&c, HEAD("GET /later") GET);
    http_fixture_turn();
    assert_int_equal(http_fixture.waiting_count, 1); /* one exchange at a time */
    http_fixture_answer(0);
    assert_int_equal(http_fixture.waiting_count, 0); /* the next is not begun from inside http_reply */
    UNTIL(http_fixture.waiting_count == 1);
    assert_int_equal(http_client_replies(&c, NULL, 0), 1);
    http_fixture_answer(0);
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 3);
    assert_string_equal(statuses, "200 200 200");
    http_client_close(&c);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    assert_int_equal(http_fixture.gone, 0);
}

/* ends: 0 EOF of the whole connection, 1 of its sending side, 2 reset. early: pipelined bytes before. */
static void check_gone(int ends, size_t early)
{
    struct http_client c;
    const int gone = http_fixture.gone;

    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1);
    for (size_t sent = 0; sent < early; sent += 65536) {
        static char junk[65536];
        memset(junk, 'j', sizeof(junk));
        ssize_t n = send(c.fd, junk, sizeof(junk), MSG_NOSIGNAL);
        (void)n; /* the server takes a part and then no more */
        http_fixture_turn();
    }
    assert_int_equal(http_fixture.gone, gone);
    if (ends == 1)
        shutdown(c.fd, SHUT_WR);
    else if (ends == 2)
        http_client_reset(&c);
    else
        http_client_close(&c);
    UNTIL(http_fixture.gone == gone + 1);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    assert_int_equal(http_fixture.waiting_count, 0);
    assert_int_equal(http_fixture.gone, gone + 1);
    if (ends == 1)
        http_client_close(&c);
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
static void pipeline(struct http_client *c, int n)
{
    struct buf request = {0};

    for (int i = 0; i < n; i++)
        buf_adds(&request, "POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" X500 X500);
    http_client_send(c, request.data, request.len);
    buf_cleanup(&request);
}

static void test_pipeline_overflow_behind_waiting(void **state)
{
    struct http_client c;
    char statuses[64];

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1);
    pipeline(&c, 200);
    http_fixture_turn();
    http_fixture_answer(0);
    UNTIL(http_client_ended(&c));
    http_client_replies(&c, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    assert_non_null(strstr(c.got.data, "Connection: close"));
    assert_int_equal(c.eof, 1);
    http_client_close(&c);
    /* who never stops is cut off */
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1);
    pipeline(&c, 2000);
    UNTIL(http_fixture.gone == 1);
    http_client_close(&c);
}

static void test_pipeline_behind_writing_is_bounded(void **state)
{
    struct http_client c;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /big"));
    http_fixture_turn();
    for (int i = 0; i < 300; i++) { /* blocks if the server stops reading for good */
        pipeline(&c, 1);
        if (i > 150)
            http_client_read(&c);
        http_fixture_turn();
    }
    UNTIL(http_client_replies(&c, NULL, 0) == 301);
    http_client_close(&c);
}

static void test_free_with_waiting(void **state)
{
    struct http_client c[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        http_client_connect(&c[i]);
        http_client_say(&c[i], i < 3 ? HEAD("GET /later") : "GET /half");
    }
    UNTIL(http_fixture.waiting_count == 3);
    http_fixture_stop();
    assert_int_equal(http_fixture.gone, 3);
    for (int i = 0; i < 5; i++)
        http_client_close(&c[i]);
    http_fixture_start(NULL);
}

#define UPGRADE(line, headers) line " HTTP/1.1\r\nHost: h\r\n" headers "\r\n"
#define KEY                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION                "Sec-WebSocket-Version: 13\r\n"

static void test_upgrade(void **state)
{
    struct http_client c;
    char back[8] = "";

    (void)state;
    http_client_connect(&c);
    http_client_say(
        &c,
        UPGRADE("GET /ws", "connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" KEY VERSION) "early");
    UNTIL(http_fixture.upgraded >= 0);
    assert_int_equal(http_server_connections(http_fixture.server), 0);
    assert_string_equal(http_fixture.upgraded_early.data, "early");
    buf_cleanup(&http_fixture.upgraded_early);
    assert_int_equal(send(http_fixture.upgraded, "hello", 5, 0), 5);
    UNTIL(http_client_got(&c, "hello"));
    http_client_say(&c, "back");
    http_fixture_turn();
    assert_int_equal(recv(http_fixture.upgraded, back, sizeof(back), 0), 4); /* the server has let go of it */
    close(http_fixture.upgraded);
    http_fixture.upgraded = -1;
    http_client_close(&c);
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
        struct http_client c;
        char statuses[32];
        http_client_connect(&c);
        http_client_say(&c, requests[i]);
        UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 1);
        if (strcmp(statuses, "426") != 0)
            fail_msg("taken for an upgrade: %s", requests[i]);
        http_client_close(&c);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, http_fixture_setup, http_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_later),
        T(test_gone),
        T(test_gone_behind_much_input),
        T(test_pipeline_overflow_behind_waiting),
        T(test_pipeline_behind_writing_is_bounded),
        T(test_free_with_waiting),
        T(test_upgrade),
        T(test_upgrade_refused),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
