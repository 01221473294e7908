/* json.c: what json_parse takes and what it refuses, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/json.h"

static const struct {
    const char *text;
    const char *printed; /* NULL: refused */
    const char *err;     /* begins with */
} rows[] = {
    {"{}", "{}", NULL},
    {" \t\r\n[ ] ", "[]", NULL},
    {"true", "true", NULL},
    {"\"x\"", "\"x\"", NULL},
    {"-0", "-0", NULL},
    {"[1,2.5,-3e2,1E+2,0.1]", "[1,2.5,-300,100,0.1]", NULL},
    {"{\"a\":{\"a\":[{\"a\":null}]},\"b\":false}", "{\"a\":{\"a\":[{\"a\":null}]},\"b\":false}", NULL},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"",
     "\"\\\"\\\\/\\b\\f\\n\\r\\t\xC3\xA9\xF0\x9F\x98\x80\"", NULL},
    {"{\"\":1}", "{\"\":1}", NULL},
    {"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}", NULL},
    {"\"\xEF\xBF\xBF\"", "\"\xEF\xBF\xBF\"", NULL},

    {"", NULL, "the text ends early at byte 0"},
    {"  ", NULL, "the text ends early at byte 2"},
    {"\xEF\xBB\xBF{}", NULL, "bad number at byte 0"},
    {"{} x", NULL, "something follows the value at byte 3"},
    {"1 2", NULL, "something follows the value at byte 2"},
    {"{}{}", NULL, "something follows the value at byte 2"},
    {"{", NULL, "a string is missing at byte 1"},
    {"{\"a\"}", NULL, "a colon is missing at byte 4"},
    {"{\"a\":}", NULL, "bad number at byte 5"},
    {"{\"a\":1,}", NULL, "a string is missing at byte 7"},
    {"{a:1}", NULL, "a string is missing at byte 1"},
    {"{'a':1}", NULL, "a string is missing at byte 1"},
    {"[1,]", NULL, "bad number at byte 3"},
    {"[1 2]", NULL, "a comma is missing at byte 3"},
    {"[1", NULL, "the text ends early at byte 2"},
    {"]", NULL, "bad number at byte 0"},
    {"tru", NULL, "unknown word at byte 0"},
    {"nul", NULL, "unknown word at byte 0"},
    {"True", NULL, "bad number at byte 0"},
    {"NaN", NULL, "bad number at byte 0"},
    {"Infinity", NULL, "bad number at byte 0"},
    {"/* c */1", NULL, "bad number at byte 0"},
    {"01", NULL, "something follows the value at byte 1"},
    {"+1", NULL, "bad number at byte 0"},
    {".5", NULL, "bad number at byte 0"},
    {"1.", NULL, "bad number at byte 2"},
    {"1e", NULL, "bad number at byte 2"},
    {"-", NULL, "bad number at byte 1"},
    {"0x10", NULL, "something follows the value at byte 1"},
    {"1e999", NULL, "number out of range"},
    {"-1e999", NULL, "number out of range"},
    {"1111111111111111111111111111111111111111111111111111111111111111", NULL, "number with too many digits"},
    {"\"abc", NULL, "a string is not closed at byte 4"},
    {"\"a\nb\"", NULL, "control character in a string at byte 2"},
    {"\"\\x\"", NULL, "bad escape at byte 2"},
    {"\"\\", NULL, "bad escape at byte 2"},
    {"\"\\u12g4\"", NULL, "bad \\u escape at byte 5"},
    {"\"\\u12", NULL, "bad \\u escape at byte 5"},
    {"\"\\u0000\"", NULL, "NUL in a string"},
    {"{\"a\\u0000b\":1}", NULL, "NUL in a string"},
    {"\"\\ud800\"", NULL, "lone surrogate"},
    {"\"\\ud800\\u0041\"", NULL, "lone surrogate"},
    {"\"\\ud800\\ud800\"", NULL, "lone surrogate"},
    {"\"\\udc00\"", NULL, "lone surrogate"},
    {"\"\xFF\"", NULL, "invalid UTF-8 at byte 1"},
    {"\"\xC0\x80\"", NULL, "invalid UTF-8 at byte 1"},
    {"\"\xED\xA0\x80\"", NULL, "invalid UTF-8 at byte 1"},
    {"\"\xE2\x82", NULL, "invalid UTF-8 at byte 1"},
    {"{\"a\":1,\"a\":1}", NULL, "duplicate key \"a\""},
    {"{\"a\":1,\"\\u0061\":1}", NULL, "duplicate key \"a\""},
    {"[[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]]", NULL, "duplicate key \"k\""},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"a\":1}", NULL,
     "duplicate key \"a\""},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const size_t len = strlen(rows[i].text);
        char *exact =
            malloc(len ? len : 1); /* no NUL behind it: a read beyond the end is seen by a sanitizer */
        char err[128] = "", *printed;
        cJSON *v;

        memcpy(exact, rows[i].text, len);
        v = json_parse(exact, len, err, sizeof(err));
        if (rows[i].printed) {
            if (!v)
                fail_msg("%s: %s", rows[i].text, err);
            printed = json_print(v);
            assert_string_equal(printed, rows[i].printed);
            free(printed);
        } else if (v || strncmp(err, rows[i].err, strlen(rows[i].err)) != 0)
            fail_msg("%s: wanted \"%s\", got %s \"%s\"", rows[i].text, rows[i].err, v ? "a value" : "", err);
        cJSON_Delete(v);
        free(exact);
    }
}

static void test_nul_byte(void **state)
{
    char err[128];

    (void)state;
    assert_null(json_parse("{}\0", 3, err, sizeof(err)));
    assert_null(json_parse("\"a\0b\"", 5, err, sizeof(err)));
}

static void test_depth(void **state)
{
    struct buf text = {0};
    char err[128];
    cJSON *v;

    (void)state;
    for (int depth = 32; depth <= 33; depth++) {
        text.len = 0;
        for (int i = 0; i < depth; i++)
            buf_adds(&text, "[");
        for (int i = 0; i < depth; i++)
            buf_adds(&text, "]");
        v = json_parse(text.data, text.len, err, sizeof(err));
        assert_int_equal(v != NULL, depth == 32);
        cJSON_Delete(v);
    }
    text.len = 0;
    for (int i = 0; i < 100000; i++)
        buf_adds(&text, "{\"a\":[");
    assert_null(json_parse(text.data, text.len, err, sizeof(err)));
    assert_string_equal(err, "nested too deep at byte 96");
    buf_cleanup(&text);
}

/* 50,000 keys, the last twice: pairwise comparison would be felt. */
static void test_many_keys(void **state)
{
    struct buf text = {0};
    char err[128];
    cJSON *v;

    (void)state;
    buf_adds(&text, "{");
    for (int i = 0; i < 50000; i++)
        buf_addf(&text, "\"key%d\":%d,", i, i);
    buf_adds(&text, "\"key49999\":0}");
    assert_null(json_parse(text.data, text.len, err, sizeof(err)));
    assert_string_equal(err, "duplicate key \"key49999\"");
    text.data[text.len - 5] = 'x';
    v = json_parse(text.data, text.len, err, sizeof(err));
    assert_non_null(v);
    cJSON_Delete(v);
    buf_cleanup(&text);
}

static void test_hostile_key_is_shown_safely(void **state)
{
    char err[128];

    (void)state;
    assert_null(json_parse("{\"\\n\\u001b\":1,\"\\n\\u001b\":1}", 27, err, sizeof(err)));
    assert_string_equal(err, "duplicate key \"\\n\\u001b\"");
    assert_null(json_parse("{\"0123456789012345678901234567890123456789xyz\":1,"
                           "\"0123456789012345678901234567890123456789xyz\":1}",
                           97, err, sizeof(err)));
    assert_string_equal(err, "duplicate key \"0123456789012345678901234567890123456789…\"");
    assert_null(json_parse("[", 1, err, 4)); /* a small buffer is not overrun */
    assert_string_equal(err, "the");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_hostile_key_is_shown_safely),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
