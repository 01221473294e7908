/* links: test/support/http_fixture.c test/support/http_client.c */
/* http_server.c: the server itself: its addresses, and its end while clients are at every stage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "test/support/http_client.h"
#include "test/support/http_fixture.h"

static void on_request(void *arg, struct http_exchange *x)
{
    (void)arg;
    http_reply(x, 200, "text/plain", "", 0);
}

static void test_drain(void **state)
{
    struct http_client idle, waits, half, late;
    char statuses[32];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(http_fixture.server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    (void)state;
    http_client_connect(&idle);
    http_client_say(&idle, GET);
    http_client_connect(&waits);
    http_client_say(&waits, HEAD("GET /later") GET);
    http_client_connect(&half);
    http_client_say(&half, "GET /now HTTP/1.1\r\n");
    UNTIL(http_fixture.waiting_count == 1 && http_client_replies(&idle, NULL, 0) == 1 &&
          http_server_connections(http_fixture.server) == 3);
    http_client_connect(&late); /* in the queue, not accepted */
    http_client_say(&late, GET);
    http_server_drain(http_fixture.server);
    http_server_drain(http_fixture.server);
    UNTIL(http_client_ended(&idle));
    http_client_say(&half, "Host: h\r\n\r\n");
    UNTIL(http_client_ended(&half) && http_client_ended(&late));
    http_fixture_answer(0);
    UNTIL(http_client_ended(&waits));
    http_client_replies(&waits, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    http_client_replies(&half, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    http_client_replies(&late, statuses, sizeof(statuses));
    assert_string_equal(statuses, "200");
    assert_non_null(strstr(waits.got.data, "Connection: close"));
    http_client_close(&idle);
    http_client_close(&waits);
    http_client_close(&half);
    http_client_close(&late);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    late.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late.fd, (struct sockaddr *)&to, sizeof(to)), -1);
    close(late.fd);
}

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
        assert_null(http_server_new(http_fixture.loop, bad[i], &config, err, sizeof(err)));
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
    snprintf(listen_text, sizeof(listen_text), "127.0.0.1:%d", http_server_port(http_fixture.server));
    second = http_server_new(http_fixture.loop, listen_text, &config, err, sizeof(err));
    assert_non_null(second);
    http_server_free(second);
}

#define T(name) cmocka_unit_test_setup_teardown(name, http_fixture_setup, http_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_drain),
        T(test_listen),
        T(test_two_servers_share_a_port),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
