/* links: test/support/script_stubs.c */
/* redis_address.c: URLs, good and bad, and that no message and no text shows a password. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/redis.h"
#include "shared/redis_conn.h"

static void check(const char *url, const char *text, const char *user, const char *password)
{
    char err[128] = "";
    struct redis_address *a = redis_address_parse(url, err, sizeof(err));

    assert_string_equal(err, "");
    assert_non_null(a);
    assert_string_equal(redis_address_text(a), text);
    assert_string_equal(redis_address_user(a) ? redis_address_user(a) : "none", user);
    assert_string_equal(redis_address_password(a) ? redis_address_password(a) : "none", password);
    redis_address_free(a);
}

static void reads_urls(void **state)
{
    (void)state;
    check("redis://127.0.0.1:6380/2", "127.0.0.1:6380/2", "none", "none");
    check("redis://cache.example", "cache.example:6379/0", "none", "none");
    check("redis://h/", "h:6379/0", "none", "none");
    check("redis://h:1", "h:1/0", "none", "none");
    check("redis://h?db=7", "h:6379/7", "none", "none");
    check("redis://:pw@h/1", "h:6379/1", "none", "pw");
    check("redis://bob:pw@h", "h:6379/0", "bob", "pw");
    check("redis://pw@h", "h:6379/0", "none", "pw");
    check("redis://b%6Fb:p%40%3a%2Fw@h", "h:6379/0", "bob", "p@:/w");
    check("redis://bob:p:w@x@h", "h:6379/0", "bob", "p:w@x");
    check("redis://bob:@h", "h:6379/0", "bob", "");
    check("redis://[::1]", "[::1]:6379/0", "none", "none");
    check("redis://u:p@[fe80::1]:7000/15", "[fe80::1]:7000/15", "u", "p");
    check("unix:///run/redis.sock", "unix:/run/redis.sock/0", "none", "none");
    check("unix:///run/redis.sock?db=3", "unix:/run/redis.sock/3", "none", "none");
    check("unix:///a%20b", "unix:/a b/0", "none", "none");
    check("unix://u:p@/run/redis.sock?db=0", "unix:/run/redis.sock/0", "u", "p");
    redis_address_free(NULL);
}

static void refuses_others(void **state)
{
    static const char *const bad[] = {"",
                                      "redis:",
                                      "redis:/",
                                      "redis://",
                                      "redis:///0",
                                      "redis://:6379",
                                      "redis://hunter2@",
                                      "redis://h:0",
                                      "redis://h:65536",
                                      "redis://h:",
                                      "redis://h:12x",
                                      "redis://h:-1",
                                      "redis://h:99999999999",
                                      "redis://h/x",
                                      "redis://h/-1",
                                      "redis://h/1/2",
                                      "redis://h/100000",
                                      "redis://h?db=",
                                      "redis://h?db=x",
                                      "redis://h?DB=1",
                                      "redis://h?timeout=1",
                                      "redis://h?",
                                      "redis://[::1",
                                      "redis://[::1]x",
                                      "redis://[]:1",
                                      "redis://[::1]:",
                                      "redis://a b",
                                      "redis://:hunter2%@h",
                                      "redis://:hunter2%4@h",
                                      "redis://:hunter2%zz@h",
                                      "redis://:hunter2%00@h",
                                      "redis://%:hunter2@h",
                                      "rediss://:hunter2@h",
                                      "http://h",
                                      "h:6379",
                                      "unix://",
                                      "unix:///",
                                      "unix://run/redis.sock",
                                      "unix:/run/redis.sock",
                                      "unix:///a%",
                                      "unix:///a?db=-1",
                                      "unix:///a?password=hunter2",
                                      "unix:///"
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char err[128] = "";
        struct redis_address *a = redis_address_parse(bad[i], err, sizeof(err));
        if (a)
            fail_msg("taken: %s", bad[i]);
        assert_true(*err);
        assert_null(strstr(err, "hunter2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_urls), cmocka_unit_test(refuses_others)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
