/* buf.c: growing, consuming, JSON strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"

static void grows_and_stays_terminated(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_add(&b, NULL, 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++) {
        buf_add(&b, "ab\0d", 4);
        assert_int_equal(b.len, 4 * (i + 1));
        assert_int_equal(b.data[b.len], 0);
        assert_true(b.cap > b.len);
    }
    assert_memory_equal(b.data + 3996, "ab\0d", 5);
    buf_cleanup(&b);
    assert_null(b.data);
    buf_adds(&b, "again");
    assert_string_equal(b.data, "again");
    buf_cleanup(&b);
    buf_cleanup(&b);
}

static void reserves(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_reserve(&b, 1000);
    assert_true(b.cap > 1000);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_cleanup(&b);
}

static void formats_at_every_length(void **state)
{
    struct buf b = {0};
    char text[300];

    (void)state;
    for (int n = 0; n < 300; n++) {
        memset(text, 'x', sizeof(text));
        text[n] = '\0';
        b.len = 0;
        buf_addf(&b, "%s-%d", text, n);
        assert_true(b.len > (size_t)n);
        assert_int_equal(strlen(b.data), b.len);
        assert_int_equal(atoi(b.data + n + 1), n);
        if (n % 7 == 0)
            buf_cleanup(&b);
    }
    buf_cleanup(&b);
}

static void consumes(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_consume(&b, 0);
    buf_adds(&b, "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(b.data, "cdef");
    buf_consume(&b, 0);
    assert_int_equal(b.len, 4);
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_cleanup(&b);
}

static void takes(void **state)
{
    struct buf b = {0};
    char *s = buf_take(&b);

    (void)state;
    assert_string_equal(s, "");
    free(s);
    buf_adds(&b, "word");
    s = buf_take(&b);
    assert_string_equal(s, "word");
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    free(s);
}

static void check_json(const char *in, const char *expected)
{
    struct buf b = {0};

    buf_adds(&b, "<");
    buf_add_json_string(&b, in);
    assert_string_equal(b.data + 1, expected);
    assert_int_equal(strlen(b.data), b.len);
    buf_cleanup(&b);
}

#define U "\xEF\xBF\xBD"

static void writes_json_strings(void **state)
{
    (void)state;
    check_json(NULL, "null");
    check_json("", "\"\"");
    check_json("plain", "\"plain\"");
    check_json("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    check_json("\n\r\t\x01\x1f\x7f", "\"\\n\\r\\t\\u0001\\u001f\\u007f\"");
    check_json("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
               "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
    check_json("\"\"", "\"\\\"\\\"\"");
    /* not UTF-8: stray, cut off, overlong, surrogate, too large */
    check_json("\x80", "\"" U "\"");
    check_json("a\xc3", "\"a" U "\"");
    check_json("\xc3(b", "\"" U "(b\"");
    check_json("\xc0\xaf", "\"" U U "\"");
    check_json("\xe0\x80\xaf", "\"" U U U "\"");
    check_json("\xed\xa0\x80", "\"" U U U "\"");
    check_json("\xf4\x90\x80\x80", "\"" U U U U "\"");
    check_json("\xff\xfe", "\"" U U "\"");
    check_json("\xf0\x9f\x98", "\"" U U U "\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(reserves),
        cmocka_unit_test(formats_at_every_length),
        cmocka_unit_test(consumes),
        cmocka_unit_test(takes),
        cmocka_unit_test(writes_json_strings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
