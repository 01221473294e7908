/* links: worker/cdp_client.c worker/cdp_http.c test/support/fake_cdp.c */
/* cdp_client.c: calls and answers, events, every way a connection can fail to open or end, and being freed
 * from each callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "test/support/fake_cdp.h"
#include "worker/cdp_client.h"

static struct fake_cdp browser;
static struct cdp_client *client;
static int opened, closed, events, replies, failures;
static char why_closed[200], last[200], last_error[200];
static enum { NEVER, ON_OPEN, ON_REPLY, ON_EVENT, ON_FAILURE, ON_CLOSE } free_when, call_when;

static void on_reply(void *arg, const cJSON *result, const char *error);

static void maybe(int now)
{
    if ((int)call_when == now && client)
        cdp_client_call(client, NULL, "Again", NULL, on_reply, NULL);
    if ((int)free_when != now)
        return;
    cdp_client_free(client);
    client = NULL;
}

static void on_reply(void *arg, const cJSON *result, const char *error)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(result, "value"));

    (void)arg;
    if (error) {
        failures++;
        snprintf(last_error, sizeof(last_error), "%s", error);
        maybe(ON_FAILURE);
        return;
    }
    replies++;
    snprintf(last, sizeof(last), "%s", value ? value : "");
    maybe(ON_REPLY);
}

static void on_open(void *arg)
{
    (void)arg;
    opened++;
    maybe(ON_OPEN);
}

static void on_event(void *arg, const char *session, const char *method, const cJSON *params)
{
    (void)arg;
    events++;
    snprintf(last, sizeof(last), "%s %s %d", session, method, cJSON_GetArraySize(params));
    maybe(ON_EVENT);
}

static void on_close(void *arg, const char *why)
{
    (void)arg;
    closed++;
    snprintf(why_closed, sizeof(why_closed), "%s", why);
    maybe(ON_CLOSE);
}

static void begin(int limit_ms)
{
    struct cdp_client_events e = {on_open, on_event, on_close, NULL};

    opened = closed = events = replies = failures = 0;
    *why_closed = *last = *last_error = 0;
    fake_cdp_init(&browser);
    client = cdp_client_new(browser.loop, browser.client_fd, "/devtools/browser/x", limit_ms, &e);
}

static void end(void)
{
    cdp_client_free(client);
    client = NULL;
    fake_cdp_cleanup(&browser);
    free_when = call_when = NEVER;
}

static void expect_message(const char *expected)
{
    int opcode;
    char *text = fake_cdp_receive(&browser, &opcode);

    assert_string_equal(text, expected);
    assert_int_equal(opcode, 1);
    free(text);
}

/* ---- calls and events ---- */

static void test_calls(void **state)
{
    cJSON *params = cJSON_CreateObject();

    (void)state;
    begin(5000);
    cJSON_AddStringToObject(params, "url", "about:blank \"\xc3\xa4");
    fake_cdp_accept(&browser, NULL);
    UNTIL(&browser, opened);
    cdp_client_call(client, NULL, "A.one", NULL, on_reply, NULL);
    cdp_client_call(client, "S1", "B.two", params, on_reply, NULL);
    cdp_client_call(client, NULL, "C.three", NULL, NULL, NULL);
    expect_message("{\"id\":1,\"method\":\"A.one\"}");
    expect_message("{\"id\":2,\"method\":\"B.two\",\"sessionId\":\"S1\",\"params\":{\"url\":\"about:blank "
                   "\\\"\xc3\xa4\"}}");
    expect_message("{\"id\":3,\"method\":\"C.three\"}");
    /* in another order, with things nobody asked for in between */
    fake_cdp_send(&browser, "{\"id\":2,\"result\":{\"value\":\"two\"},\"sessionId\":\"S1\"}");
    fake_cdp_send(&browser, "{\"id\":77,\"result\":{}}");
    fake_cdp_send(&browser, "{\"id\":3,\"result\":{}}");
    UNTIL(&browser, replies == 1);
    assert_string_equal(last, "two");
    fake_cdp_send(&browser, "{\"method\":\"X.event\",\"params\":{\"a\":1,\"b\":2},\"sessionId\":\"S1\"}");
    UNTIL(&browser, events == 1);
    assert_string_equal(last, "S1 X.event 2");
    fake_cdp_send(&browser, "{\"method\":\"Y.event\"}");
    UNTIL(&browser, events == 2);
    assert_string_equal(last, " Y.event 0");
    fake_cdp_send(&browser, "{\"id\":1,\"error\":{\"code\":-32000,\"message\":\"no such thing\"}}");
    UNTIL(&browser, failures == 1);
    assert_string_equal(last_error, "no such thing");
    fake_cdp_send(&browser, "{\"id\":1,\"result\":{}}"); /* once is enough */
    fake_cdp_send(&browser, "{\"method\":\"Z.event\"}");
    UNTIL(&browser, events == 3);
    assert_int_equal(replies + failures, 2);
    assert_int_equal(closed, 0);
    end();
}

static void test_early_and_split(void **state)
{
    static const char event[] = "\x81\x0e{\"method\":\"O\"}";

    (void)state;
    begin(5000);
    fake_cdp_accept(&browser, "{\"method\":\"Early\"}");
    UNTIL(&browser, events == 1);
    for (size_t i = 0; i < sizeof(event) - 1; i++) {
        fake_cdp_send_raw(&browser, event + i, 1);
        ev_run(browser.loop, EVRUN_ONCE);
    }
    UNTIL(&browser, events == 2);
    end();
}

static void test_fragments_and_pings(void **state)
{
    int opcode;
    char *pong;

    (void)state;
    begin(5000);
    fake_cdp_accept(&browser, NULL);
    fake_cdp_send_raw(&browser, "\x01\x0a{\"method\":", 12);
    fake_cdp_send_raw(&browser, "\x89\x02hi", 4);
    pong = fake_cdp_receive(&browser, &opcode);
    assert_int_equal(opcode, 0xA);
    assert_string_equal(pong, "hi");
    free(pong);
    assert_int_equal(events, 0);
    fake_cdp_send_raw(&browser, "\x80\x06\"M.n\"}", 8);
    UNTIL(&browser, events == 1);
    assert_string_equal(last, " M.n 0");
    end();
}

static void test_large(void **state)
{
    enum { SIZE = 3 << 20 };
    char *big = malloc(SIZE + 1), *text;
    cJSON *params = cJSON_CreateObject();

    (void)state;
    memset(big, 'x', SIZE);
    big[SIZE] = 0;
    begin(5000);
    fake_cdp_accept(&browser, NULL);
    UNTIL(&browser, opened);
    cJSON_AddStringToObject(params, "big", big);
    cdp_client_call(client, NULL, "M", params, on_reply, NULL);
    text = fake_cdp_receive(&browser, NULL); /* more than a socket takes at once */
    assert_true(strlen(text) > SIZE);
    free(text);
    fake_cdp_send(&browser, "{\"id\":1,\"result\":{\"value\":\"ok\",\"big\":\"%s\"}}", big);
    UNTIL(&browser, replies == 1);
    assert_string_equal(last, "ok");
    /* and one that is larger than it takes */
    fake_cdp_send_raw(&browser, "\x81\x7f\0\0\0\0\x02\0\0\0{\"a\"", 14);
    UNTIL(&browser, closed == 1);
    free(big);
    end();
}

/* ---- ends ---- */

static void test_refused(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "junk",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        begin(5000);
        fake_cdp_refuse(&browser, answers[i]);
        fake_cdp_hang_up(&browser);
        UNTIL(&browser, closed);
        assert_int_equal(opened, 0);
        assert_true(strlen(why_closed) > 5);
        end();
    }
    begin(30); /* no answer at all */
    UNTIL(&browser, closed);
    assert_string_equal(why_closed, "the browser did not answer in time");
    end();
}

static void test_hang_up(void **state)
{
    (void)state;
    begin(5000);
    fake_cdp_accept(&browser, NULL);
    UNTIL(&browser, opened);
    cdp_client_call(client, NULL, "A", NULL, on_reply, NULL);
    cdp_client_call(client, NULL, "B", NULL, NULL, NULL);
    cdp_client_call(client, NULL, "C", NULL, on_reply, NULL);
    fake_cdp_hang_up(&browser);
    UNTIL(&browser, closed);
    assert_int_equal(failures, 2);
    assert_string_equal(why_closed, "the browser closed the connection");
    /* A call after the end is answered too. */
    cdp_client_call(client, NULL, "D", NULL, on_reply, NULL);
    assert_int_equal(failures, 2);
    UNTIL(&browser, failures == 3);
    assert_int_equal(closed, 1);
    end();
}

static void test_close_frame_and_nonsense(void **state)
{
    static const char *const said[] = {"\x88\x02\x03\xe8", "\x81\x02{}", "\x81\x02[1", "\x83\x01x",
                                       "\x81\x81xxxxx"};
    static const size_t lens[] = {4, 4, 4, 3, 7};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        begin(5000);
        fake_cdp_accept(&browser, NULL);
        UNTIL(&browser, opened);
        fake_cdp_send_raw(&browser, said[i], lens[i]);
        UNTIL(&browser, closed);
        assert_int_equal(closed, 1);
        end();
    }
}

static void test_call_too_early(void **state)
{
    (void)state;
    begin(5000);
    cdp_client_call(client, NULL, "A", NULL, on_reply, NULL);
    assert_int_equal(failures, 0);
    UNTIL(&browser, closed);
    assert_int_equal(failures, 1);
    end();
}

static void test_freed_anywhere(void **state)
{
    (void)state;
    for (int when = ON_OPEN; when <= ON_CLOSE; when++) {
        free_when = when;
        begin(5000);
        free_when = when;
        fake_cdp_accept(&browser, when == ON_EVENT ? "{\"method\":\"Early\"}" : NULL);
        UNTIL(&browser, opened);
        if (client) {
            cdp_client_call(client, NULL, "A", NULL, on_reply, NULL);
            cdp_client_call(client, NULL, "B", NULL, on_reply, NULL);
            /* two at once: the second is for nobody */
            fake_cdp_send_raw(&browser, "\x81\x14{\"id\":1,\"result\":{}}\x81\x14{\"id\":2,\"result\":{}}",
                              when >= ON_FAILURE ? 0 : 44);
            if (when >= ON_FAILURE)
                fake_cdp_hang_up(&browser);
        }
        UNTIL(&browser, !client);
        assert_int_equal(replies, when == ON_REPLY);
        assert_int_equal(failures, when == ON_FAILURE ? 1 : when == ON_CLOSE ? 2 : 0);
        assert_int_equal(closed, when == ON_CLOSE);
        end();
    }
    begin(5000); /* in the handshake, from outside */
    end();
    for (int when = ON_OPEN; when <= ON_EVENT; when++) {
        begin(5000);
        call_when = when;
        fake_cdp_accept(&browser, NULL);
        UNTIL(&browser, opened);
        if (when == ON_EVENT)
            fake_cdp_send(&browser, "{\"method\":\"M\"}");
        if (when == ON_REPLY) {
            cdp_client_call(client, NULL, "A", NULL, on_reply, NULL);
            expect_message("{\"id\":1,\"method\":\"A\"}");
            fake_cdp_send(&browser, "{\"id\":1,\"result\":{}}");
            expect_message("{\"id\":2,\"method\":\"Again\"}");
        } else {
            expect_message("{\"id\":1,\"method\":\"Again\"}");
        }
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_early_and_split),
        cmocka_unit_test(test_fragments_and_pings),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_close_frame_and_nonsense),
        cmocka_unit_test(test_call_too_early),
        cmocka_unit_test(test_freed_anywhere),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
