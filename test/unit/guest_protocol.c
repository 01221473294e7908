/* guest_protocol.c: what the worker and a microVM's init say to each other: strict both ways, whole lines out
 * of any pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/guest/protocol.h"
/* links: worker/guest/protocol.c */

static int parse(const char *text, struct guest_message *out)
{
    static char line[GUEST_LINE_MAX + 2];
    size_t length = strlen(text);

    memcpy(line, text, length + 1);
    return guest_message_parse(line, length, out);
}

static void test_messages(void **state)
{
    struct guest_message m;

    (void)state;
    assert_int_equal(parse("booted", &m), 0);
    assert_string_equal(m.word, "booted");
    assert_int_equal(m.count, 0);
    assert_null(guest_message_get(&m, "why"));
    assert_int_equal(parse("ready entropy_ms=0.12 note=a=b why=x", &m), 0);
    assert_int_equal(m.count, 3);
    assert_string_equal(guest_message_get(&m, "entropy_ms"), "0.12");
    assert_string_equal(guest_message_get(&m, "note"), "a=b");
    assert_string_equal(guest_message_get(&m, "why"), "x");
}

static void test_no_messages(void **state)
{
    static const char *const wrong[] = {
        "",          " ",           "Ready",     "ready ",   "ready  a=b",    " ready",       "ready a",
        "ready =b",  "ready a=",    "ready A=b", "ready\tx", "ready a=b a=c", "ready a=\x7f", "ready a=\x80",
        "r\xc3\xa9", "ready a=b\r", "ready a=b "};
    struct guest_message m;
    char text[GUEST_LINE_MAX + 1];
    char nul[] = "ready a=b";
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (parse(wrong[i], &m) != -1)
            fail_msg("accepted: \"%s\"", wrong[i]);
    nul[6] = '\0';
    assert_int_equal(guest_message_parse(nul, sizeof(nul) - 1, &m), -1);
    used = (size_t)snprintf(text, sizeof(text), "ready");
    for (int i = 0; i <= GUEST_FIELDS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, " k%d=v", i);
    assert_int_equal(parse(text, &m), -1);
    *strrchr(text, ' ') = '\0';
    assert_int_equal(parse(text, &m), 0);
    memset(text, 'a', GUEST_LINE_MAX);
    text[GUEST_LINE_MAX] = '\0';
    assert_int_equal(parse(text, &m), -1);
}

static struct guest_restore somebody(void)
{
    struct guest_restore r;

    memset(&r, 0, sizeof(r));
    r.address.s_addr = htonl(0xac1fff02);
    r.gateway.s_addr = htonl(0xac1fff01);
    r.dns.s_addr = htonl(0xac1fff01);
    r.prefix = 30;
    memcpy(r.mac, "\x52\x54\x00\x01\x02\xff", 6);
    strcpy(r.hostname, "berth-7");
    strcpy(r.id, "0123456789abcdef0123456789abcdef");
    r.time_ns = 1764000000123456789U;
    r.fresh_renderer = 1;
    r.entropy_size = GUEST_ENTROPY_MAX;
    for (size_t i = 0; i < r.entropy_size; i++)
        r.entropy[i] = (unsigned char)(i * 7);
    return r;
}

static void test_restore_there_and_back(void **state)
{
    struct guest_restore r = somebody(), back;
    struct guest_message m;
    char line[GUEST_LINE_MAX + 1];
    const char *why = NULL;
    int n = guest_restore_format(&r, line, sizeof(line));

    (void)state;
    assert_true(n > 0 && line[n - 1] == '\n' && line[n] == '\0');
    assert_int_equal(guest_message_parse(line, (size_t)n - 1, &m), 0);
    assert_string_equal(m.word, GUEST_RESTORE);
    assert_int_equal(guest_restore_parse(&m, &back, &why), 0);
    assert_memory_equal(&r, &back, sizeof(r));
}

static void test_restore_that_makes_no_line(void **state)
{
    char line[GUEST_LINE_MAX + 1];
    struct guest_restore r = somebody();

    (void)state;
    assert_int_equal(guest_restore_format(&r, line, 64), -1);
    strcpy(r.hostname, "a b");
    assert_int_equal(guest_restore_format(&r, line, sizeof(line)), -1);
    r = somebody();
    r.entropy_size = GUEST_ENTROPY_MIN - 1;
    assert_int_equal(guest_restore_format(&r, line, sizeof(line)), -1);
    r = somebody();
    r.id[3] = 'G';
    assert_int_equal(guest_restore_format(&r, line, sizeof(line)), -1);
    r = somebody();
    r.mac[0] = 1;
    assert_int_equal(guest_restore_format(&r, line, sizeof(line)), -1);
}

/* Every field left out, and every field with values that are wrong. */
static void test_restore_refused(void **state)
{
    static const struct {
        const char *key, *wrong[5];
    } cases[] = {
        {"address", {"1.2.3", "1.2.3.4.5", "::1", "x", "1.2.3.256"}},
        {"prefix", {"0", "33", "-1", "2x", "99999999999999999999999"}},
        {"gateway", {"1.2.3", "gw", "1.2.3.4/5", "256.0.0.1", "1..2.3"}},
        {"mac",
         {"52:54:00:01:02", "52:54:00:01:02:0g", "52-54-00-01-02-03", "01:00:5e:00:00:01", "525400010203"}},
        {"hostname", {"UPPER", "a.b", "-a", "a_b", "a/b"}},
        {"time_ns", {"-1", "1.5", "9223372036854775808", "99999999999999999999", "0x10"}},
        {"entropy", {"00", "zz", "0", "ABCD", "-"}},
        {"id",
         {"0", "0123456789abcdef0123456789abcdeg", "0123456789ABCDEF0123456789abcdef", "-",
          "0123456789abcdef0123456789abcdef0"}},
    };
    struct guest_restore r = somebody(), out;
    char good[GUEST_LINE_MAX + 1], line[2 * GUEST_LINE_MAX];
    int n = guest_restore_format(&r, good, sizeof(good));
    struct guest_message m;

    (void)state;
    assert_true(n > 0);
    good[n - 1] = '\0';
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char find[32];
        const char *why = NULL;
        snprintf(find, sizeof(find), " %s=", cases[i].key);
        const char *at = strstr(good, find), *end = at + 1 + strcspn(at + 1, " ");
        for (int k = -1; k < 5; k++) {
            snprintf(line, sizeof(line), "%.*s%s%s%s", (int)(at - good), good, k < 0 ? "" : find,
                     k < 0 ? "" : cases[i].wrong[k], end);
            assert_int_equal(parse(line, &m), 0);
            if (guest_restore_parse(&m, &out, &why) != -1)
                fail_msg("accepted %s %s", cases[i].key, k < 0 ? "left out" : cases[i].wrong[k]);
            assert_non_null(why);
        }
    }
    const char *why = NULL;
    snprintf(line, sizeof(line), "%s unknown=1", good);
    assert_int_equal(parse(line, &m), 0);
    assert_int_equal(guest_restore_parse(&m, &out, &why), -1);
}

static void test_values(void **state)
{
    char out[16];

    (void)state;
    guest_value("no page: \xc3\xa9\n", out, sizeof(out));
    assert_string_equal(out, "no_page:____");
    guest_value("", out, sizeof(out));
    assert_string_equal(out, "-");
    guest_value("0123456789abcdefgh", out, sizeof(out));
    assert_string_equal(out, "0123456789abcde");
}

static void feed(struct guest_lines *l, const char *data, size_t size)
{
    size_t room;
    char *at = guest_lines_room(l, &room);

    assert_true(size <= room);
    memcpy(at, data, size);
    guest_lines_added(l, size);
}

static void test_lines_in_pieces(void **state)
{
    static const char stream[] = "one a=1\ntwo\n\nthree b=2\n";
    static const char *const want[] = {"one a=1", "two", "", "three b=2"};

    (void)state;
    for (size_t piece = 1; piece <= sizeof(stream) - 1; piece++) {
        struct guest_lines l = {0};
        size_t n = 0, length;
        for (size_t at = 0; at < sizeof(stream) - 1; at += piece) {
            size_t left = sizeof(stream) - 1 - at;
            char *line;
            feed(&l, stream + at, left < piece ? left : piece);
            while ((line = guest_lines_next(&l, &length))) {
                assert_true(n < 4 && length == strlen(want[n]));
                assert_memory_equal(line, want[n], length);
                n++;
            }
            assert_int_equal(length, 0);
        }
        assert_int_equal(n, 4);
    }
}

static void test_line_too_long(void **state)
{
    struct guest_lines l = {0};
    char data[GUEST_LINE_MAX];
    size_t length;

    (void)state;
    memset(data, 'a', sizeof(data));
    feed(&l, data, sizeof(data) - 1);
    assert_null(guest_lines_next(&l, &length));
    assert_int_equal(length, 0);
    feed(&l, data, 1);
    assert_null(guest_lines_next(&l, &length));
    assert_true(length == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_no_messages),
        cmocka_unit_test(test_restore_there_and_back),
        cmocka_unit_test(test_restore_that_makes_no_line),
        cmocka_unit_test(test_restore_refused),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_lines_in_pieces),
        cmocka_unit_test(test_line_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
