/* links: api/links.c api/auth.c */
/* Unit tests: where a gateway's URL leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/links.h"

static void test_gateway_address(void **state)
{
    static const struct {
        const char *url, *host;
        int port;
    } good[] = {{"ws://127.0.0.1:3001", "127.0.0.1", 3001},
                {"ws://w-1.example", "w-1.example", 80},
                {"ws://[::1]:9/x", "[::1]", 9},
                {"ws://[fe80::1]", "[fe80::1]", 80},
                {"ws://h:65535/a/b", "h", 65535}};
    static const char *const bad[] = {"",
                                      "h:1",
                                      "wss://h:1",
                                      "http://h:1",
                                      "ws://",
                                      "ws://:80",
                                      "ws://h:",
                                      "ws://h:0",
                                      "ws://h:65536",
                                      "ws://h:1x",
                                      "ws://[::1",
                                      "ws://[::1]x:1",
                                      "ws://h:1:2",
                                      "ws://a-name-that-is-too-long-for-it"};
    char host[16];
    size_t i;
    int port;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(links_gateway_address(good[i].url, host, sizeof(host), &port), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(links_gateway_address(bad[i], host, sizeof(host), &port), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gateway_address)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
