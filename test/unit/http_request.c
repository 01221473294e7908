/* links: test/support/http_fixture.c test/support/http_client.c */
/* http_request.c: what clients ask for, right and wrong, whole and in pieces: taken or refused, the
 * connection kept or closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "shared/log.h"
#include "test/support/http_client.h"
#include "test/support/http_fixture.h"

enum after { KEPT, CLOSED };

static const struct row {
    const char *name;
    const char *raw;
    const char *statuses;
    enum after after;
    const char *text; /* somewhere in the replies; NULL: whatever */
} rows[] = {
    /* what is right */
    {"plain", GET, "200", KEPT, "\"path\":\"/now\""},
    {"says how long it is kept", GET, "200", KEPT, "Keep-Alive: timeout=60\r\n"},
    {"head has no body", HEAD("HEAD /nothing"), "200", KEPT, "Content-Length: "},
    {"two blank lines before", "\r\n\r\n" GET, "200", KEPT, NULL},
    {"length", POST "Content-Length: 5\r\n\r\nhello", "200", KEPT, "\"body\":\"hello\""},
    {"length zero", POST "Content-Length: 0\r\n\r\n", "200", KEPT, "\"body\":\"\""},
    {"post without length", POST "\r\n", "200", KEPT, "\"body\":\"\""},
    {"get with body", "GET /now HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "200", KEPT,
     "\"body\":\"hi\""},
    {"chunks", CHUNKED "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n", "200", KEPT, "\"body\":\"hello world\""},
    {"trailers", CHUNKED "1\r\na\r\n0\r\nX: 1\r\nHost: evil\r\n\r\n", "200", KEPT, "\"x\":null"},
    {"body at limit", POST "Content-Length: 2000\r\n\r\n" X2000, "200", KEPT, NULL},
    {"pipelined", GET POST "Content-Length: 2\r\n\r\nhi" CHUNKED "1\r\na\r\n0\r\n\r\n" GET, "200 200 200 200",
     KEPT, "\"hi\""},
    {"close", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200", CLOSED,
     "Connection: close"},
    {"close and more", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET, "200", CLOSED, NULL},
    {"close among tokens", "GET /now HTTP/1.1\r\nHost: h\r\nConnection: foo, close\r\n\r\n", "200", CLOSED,
     NULL},
    {"1.0", "GET /now HTTP/1.0\r\n\r\n", "200", CLOSED, "Connection: close"},
    {"1.0 kept", "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200", KEPT,
     "Connection: keep-alive"},
    {"absolute form", "GET http://real:80/now?q=1 HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT,
     "\"host\":\"real:80\""},
    {"absolute form, no path", "GET https://real HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT, "\"path\":\"/\""},
    {"absolute form, query alone", "GET http://real?q=z HTTP/1.1\r\nHost: h\r\n\r\n", "200", KEPT,
     "\"q\":\"z\""},
    {"options star", HEAD("OPTIONS *"), "204", KEPT, "Allow: "},
    {"options", HEAD("OPTIONS /now"), "200", KEPT, "\"OPTIONS\""},
    {"delete, patch, put", HEAD("DELETE /a") HEAD("PATCH /a") HEAD("PUT /a"), "200 200 200", KEPT,
     "\"PATCH\""},
    {"no upgrade but h2c",
     "GET /now HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" GET,
     "200 200", KEPT, NULL},
    {"header joined", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\r\nx:  b \t\r\nX:\r\n\r\n", "200", KEPT,
     "\"x\":\"a, b, \""},
    {"header utf-8", "GET /now HTTP/1.1\r\nHost: h\r\nX: \xC3\xA9\r\n\r\n", "200", KEPT,
     "\"x\":\"\xC3\xA9\""},
    {"colons in a value", "GET /now HTTP/1.1\r\nHost: h\r\nX::a:b\r\n\r\n", "200", KEPT, "\"x\":\":a:b\""},
    {"host with port", "GET /now HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n", "200", KEPT,
     "\"host\":\"[::1]:3000\""},
    {"204", HEAD("GET /204"), "204", KEPT, NULL},
    {"request id taken", "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: abc-1\r\n\r\n", "200", KEPT,
     "X-Request-Id: abc-1\r\n"},
    {"path decoded", HEAD("GET /a%20b/%C3%a9?q=1"), "200", KEPT, "\"path\":\"/a b/\xC3\xA9\""},
    {"path decoded once", HEAD("GET /%252e%252e/x"), "200", KEPT, "\"path\":\"/%2e%2e/x\""},
    {"dots in names", HEAD("GET /.../..a/a.."), "200", KEPT, "\"path\":\"/.../..a/a..\""},
    {"two slashes stay", HEAD("GET //now"), "200", KEPT, "\"path\":\"//now\""},
    {"query", HEAD("GET /now?a=b&q=x+y%2B%26&q=2"), "200", KEPT, "\"q\":\"x y+&\""},
    {"query name encoded", HEAD("GET /now?%71=1"), "200", KEPT, "\"q\":\"1\""},
    {"query empty", HEAD("GET /now?q"), "200", KEPT, "\"q\":\"\""},
    {"query absent", HEAD("GET /now?&&qq=1&=q"), "200", KEPT, "\"q\":null"},
    {"query with equals", HEAD("GET /now?q=a=b?c/d"), "200", KEPT, "\"q\":\"a=b?c/d\""},
    /* malformed heads */
    {"garbage", "garbage\r\n\r\n", "400", CLOSED, "bad_request"},
    {"tls", "\x16\x03\x01\x02", "400", CLOSED, "bad_request"},
    {"0.9", "GET /now\r\n\r\n", "400", CLOSED, "bad_request"},
    {"1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505", CLOSED, "http_version"},
    {"2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505", CLOSED, "http_version"},
    {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", CLOSED, "http_version"},
    {"rtsp", "GET / RTSP/1.0\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"unknown method", HEAD("BREW /now"), "501", CLOSED, "not_implemented"},
    {"trace", HEAD("TRACE /now"), "501", CLOSED, "not_implemented"},
    {"connect", HEAD("CONNECT a:1"), "501", CLOSED, "not_implemented"},
    {"method case", HEAD("get /now"), "501", CLOSED, NULL},
    {"two spaces", "GET  /now HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"tab in line", "GET\t/now HTTP/1.1\r\nHost: h\r\n\r\n", "400", CLOSED, NULL},
    {"bare lf", "GET /now HTTP/1.1\nHost: h\n\n", "400", CLOSED, NULL},
    {"bare lf in headers", "GET /now HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", "400", CLOSED, NULL},
    {"bare cr", "GET /now HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "400", CLOSED, NULL},
    {"space before colon", "GET /now HTTP/1.1\r\nHost : h\r\n\r\n", "400", CLOSED, NULL},
    {"space in name", "GET /now HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n", "400", CLOSED, NULL},
    {"folded", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400", CLOSED, NULL},
    {"folded first", "GET /now HTTP/1.1\r\n Host: h\r\n\r\n", "400", CLOSED, NULL},
    {"no name", "GET /now HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", "400", CLOSED, NULL},
    {"no colon", "GET /now HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", "400", CLOSED, NULL},
    {"control in value", "GET /now HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", "400", CLOSED, NULL},
    {"no host", "GET /now HTTP/1.1\r\n\r\n", "400", CLOSED, "Host"},
    {"two hosts", "GET /now HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", "400", CLOSED, "Host"},
    {"bad host", "GET /now HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", CLOSED, "Host"},
    {"host with user", "GET /now HTTP/1.1\r\nHost: a@b\r\n\r\n", "400", CLOSED, "Host"},
    {"host with bad port", "GET /now HTTP/1.1\r\nHost: a:b\r\n\r\n", "400", CLOSED, "Host"},
    {"empty host", "GET /now HTTP/1.1\r\nHost:\r\n\r\n", "400", CLOSED, "Host"},
    {"target too long", "GET /" X500 X500 X100 " HTTP/1.1\r\nHost: h\r\n\r\n", "414", CLOSED, "uri_too_long"},
    {"target too long, endless", "GET /" X2000 X2000 X2000, "414", CLOSED, "uri_too_long"},
    {"head too large", "GET /now HTTP/1.1\r\nHost: h\r\nX: " X2000 X2000 X500 "\r\n\r\n", "431", CLOSED,
     "headers_too_large"},
    {"head too large, endless", "GET /now HTTP/1.1\r\nHost: h\r\nX" X2000 X2000 X2000, "431", CLOSED,
     "headers_too_large"},
    {"good, then bad", GET "bad\r\n\r\n" GET, "200 400", CLOSED, NULL},
    /* targets */
    {"no slash", HEAD("GET now"), "400", CLOSED, NULL},
    {"star", HEAD("GET *"), "400", CLOSED, NULL},
    {"authority", HEAD("GET h:80"), "400", CLOSED, NULL},
    {"other scheme", HEAD("GET ftp://h/now"), "400", CLOSED, NULL},
    {"absolute with user", HEAD("GET http://u@h/now"), "400", CLOSED, NULL},
    {"fragment", HEAD("GET /now#a"), "400", CLOSED, NULL},
    {"raw 8 bit", HEAD("GET /\xC3\xA9"), "400", CLOSED, NULL},
    {"encoded nul", HEAD("GET /a%00"), "400", CLOSED, NULL},
    {"encoded newline", HEAD("GET /a%0d%0a"), "400", CLOSED, NULL},
    {"encoded c1", HEAD("GET /a%C2%85"), "400", CLOSED, NULL},
    {"encoded bad utf-8", HEAD("GET /a%ff"), "400", CLOSED, NULL},
    {"overlong", HEAD("GET /%C0%AE"), "400", CLOSED, NULL},
    {"half encoding", HEAD("GET /a%2"), "400", CLOSED, NULL},
    {"not hex", HEAD("GET /a%zz"), "400", CLOSED, NULL},
    {"dot dot", HEAD("GET /a/../b"), "400", CLOSED, NULL},
    {"dot", HEAD("GET /./a"), "400", CLOSED, NULL},
    {"dot dot at the end", HEAD("GET /a/.."), "400", CLOSED, NULL},
    {"encoded dot dot", HEAD("GET /a/%2e%2E/b"), "400", CLOSED, NULL},
    {"encoded slash", HEAD("GET /a%2Fb"), "400", CLOSED, NULL},
    {"backslash", HEAD("GET /a\\b"), "400", CLOSED, NULL},
    {"encoded backslash", HEAD("GET /a%5Cb"), "400", CLOSED, NULL},
    {"query nul", HEAD("GET /now?q=%00"), "400", CLOSED, "bad_query"},
    {"query bad encoding", HEAD("GET /now?a=%q"), "400", CLOSED, "bad_query"},
    {"query bad utf-8", HEAD("GET /now?%e9=1"), "400", CLOSED, "bad_query"},
    {"query utf-8 cut", HEAD("GET /now?a=%e2%82&b=%ac"), "400", CLOSED, "bad_query"},
    /* bodies */
    {"length twice", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length list", POST "Content-Length: 2, 2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length sign", POST "Content-Length: +2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length negative", POST "Content-Length: -1\r\n\r\n", "400", CLOSED, NULL},
    {"length hex", POST "Content-Length: 0x2\r\n\r\nhi", "400", CLOSED, NULL},
    {"length empty", POST "Content-Length:\r\n\r\n", "400", CLOSED, NULL},
    {"length overflow", POST "Content-Length: 18446744073709551617\r\n\r\nh", "400", CLOSED, NULL},
    {"length and chunked", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400",
     CLOSED, NULL},
    {"chunked in 1.0", "POST /now HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", CLOSED,
     NULL},
    {"gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501", CLOSED, NULL},
    {"xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501", CLOSED, NULL},
    {"chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk size", CHUNKED "zz\r\n", "400", CLOSED, NULL},
    {"chunk size sign", CHUNKED "-1\r\n", "400", CLOSED, NULL},
    {"chunk size 0x", CHUNKED "0x1\r\na\r\n0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk size huge", CHUNKED "ffffffffffffffff1\r\n", "400", CLOSED, NULL},
    {"chunk without end", CHUNKED "1\r\naXX0\r\n\r\n", "400", CLOSED, NULL},
    {"chunk bare lf", CHUNKED "1\na\n0\n\n", "400", CLOSED, NULL},
    {"body too large", POST "Content-Length: 2001\r\n\r\n", "413", CLOSED, "body_too_large"},
    {"chunk too large", CHUNKED "7d1\r\n", "413", CLOSED, "body_too_large"},
    {"chunks too large", CHUNKED "7d0\r\n" X2000 "\r\n1\r\nx\r\n0\r\n\r\n", "413", CLOSED, "body_too_large"},
    {"chunk framing too large", CHUNKED "1;" X2000 X2000 X500 "\r\nx\r\n0\r\n\r\n", "413", CLOSED,
     "body_too_large"},
    {"unknown expectation", POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", "417", CLOSED,
     "expectation_failed"},
};

static void check_row(const struct row *row, size_t piece)
{
    struct http_client c;
    char statuses[128];
    const size_t len = strlen(row->raw);

    http_client_connect(&c);
    for (size_t at = 0; at < len; at += piece) {
        http_client_send(&c, row->raw + at, piece < len - at ? piece : len - at);
        if (piece < len)
            http_fixture_turn();
    }
    if (strcmp(row->name, "head has no body") == 0) { /* http_client_replies() cannot know */
        UNTIL(http_client_got(&c, "\r\n\r\n"));
        assert_int_equal(strlen(strstr(c.got.data, "\r\n\r\n")), 4);
        http_client_close(&c);
        return;
    }
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) >= (int)(strlen(row->statuses) + 1) / 4 ||
          http_client_ended(&c));
    if (strcmp(statuses, row->statuses) != 0 || (row->text && !strstr(c.got.data, row->text)))
        fail_msg("%s, %zu a piece: wanted %s with %s, got %s:\n%s", row->name, piece, row->statuses,
                 row->text ? row->text : "-", statuses, c.got.data);
    if (row->after == CLOSED) {
        UNTIL(http_client_ended(&c));
        if (c.eof != 1)
            fail_msg("%s, %zu a piece: the connection was reset", row->name, piece);
    } else {
        const int before = http_client_replies(&c, NULL, 0);
        http_client_say(&c, GET);
        UNTIL(http_client_replies(&c, NULL, 0) == before + 1 || http_client_ended(&c));
        if (c.eof || http_client_replies(&c, statuses, sizeof(statuses)) != before + 1)
            fail_msg("%s, %zu a piece: the connection was not kept", row->name, piece);
    }
    http_client_close(&c);
}

static void test_table(void **state)
{
    static const size_t pieces[] = {1 << 20, 1, 7};

    (void)state;
    for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            check_row(&rows[i], pieces[p]);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    assert_true(http_fixture.done > 100);
}

static void test_too_many_headers(void **state)
{
    struct http_client c;
    char statuses[32];

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 100; i++)
        http_client_say(&c, "a: b\r\n");
    http_client_say(&c, "\r\n");
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 1);
    assert_string_equal(statuses, "431");
    http_client_close(&c);
}

static void test_request_id_refused(void **state)
{
    struct http_client c;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: a b<script>\r\n\r\n");
    UNTIL(http_client_replies(&c, NULL, 0) == 1);
    assert_null(strstr(c.got.data, "script"));
    http_client_close(&c);
}

static void test_continue(void **state)
{
    struct http_client c;
    char statuses[32];

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, POST "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    UNTIL(http_client_got(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_int_equal(http_fixture.requests, 0);
    http_client_say(&c, "hi");
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 2);
    assert_string_equal(statuses, "100 200");
    /* the body came along: no need to ask for it */
    http_client_say(&c, POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 3);
    assert_string_equal(statuses, "100 200 200");
    /* nothing to wait for */
    http_client_say(&c, POST "Expect: 100-continue\r\n\r\n");
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 4);
    assert_string_equal(statuses, "100 200 200 200");
    /* no invitation to a body that will not be read */
    http_client_say(&c, POST "Expect: 100-continue\r\nContent-Length: 9999\r\n\r\n");
    UNTIL(http_client_replies(&c, statuses, sizeof(statuses)) == 5);
    assert_string_equal(statuses, "100 200 200 200 413");
    http_client_close(&c);
}

/* A client that sends on after an early refusal still reads the reply. */
static void test_refusal_is_read(void **state)
{
    struct http_client c;
    char statuses[32];

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, POST "Content-Length: 500000\r\n\r\n");
    for (int i = 0; i < 250; i++) {
        http_client_say(&c, X2000);
        http_fixture_turn();
    }
    UNTIL(http_client_ended(&c));
    assert_int_equal(http_client_replies(&c, statuses, sizeof(statuses)), 1);
    assert_string_equal(statuses, "413");
    assert_int_equal(c.eof, 1);
    http_client_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, http_fixture_setup, http_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_table),    T(test_too_many_headers), T(test_request_id_refused),
        T(test_continue), T(test_refusal_is_read),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
