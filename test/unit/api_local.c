/* links: api/local.c */
/* Unit tests: which Host and Origin an API without keys takes for this machine's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/local.h"

static void test_hosts(void **state)
{
    static const char *const good[] = {"localhost",     "LOCALHOST:3000",   "localhost:", "a.b.localhost:1",
                                       "127.0.0.1",     "127.8.9.10:80",    "[::1]",      "[::1]:3000",
                                       "berth.example", "Berth.Example:443"};
    static const char *const bad[] = {"",
                                      ":3000",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "127.",
                                      "10.0.0.1",
                                      "[::2]",
                                      "xlocalhost",
                                      ".localhost.",
                                      "berth.example.evil",
                                      "0.0.0.0",
                                      "[::1"};
    size_t i;

    (void)state;
    assert_true(local_is_host(0, ""));
    for (i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(local_is_host(good[i], "https://berth.example/"));
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(local_is_host(bad[i], "https://berth.example/"));
    assert_false(local_is_host("berth.example", ""));
    assert_false(local_is_host("", ""));
    assert_true(local_is_host("berth.example", "berth.example:8080"));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(local_is_origin(0, ""));
    assert_true(local_is_origin("http://localhost:5173", ""));
    assert_true(local_is_origin("https://127.0.0.1", ""));
    assert_true(local_is_origin("https://berth.example", "https://berth.example"));
    assert_false(local_is_origin("null", ""));
    assert_false(local_is_origin("", ""));
    assert_false(local_is_origin("https://evil.example", ""));
    assert_false(local_is_origin("http://localhost.evil.example", ""));
    assert_false(local_is_origin("chrome-extension://localhost", ""));
    assert_false(local_is_origin("http://", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts), cmocka_unit_test(test_origins)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
