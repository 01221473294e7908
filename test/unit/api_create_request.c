/* links: api/create_request.c */
/* Unit tests of a create's body: defaults, both families of names, bounds, what is refused by which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/create_request.h"
#include "shared/json.h"

static const struct create_bounds bounds = {900000, 21600000, 120000};

static void test_defaults(void **state)
{
    static const char *const empty[] = {"", " \r\n\t ", "{}", "{\"unknown\":[1,{\"a\":null}]}",
                                        "{\"timeoutSec\":null}"};
    struct create_request r;
    struct create_problem why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(empty) / sizeof(*empty); i++) {
        assert_int_equal(create_request_parse(&r, &bounds, empty[i], strlen(empty[i]), &why), ERR_ok);
        assert_string_equal(r.project, "");
        assert_string_equal(r.profile, "default");
        assert_int_equal(r.timeout_ms, 900000);
        assert_int_equal(r.idle_ms, 120000);
        assert_int_equal(r.keep_alive, 0);
        assert_string_equal(r.meta.data, "{\"browser\":\"chromium\",\"region\":\"local\"}");
        create_request_cleanup(&r);
    }
}

static void test_all_fields(void **state)
{
    static const char body[] = "{\"browser\":\"chromium\",\"keepAlive\":true,\"timeoutSec\":1.5,"
                               "\"idleTimeoutSec\":0,\"runtimeProfile\":\"gpu\","
                               "\"projectId\":\"p-1\",\"region\":\"eu\\\"x\",\"sessionTags\":{\"a\":\"b\"},"
                               "\"provider\":{\"tenantId\":\"t\"},"
                               "\"userMetadata\":{\"k\":[1,\"é\"]},\"browserSettings\":{\"blockAds\":true},"
                               "\"proxyProfile\":\"none\"}";
    struct create_request r;
    struct create_problem why;
    char err[128];
    cJSON *meta;

    (void)state;
    assert_int_equal(create_request_parse(&r, &bounds, body, sizeof(body) - 1, &why), ERR_ok);
    assert_string_equal(r.project, "p-1");
    assert_string_equal(r.profile, "gpu");
    assert_int_equal(r.timeout_ms, 1500);
    assert_int_equal(r.idle_ms, 0);
    assert_int_equal(r.keep_alive, 1);
    meta = json_parse(r.meta.data, r.meta.len, err, sizeof(err));
    assert_non_null(meta);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(meta, "region")->valuestring, "eu\"x");
    assert_non_null(strstr(r.meta.data, "\"userMetadata\":{\"k\":[1,\"é\"]}"));
    assert_non_null(strstr(r.meta.data, "\"sessionTags\":{\"a\":\"b\"}"));
    assert_non_null(strstr(r.meta.data, "\"browserSettings\":{\"blockAds\":true}"));
    cJSON_Delete(meta);
    create_request_cleanup(&r);
}

static void test_refused(void **state)
{
    static const struct {
        const char *body, *field;
    } bad[] = {
        {"{\"timeoutSec\":0.5}", "timeoutSec"},
        {"{\"timeoutSec\":21601}", "timeoutSec"},
        {"{\"timeoutSec\":\"1\"}", "timeoutSec"},
        {"{\"timeout\":0}", "timeout"},
        {"{\"timeout\":5,\"timeoutSec\":6}", "timeout"},
        {"{\"idleTimeoutSec\":-0.1}", "idleTimeoutSec"},
        {"{\"keepAlive\":1}", "keepAlive"},
        {"{\"browser\":\"firefox\"}", "browser"},
        {"{\"runtimeProfile\":\"a/b\"}", "runtimeProfile"},
        {"{\"projectId\":\"\"}", "projectId"},
        {"{\"sessionTags\":{\"a\":1}}", "sessionTags"},
        {"{\"provider\":[]}", "provider"},
        {"{\"userMetadata\":[]}", "userMetadata"},
        {"{\"browserSettings\":{\"context\":{\"id\":\"x\"}}}", "browserSettings.context"},
        {"{\"browserSettings\":{\"allowedDomains\":[\"a\"]}}", "browserSettings.allowedDomains"},
        {"{\"proxies\":true}", "proxies"},
        {"{\"proxies\":[{}]}", "proxies"},
        {"{\"proxySettings\":{\"caCertificates\":[]}}", "proxySettings"},
        {"{\"proxyProfile\":\"eu\"}", "proxyProfile"},
        {"{\"extensionId\":\"x\"}", "extensionId"},
    };
    struct create_request r;
    struct create_problem why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(create_request_parse(&r, &bounds, bad[i].body, strlen(bad[i].body), &why),
                         ERR_bad_field);
        assert_string_equal(why.field, bad[i].field);
        assert_int_equal(strncmp(why.message, bad[i].field, strlen(bad[i].field)), 0);
        create_request_cleanup(&r);
    }
}

static void test_bad_json(void **state)
{
    static const char *const bad[] = {"[]", "1", "\"x\"", "null", "{", "{}x", "{\"a\":1,\"a\":2}", "\xff"};
    struct create_request r;
    struct create_problem why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(create_request_parse(&r, &bounds, bad[i], strlen(bad[i]), &why), ERR_bad_json);
        assert_string_equal(why.field, "");
        assert_true(*why.message);
        create_request_cleanup(&r);
    }
}

/* A known field of every JSON type: none may be taken for another, none may crash. */
static void test_types(void **state)
{
    static const char *const names[] = {"browser",         "keepAlive",    "timeoutSec",     "timeout",
                                        "idleTimeoutSec",  "proxyProfile", "runtimeProfile", "region",
                                        "provider",        "sessionTags",  "projectId",      "userMetadata",
                                        "browserSettings", "proxies",      "proxySettings",  "extensionId"};
    static const char *const values[] = {"true", "12", "\"s\"", "[]", "[[]]", "{}", "{\"a\":{}}", "null"};
    struct create_request r;
    struct create_problem why;
    char body[128];
    size_t i, j;
    enum err e;

    (void)state;
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        for (j = 0; j < sizeof(values) / sizeof(*values); j++) {
            snprintf(body, sizeof(body), "{\"%s\":%s}", names[i], values[j]);
            e = create_request_parse(&r, &bounds, body, strlen(body), &why);
            assert_true(e == ERR_ok || e == ERR_bad_field);
            if (e == ERR_bad_field)
                assert_string_equal(why.field, names[i]);
            create_request_cleanup(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults), cmocka_unit_test(test_all_fields),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_bad_json),
                                       cmocka_unit_test(test_types)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
