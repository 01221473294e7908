/* links: api/session_view.c api/session_filter.c */
/* Unit tests of sessions as clients see them, and of the filters of a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/session_filter.h"
#include "api/session_view.h"
#include "shared/json.h"
#include "shared/mem.h"

#define FIELDS_MAX 64

/* A flat list as Redis sends it; built from NULL-terminated arguments. */
struct flat {
    redisReply reply;
    redisReply items[FIELDS_MAX];
    redisReply *pointers[FIELDS_MAX];
};

static const redisReply *flat(struct flat *f, ...)
{
    const char *text;
    va_list ap;

    memset(f, 0, sizeof(*f));
    f->reply.type = REDIS_REPLY_ARRAY;
    f->reply.element = f->pointers;
    va_start(ap, f);
    while ((text = va_arg(ap, const char *))) {
        redisReply *item = &f->items[f->reply.elements];

        item->type = REDIS_REPLY_STRING;
        item->str = (char *)(uintptr_t)text;
        item->len = strlen(text);
        f->pointers[f->reply.elements++] = item;
    }
    va_end(ap);
    return &f->reply;
}

static cJSON *view(const struct session *s, const struct session_view *v)
{
    struct buf b = {0};
    char err[160];
    cJSON *json;

    session_add_json(&b, s, v);
    json = json_parse(b.data, b.len, err, sizeof(err));
    if (!json)
        fail_msg("%s: %s", err, b.data);
    buf_cleanup(&b);
    return json;
}

static const char *text(const cJSON *json, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, name);

    return cJSON_IsString(v) ? v->valuestring : cJSON_IsNull(v) ? "(null)" : v ? "(other)" : "(absent)";
}

static void test_running(void **state)
{
    struct session_view v = {.secrets = 1, .more = "\"extra\":1"};
    struct session s;
    struct flat f;
    cJSON *json;

    (void)state;
    session_read(flat(&f, "id", "c0-x", "project", "p", "profile", "default", "state", "running", "worker",
                      "w", "secret", "3-aa", "gateway", "ws://h:1", "created", "1000", "running", "2000",
                      "expires", "902000", "timeout_ms", "900000", "idle_ms", "1500", "keep_alive", "1",
                      "warm", "1", "meta", "{\"region\":\"local\",\"userMetadata\":{\"a\":1}}", "timings",
                      "{\"totalMs\":5}", "odd", "x", NULL),
                 &s);
    json = view(&s, &v);
    assert_string_equal(text(json, "id"), "c0-x");
    assert_string_equal(text(json, "sessionId"), "c0-x");
    assert_string_equal(text(json, "status"), "RUNNING");
    assert_string_equal(text(json, "connectUrl"), "ws://h:1/s/3-aa");
    assert_string_equal(text(json, "debugHttpUrl"), "http://h:1/s/3-aa");
    assert_string_equal(text(json, "createdAt"), "1970-01-01T00:00:01.000Z");
    assert_string_equal(text(json, "startedAt"), "1970-01-01T00:00:02.000Z");
    assert_string_equal(text(json, "updatedAt"), "1970-01-01T00:00:02.000Z");
    assert_string_equal(text(json, "endedAt"), "(absent)");
    assert_string_equal(text(json, "region"), "local");
    assert_string_equal(text(json, "reason"), "(null)");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "keepAlive")));
    assert_non_null(cJSON_GetObjectItemCaseSensitive(json, "launchTimings"));
    assert_non_null(cJSON_GetObjectItemCaseSensitive(json, "extra"));
    assert_string_equal(session_start(&s), "warm");
    cJSON_Delete(json);

    v.relay = "wss://api";
    json = view(&s, &v);
    assert_string_equal(text(json, "connectUrl"), "wss://api/v1/sessions/c0-x/cdp?token=3-aa");
    assert_string_equal(text(json, "debugHttpUrl"), "(null)");
    cJSON_Delete(json);

    v.secrets = 0;
    json = view(&s, &v);
    assert_string_equal(text(json, "connectUrl"), "(absent)");
    assert_string_equal(text(json, "debugHttpUrl"), "(absent)");
    cJSON_Delete(json);
}

static void test_odd(void **state)
{
    static const char *const timings[] = {"", "{", "[]", "null", "{\"a\":1,\"a\":2}"};
    static const char *const metas[] = {"", "{}", "x", "{"};
    struct session_view v = {.secrets = 1};
    struct session s;
    struct flat f;
    size_t i;

    (void)state;
    session_read(NULL, &s);
    cJSON_Delete(view(&s, &v));
    for (i = 0; i < sizeof(timings) / sizeof(*timings); i++) {
        session_read(flat(&f, "id", "a\"\n\xff", "state", "running", "gateway", "nonsense", "secret", "s",
                          "timings", timings[i], NULL),
                     &s);
        cJSON_Delete(view(&s, &v));
    }
    for (i = 0; i < sizeof(metas) / sizeof(*metas); i++) {
        session_read(flat(&f, "id", "x", "meta", metas[i], "lonely", NULL), &s);
        cJSON_Delete(view(&s, &v));
    }
}

static void test_status(void **state)
{
    static const struct {
        const char *state, *reason, *status;
    } table[] = {
        {"queued", "", "PENDING"},
        {"starting", "", "PENDING"},
        {"running", "", "RUNNING"},
        {"ending", "released", "COMPLETED"},
        {"ended", "released", "COMPLETED"},
        {"ended", "disconnected", "COMPLETED"},
        {"ended", "cancelled", "COMPLETED"},
        {"ended", "drained", "COMPLETED"},
        {"ended", "timeout", "TIMED_OUT"},
        {"ending", "idle", "TIMED_OUT"},
        {"ended", "queue_timeout", "TIMED_OUT"},
        {"ended", "browser_crashed", "ERROR"},
        {"ended", "start_failed", "ERROR"},
        {"ended", "worker_lost", "ERROR"},
    };
    struct session s;
    struct flat f;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
        session_read(flat(&f, "state", table[i].state, "reason", table[i].reason, NULL), &s);
        assert_string_equal(session_status(&s), table[i].status);
    }
}

static void test_events(void **state)
{
    struct buf b = {0};
    struct session s;
    struct flat f;

    (void)state;
    session_read(flat(&f, "queued", "1", "running", "2", "ended", "3", "reason", "idle", NULL), &s);
    session_add_events(&b, &s);
    assert_string_equal(b.data,
                        "[{\"state\":\"queued\",\"at\":\"1970-01-01T00:00:00.001Z\",\"reason\":null},"
                        "{\"state\":\"running\",\"at\":\"1970-01-01T00:00:00.002Z\",\"reason\":null},"
                        "{\"state\":\"ended\",\"at\":\"1970-01-01T00:00:00.003Z\",\"reason\":\"idle\"}]");
    buf_cleanup(&b);
}

static int shows(const char *q, const char *meta)
{
    struct session_filter filter = {0};
    struct session s;
    struct flat f;
    int result = session_filter_query(&filter, q);

    session_read(flat(&f, "state", "running", "meta", meta, NULL), &s);
    if (!result)
        result = session_filter_shows(&filter, &s);
    session_filter_cleanup(&filter);
    return result;
}

static void test_query(void **state)
{
    static const char meta[] =
        "{\"userMetadata\":{\"a\":\"1\",\"n\":2,\"it's\":\"x\",\"o\":{\"p\":{\"q\":true}}}}";
    static const char *const bad[] = {"",
                                      "a",
                                      "user_metadata",
                                      "user_metadata:'x'",
                                      "user_metadata['a']",
                                      "user_metadata['a']:",
                                      "user_metadata['a']:x",
                                      "user_metadata['a':'x'",
                                      "user_metadata['a']:'x",
                                      "user_metadata['a']:'x' y",
                                      "user_metadata[a]:'x'",
                                      "user_metadata['",
                                      "user_metadata['a'][",
                                      "user_metadata['1']['2']['3']['4']['5']['6']['7']['8']['9']:'x'"};
    size_t i;

    (void)state;
    assert_int_equal(shows("user_metadata['a']:'1'", meta), 1);
    assert_int_equal(shows("user_metadata[\"a\"]: \"1\"", meta), 1);
    assert_int_equal(shows("user_metadata['a']:'2'", meta), 0);
    assert_int_equal(shows("user_metadata['n']:'2'", meta), 1);
    assert_int_equal(shows("user_metadata['it\\'s']:'x'", meta), 1);
    assert_int_equal(shows("user_metadata['o']['p']['q']:'true'", meta), 1);
    assert_int_equal(shows("user_metadata['o']['x']['q']:'true'", meta), 0);
    assert_int_equal(shows("user_metadata['a']:'1'", ""), 0);
    assert_int_equal(shows("user_metadata['a']:'1'", "{\"userMetadata\":5}"), 0);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(shows(bad[i], meta), -1);
}

static void test_filter(void **state)
{
    struct session_filter filter = {0};
    struct session s;
    struct flat f;
    int i;

    (void)state;
    assert_int_equal(session_filter_status(&filter, "running"), -1);
    assert_int_equal(session_filter_status(&filter, "TIMED_OUT"), 0);
    assert_int_equal(filter.states_n, 2);
    assert_int_equal(session_filter_state(&filter, "running"), -1);
    session_read(flat(&f, "state", "ended", "reason", "idle", NULL), &s);
    assert_true(session_filter_shows(&filter, &s));
    session_read(flat(&f, "state", "ended", "reason", "released", NULL), &s);
    assert_false(session_filter_shows(&filter, &s));
    session_filter_cleanup(&filter);

    assert_int_equal(session_filter_tag(&filter, "", "x"), -1);
    for (i = 0; i < SESSION_FILTER_TAGS; i++)
        assert_int_equal(session_filter_tag(&filter, "k", "v"), 0);
    assert_int_equal(session_filter_tag(&filter, "k", "v"), -1);
    session_read(flat(&f, "meta", "{\"sessionTags\":{\"k\":\"v\"}}", NULL), &s);
    assert_true(session_filter_shows(&filter, &s));
    session_read(flat(&f, "meta", "{\"sessionTags\":{\"k\":\"w\"}}", NULL), &s);
    assert_false(session_filter_shows(&filter, &s));
    session_filter_cleanup(&filter);
    assert_int_equal(session_filter_state(&filter, "queued"), 0);
    assert_int_equal(session_filter_state(&filter, "queued"), -1);
    session_filter_cleanup(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_running), cmocka_unit_test(test_odd),
                                       cmocka_unit_test(test_status),  cmocka_unit_test(test_events),
                                       cmocka_unit_test(test_query),   cmocka_unit_test(test_filter)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
