/* http_target.c: decoding of paths and queries, by table. The whole server's view of them is in http.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shared/http_internal.h"

static void test_path(void **state)
{
    static const struct {
        const char *raw;
        const char *path; /* NULL: refused */
    } rows[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a%20b", "/a b"},
        {"/%41%62", "/Ab"},
        {"/+", "/+"},
        {"/%2525", "/%25"},
        {"/%C3%A9", "/\xC3\xA9"},
        {"//a//", "//a//"},
        {"/a.b/..c/d../...", "/a.b/..c/d../..."},
        {"/;a=b", "/;a=b"},
        {"", NULL},
        {"a", NULL},
        {"%2Fa", NULL},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%4g", NULL},
        {"/%%41", NULL},
        {"/%00", NULL},
        {"/%1f", NULL},
        {"/%7f", NULL},
        {"/%c2%9f", NULL},
        {"/%c3", NULL},
        {"/%f5%80%80%80", NULL},
        {"/%ed%a0%80", NULL},
        {"/a%2fb", NULL},
        {"/a\\b", NULL},
        {"/%5c", NULL},
        {"/.", NULL},
        {"/..", NULL},
        {"/a/./b", NULL},
        {"/a/%2e", NULL},
        {"/a/.%2E/b", NULL},
        {"//../a", NULL},
    };
    struct buf out = {0};
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        why = NULL;
        if (http_target_path(rows[i].raw, strlen(rows[i].raw), &out, &why) == ERR_ok) {
            assert_non_null(rows[i].path);
            assert_string_equal(out.data, rows[i].path);
        } else if (rows[i].path || !why)
            fail_msg("%s was refused: %s", rows[i].raw, why);
    }
    buf_cleanup(&out);
}

static void test_query(void **state)
{
    static const struct {
        const char *query;
        const char *name;
        const char *value; /* NULL: absent */
    } rows[] = {
        {"", "a", NULL},
        {"a", "a", ""},
        {"a=", "a", ""},
        {"a=1", "a", "1"},
        {"b=2&a=1", "a", "1"},
        {"a=1&a=2", "a", "1"},
        {"aa=1", "a", NULL},
        {"a=1", "aa", NULL},
        {"A=1", "a", NULL},
        {"&&a=1&", "a", "1"},
        {"=1", "", "1"},
        {"&=", "", ""},
        {"&&", "", NULL},
        {"a+b=c+d", "a b", "c d"},
        {"%61=%2B", "a", "+"},
        {"a=%26b=1", "b", NULL},
        {"a=b=c", "a", "b=c"},
        {"a=%C3%A9", "a", "\xC3\xA9"},
        {"user_metadata['k']=x", "user_metadata['k']", "x"},
    };
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out = {0};
        assert_int_equal(http_target_check_query(rows[i].query, &why), ERR_ok);
        if (http_target_find(rows[i].query, rows[i].name, &out)) {
            assert_non_null(rows[i].value);
            assert_string_equal(out.data ? out.data : "", rows[i].value);
        } else if (rows[i].value)
            fail_msg("%s: no %s", rows[i].query, rows[i].name);
        buf_cleanup(&out);
    }
}

static void test_query_refused(void **state)
{
    static const char *const bad[] = {"a=%",        "a=%4",         "%zz=1",    "a=%00",
                                      "a=%0a",      "a=%7F",        "a=%ff",    "a=%e2%82",
                                      "%e2=%82%ac", "a=%e2&%82%ac", "a=%c2%80", "a=\x80"};
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (http_target_check_query(bad[i], &why) != ERR_bad_query)
            fail_msg("%s was taken", bad[i]);
}

static void test_host(void **state)
{
    static const char *const good[] = {"a",      "a.b-c_d", "127.0.0.1:80", "[::1]", "[::ffff:1.2.3.4]:65535",
                                       "xn--a:1"};
    static const char *const bad[] = {"",       ":80", "a:",  "a:b",  "a:123456", "a:1:2",
                                      "a b",    "a/b", "a@b", "[::1", "[]",       "[g]",
                                      "[::1]x", "::1", "a,b", "a%41", "\xC3\xA9"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!http_target_is_host(good[i], strlen(good[i])))
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (http_target_is_host(bad[i], strlen(bad[i])))
            fail_msg("%s was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_refused),
        cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
