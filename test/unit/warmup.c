/* links: worker/warmup.c worker/cdp_client.c worker/cdp_http.c test/support/fake_cdp.c */
/* warmup.c: its course against a browser that answers, refuses, hangs up, falls silent or is given up at each
 * step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "test/support/fake_cdp.h"
#include "worker/warmup.h"

enum outcome { ANSWER, REFUSE, LACK, HANG_UP, SILENCE, CANCEL };

static struct fake_cdp browser;
static struct warmup *warmup;
static int done, result;
static char why[200];
static char course[1000]; /* methods in the order of their coming */

static void on_done(void *arg, int r, const char *text)
{
    assert_ptr_equal(arg, &browser);
    done++;
    result = r;
    snprintf(why, sizeof(why), "%s", text ? text : "");
    warmup = NULL;
}

static int in_visit; /* the second tab is not closed yet */

static const char *answer_to(const char *method, int has_page)
{
    if (!strcmp(method, "Target.getTargets"))
        return has_page ? "{\"targetInfos\":[{\"type\":\"tab\",\"targetId\":\"T0\"},{\"type\":\"page\","
                          "\"targetId\":\"T1\"},"
                          "{\"type\":\"page\",\"targetId\":\"T2\"}]}"
                        : "{\"targetInfos\":[{\"type\":\"worker\",\"targetId\":\"T0\"}]}";
    if (!strcmp(method, "Target.createTarget"))
        return in_visit ? "{\"targetId\":\"T5\"}" : "{\"targetId\":\"T1\"}";
    if (!strcmp(method, "Target.attachToTarget"))
        return in_visit ? "{\"sessionId\":\"S5\"}" : "{\"sessionId\":\"S1\"}";
    if (!strcmp(method, "Page.getFrameTree"))
        return "{\"frameTree\":{\"frame\":{\"id\":\"F1\"}}}";
    if (!strcmp(method, "Page.navigate"))
        return "{\"frameId\":\"F1\",\"loaderId\":\"L2\"}";
    return "{}";
}

static void send_detached(const char *session)
{
    fake_cdp_send(
        &browser,
        "{\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"%s\",\"targetId\":\"T5\"}}",
        session);
}

static void send_load(const char *session, const char *name, const char *loader)
{
    fake_cdp_send(&browser,
                  "{\"method\":\"Page.lifecycleEvent\",\"params\":{\"frameId\":\"F1\",\"loaderId\":\"%s\","
                  "\"name\":\"%s\"},"
                  "\"sessionId\":\"%s\"}",
                  loader, name, session);
}

static void check(const char *method, const cJSON *message)
{
    const cJSON *params = cJSON_GetObjectItemCaseSensitive(message, "params");
    const char *session = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "sessionId"));
    const char *target = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "targetId"));
    const char *url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "url"));

    if (!strncmp(method, "Page.", 5) || !strncmp(method, "Runtime.", 8))
        assert_string_equal(session, in_visit ? "S5" : "S1");
    else
        assert_null(session);
    if (!strcmp(method, "Target.attachToTarget"))
        assert_string_equal(target, in_visit ? "T5" : "T1");
    if (!strcmp(method, "Target.closeTarget"))
        assert_string_equal(target, "T5");
    if (url && in_visit && !strcmp(method, "Page.navigate"))
        assert_memory_equal(url, "http://127.0.0.1:", 17);
    else if (url) /* the client's tab is never bound to a site */
        assert_string_equal(url, "about:blank");
}

/* Plays the browser: answers each call, but does `outcome` at call number `at` (-1: never). */
static void play(int has_page, int load_first, int at, enum outcome outcome)
{
    fake_cdp_init(&browser);
    done = 0;
    *course = 0;
    in_visit = 1;
    warmup = warmup_start(browser.loop, browser.client_fd, "/devtools/browser/x",
                          outcome == SILENCE ? 40 : 5000, on_done, &browser);
    fake_cdp_accept(&browser, NULL);
    for (int n = 0; !done; n++) {
        char *text = fake_cdp_receive(&browser, NULL);
        cJSON *message = cJSON_Parse(text);
        char *method;
        int id;

        free(text);
        if (!message) /* it has hung up, as it does when it is done */
            break;
        method = cJSON_GetStringValue(cJSON_GetObjectItem(message, "method"));
        id = cJSON_GetObjectItem(message, "id")->valueint;
        check(method, message);
        snprintf(course + strlen(course), sizeof(course) - strlen(course), "%s ", method);
        if (n == at && outcome == CANCEL) {
            warmup_cancel(warmup);
            warmup = NULL;
        } else if (n == at && outcome == HANG_UP) {
            fake_cdp_hang_up(&browser);
            UNTIL(&browser, done);
        } else if (n == at && outcome == SILENCE) {
            UNTIL(&browser, done);
        } else if (n == at && outcome == REFUSE) {
            fake_cdp_send(&browser, "{\"id\":%d,\"error\":{\"message\":\"refused\"}}", id);
        } else {
            int navigate = !in_visit && !strcmp(method, "Page.navigate");
            int close = !strcmp(method, "Target.closeTarget");

            if (close) { /* neither is the end it waits for */
                send_detached("S9");
                fake_cdp_send(&browser, "{\"method\":\"Target.detachedFromTarget\",\"params\":{}}");
            }
            if (close && load_first)
                send_detached("S5");
            if (navigate) { /* none of these is the load it waits for */
                send_load("S1", "load", "L1");
                send_load("S1", "init", "L2");
                send_load("S9", "load", "L2");
            }
            if (navigate && load_first)
                send_load("S1", "load", "L2");
            fake_cdp_send(&browser, "{\"id\":%d,\"result\":%s}", id,
                          n == at && outcome == LACK ? "{}" : answer_to(method, has_page));
            if (close && !load_first)
                send_detached("S5");
            if (close)
                in_visit = 0;
            if (navigate && !load_first)
                send_load("S1", "load", "L2");
        }
        cJSON_Delete(message);
        if (n == at && outcome == CANCEL)
            break;
    }
    if (outcome != CANCEL)
        UNTIL(&browser, done);
    assert_int_equal(done, outcome != CANCEL);
    fake_cdp_cleanup(&browser);
}

#define VISIT "Target.createTarget Target.attachToTarget Page.navigate Target.closeTarget "
#define REST                                                                                                 \
    "Target.attachToTarget Storage.getCookies Page.enable Page.setLifecycleEventsEnabled Page.getFrameTree " \
    "Page.setDocumentContent Runtime.evaluate Page.navigate Page.resetNavigationHistory "                    \
    "Target.detachFromTarget "

static void test_course(void **state)
{
    (void)state;
    for (int load_first = 0; load_first < 2; load_first++) {
        play(1, load_first, -1, ANSWER);
        assert_int_equal(result, 0);
        assert_string_equal(course, "Target.getTargets " VISIT REST);
        play(0, load_first, -1, ANSWER);
        assert_int_equal(result, 0);
        assert_string_equal(course, "Target.getTargets " VISIT "Target.createTarget " REST);
    }
}

static void test_failures(void **state)
{
    (void)state;
    for (int at = 0; at < 16; at++)
        for (enum outcome o = REFUSE; o <= CANCEL; o++) {
            if (o == LACK)
                continue;
            play(0, 0, at, o);
            if (o == CANCEL)
                continue;
            assert_int_equal(result, -1);
            assert_memory_equal(why, "warm-up: ", 9);
            if (o == REFUSE)
                assert_non_null(strstr(why, "refused"));
        }
}

static void test_answers_that_lack(void **state)
{
    static const int at[] = {1, 2,  5,
                             6, 10, 13}; /* createTarget and attachToTarget twice, getFrameTree, navigate */

    (void)state;
    for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
        play(0, 0, at[i], LACK);
        assert_int_equal(result, -1);
        assert_non_null(strstr(why, "lacks"));
    }
}

static void test_no_browser(void **state)
{
    (void)state;
    fake_cdp_init(&browser);
    done = 0;
    fake_cdp_hang_up(&browser);
    warmup = warmup_start(browser.loop, browser.client_fd, "/devtools/browser/x", 5000, on_done, &browser);
    assert_int_equal(done, 0);
    UNTIL(&browser, done);
    assert_int_equal(result, -1);
    fake_cdp_cleanup(&browser);

    fake_cdp_init(&browser);
    warmup = warmup_start(browser.loop, browser.client_fd, "/devtools/browser/x", 5000, on_done, &browser);
    warmup_cancel(warmup);
    fake_cdp_cleanup(&browser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_course),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_answers_that_lack),
        cmocka_unit_test(test_no_browser),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
