/* links: test/support/http_fixture.c test/support/http_client.c */
/* http_reply.c: replies: their headers, and big ones to clients that read slowly, half close or go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "shared/log.h"
#include "test/support/http_client.h"
#include "test/support/http_fixture.h"

static void test_reply_headers(void **state)
{
    struct http_client c;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /headers"));
    UNTIL(http_client_replies(&c, NULL, 0) == 1);
    assert_non_null(strstr(c.got.data, "HTTP/1.1 200 OK\r\nDate: "));
    assert_non_null(strstr(c.got.data, "X-Fine: a b\r\n"));
    assert_non_null(strstr(c.got.data, "X-Request-Id: "));
    assert_null(strstr(c.got.data, "Injected"));
    assert_null(strstr(c.got.data, "X Bad"));
    http_client_close(&c);
}

static void test_big_reply_to_slow_reader(void **state)
{
    struct http_client c;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /big") HEAD("GET /big") GET);
    http_fixture_turn();
    assert_int_equal(http_fixture.requests, 1); /* the second waits until the first is written */
    UNTIL(http_client_replies(&c, NULL, 0) == 3);
    assert_true(c.got.len > (8u << 20));
    http_client_close(&c);
}

static void test_gone_in_big_reply(void **state)
{
    struct http_client c;

    (void)state;
    for (int i = 0; i < 2; i++) {
        http_client_connect(&c);
        http_client_say(&c, HEAD("GET /big") HEAD("GET /big"));
        http_fixture_turn();
        if (i == 0)
            http_client_close(&c);
        else
            http_client_reset(&c);
        UNTIL(http_server_connections(http_fixture.server) == 0);
    }
}

/* The sending side alone is shut: a reply that is being written still arrives whole. */
static void test_half_close_in_big_reply(void **state)
{
    struct http_client c;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /big"));
    http_fixture_turn();
    shutdown(c.fd, SHUT_WR);
    http_fixture_turn();
    UNTIL(http_client_replies(&c, NULL, 0) == 1 && http_client_ended(&c));
    http_client_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, http_fixture_setup, http_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reply_headers),
        T(test_big_reply_to_slow_reader),
        T(test_gone_in_big_reply),
        T(test_half_close_in_big_reply),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
