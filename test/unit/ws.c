/* ws.c: the accept key, control frames, frame boundaries in a stream cut anywhere, close codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/ws.h"

static void test_accept_key(void **state)
{
    char out[29];

    (void)state;
    ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", out); /* RFC 6455 §1.3 */
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_control(void **state)
{
    struct buf out = {0};
    unsigned char *frame;
    char big[125];

    (void)state;
    ws_add_control(&out, WS_OP_PING, "hi", 2, 0);
    assert_memory_equal(out.data, "\x89\x02hi", 4);
    assert_int_equal(out.len, 4);
    out.len = 0;
    ws_add_control(&out, WS_OP_PONG, NULL, 0, 0);
    assert_memory_equal(out.data, "\x8A\x00", 2);
    out.len = 0;
    memset(big, 'x', sizeof(big));
    ws_add_control(&out, WS_OP_PING, big, sizeof(big), 1);
    assert_int_equal(out.len, 2 + 4 + 125);
    frame = (unsigned char *)out.data;
    assert_int_equal(frame[1], 0x80 | 125);
    for (size_t i = 0; i < 125; i++)
        assert_int_equal(frame[6 + i] ^ frame[2 + i % 4], 'x');
    buf_cleanup(&out);
}

static void test_close(void **state)
{
    struct buf out = {0};
    char text[200];

    (void)state;
    ws_add_close(&out, 4001, "session ended: timeout", 0);
    assert_memory_equal(out.data, "\x88\x18\x0F\xA1session ended: timeout", 26);
    /* cut between characters: 122 bytes and a character of three do not fit in 123 */
    memset(text, 'a', 122);
    snprintf(text + 122, sizeof(text) - 122, "%s", "\xE2\x82\xAC and more");
    out.len = 0;
    ws_add_close(&out, 1000, text, 0);
    assert_int_equal(out.len, 2 + 2 + 122);
    text[121] = '\0';
    snprintf(text + 120, sizeof(text) - 120, "%s", "\xE2\x82\xAC and more");
    out.len = 0;
    ws_add_close(&out, 1000, text, 0);
    assert_int_equal(out.len, 2 + 2 + 123);
    assert_memory_equal(out.data + out.len - 3, "\xE2\x82\xAC", 3);
    buf_cleanup(&out);
}

/* Feeds data in pieces of at most `step` bytes and writes what was seen as text: "1[5] 1. 9[0]." */
static int follow(const uint8_t *data, size_t len, size_t step, struct ws_scan *s, char *seen, size_t size)
{
    struct ws_piece piece;
    size_t at = 0;
    char *end = seen;

    *seen = '\0';
    while (at < len) {
        size_t n = step < len - at ? step : len - at;
        while (n > 0) {
            const long used = ws_scan_next(s, data + at, n, &piece);
            if (used < 0)
                return -1;
            assert_true(used > 0 && (size_t)used <= n);
            if (piece.starts)
                end += snprintf(end, size - (size_t)(end - seen), "%x[%llu]", (unsigned)piece.opcode,
                                (unsigned long long)piece.payload_len);
            if (piece.ends)
                end += snprintf(end, size - (size_t)(end - seen), ".");
            at += (size_t)used;
            n -= (size_t)used;
        }
    }
    return 0;
}

static void test_scan(void **state)
{
    static const char head_long[] = "\x82\xFE\x01\x00mask";
    static const char head_huge[] = "\x82\x7F\x00\x00\x00\x00\x00\x01\x11\x70";
    struct buf stream = {0};
    struct ws_scan s;
    char seen[200];

    (void)state;
    buf_add(&stream, "\x81\x05hello\x89\x00\x01\x82\x01\x02\x03\x04xx\x80\x01z\x88\x02\x03\xE8", 24);
    buf_add(&stream, head_long, 8);
    for (int i = 0; i < 256; i++)
        buf_add(&stream, "l", 1);
    buf_add(&stream, head_huge, 10);
    for (int i = 0; i < 70000; i++)
        buf_add(&stream, "h", 1);
    for (size_t step = 1; step < 80000; step = step * 3 + 1) {
        memset(&s, 0, sizeof(s));
        assert_int_equal(follow((const uint8_t *)stream.data, stream.len, step, &s, seen, sizeof(seen)), 0);
        assert_string_equal(seen, "1[5].9[0].1[2].0[1].8[2].2[256].2[70000].");
        assert_true(ws_scan_at_boundary(&s));
    }
    memset(&s, 0, sizeof(s));
    assert_int_equal(follow((const uint8_t *)stream.data, 3, 3, &s, seen, sizeof(seen)), 0);
    assert_false(ws_scan_at_boundary(&s));
    memset(&s, 0, sizeof(s));
    assert_int_equal(follow((const uint8_t *)stream.data, 1, 1, &s, seen, sizeof(seen)), 0);
    assert_false(ws_scan_at_boundary(&s));
    buf_cleanup(&stream);
}

static void test_scan_mask_key(void **state)
{
    struct ws_scan s = {0};
    struct ws_piece piece;

    (void)state;
    assert_int_equal(ws_scan_next(&s, (const uint8_t *)"\x81\x83wxyzabc", 9, &piece), 6);
    assert_true(s.masked && s.fin && piece.starts && !piece.ends);
    assert_memory_equal(s.mask_key, "wxyz", 4);
    assert_int_equal(ws_scan_next(&s, (const uint8_t *)"abc", 3, &piece), 3);
    assert_true(!piece.starts && piece.ends && piece.opcode == WS_OP_TEXT);
    assert_int_equal(ws_scan_next(&s, NULL, 0, &piece), 0);
}

static void test_scan_errors(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } rows[] = {
        {"\x83\x00", 2}, /* reserved opcodes */
        {"\x87\x00", 2},
        {"\x8B\x00", 2},
        {"\x8F\x00", 2},
        {"\x09\x00", 2},                                  /* a fragmented ping */
        {"\x88\x7E\x00\x7E", 4},                          /* a close of 126 bytes */
        {"\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x00", 10}, /* 2^63 bytes */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t step = 1; step <= 16; step += 15) {
            struct ws_scan s = {0};
            char seen[64];
            assert_int_equal(follow((const uint8_t *)rows[i].data, rows[i].len, step, &s, seen, sizeof(seen)),
                             -1);
        }
}

static void test_reasons(void **state)
{
    static const char *const reasons[] = {"released",    "timeout",       "idle",         "disconnected",
                                          "cancelled",   "queue_timeout", "start_failed", "browser_crashed",
                                          "worker_lost", "drained"};

    (void)state;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        assert_true(ws_close_code(reasons[i]) == 1000 || ws_close_code(reasons[i]) / 1000 == 4);
        assert_string_equal(strrchr(ws_close_text(reasons[i]), ' ') + 1, reasons[i]);
    }
    assert_int_equal(ws_close_code("timeout"), 4001);
    assert_int_equal(ws_close_code("other"), 1011);
    assert_int_equal(ws_close_code(NULL), 1011);
    assert_string_equal(ws_close_text(NULL), "session ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_key),    cmocka_unit_test(test_control),
        cmocka_unit_test(test_close),         cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_mask_key), cmocka_unit_test(test_scan_errors),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
