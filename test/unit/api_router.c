/* links: api/router.c */
/* Unit tests of the router: patterns, ids, 404 against 405, HEAD, Allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/router.h"

static const struct route routes[] = {
    {HTTP_METHOD_GET, "/", SCOPE_NONE, NULL},
    {HTTP_METHOD_POST, "/a", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/a", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/a/:id", SCOPE_NONE, NULL},
    {HTTP_METHOD_DELETE, "/a/:id", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/a/:id/events", SCOPE_NONE, NULL},
    {HTTP_METHOD_POST, "/a/:id/drain", SCOPE_NONE, NULL},
};

static void finds(enum http_method method, const char *path, enum err expected, const char *pattern,
                  const char *id)
{
    struct router_match m;

    assert_int_equal(router_find(routes, sizeof(routes) / sizeof(*routes), method, path, &m), expected);
    if (!pattern) {
        assert_null(m.route);
        return;
    }
    assert_string_equal(m.route->pattern, pattern);
    assert_string_equal(m.id, id);
}

static void test_paths(void **state)
{
    char longest[KEYS_ID_MAX + 8] = "/a/", too_long[KEYS_ID_MAX + 8] = "/a/";

    (void)state;
    memset(longest + 3, 'x', KEYS_ID_MAX);
    memset(too_long + 3, 'x', KEYS_ID_MAX + 1);
    finds(HTTP_METHOD_GET, "/", ERR_ok, "/", "");
    finds(HTTP_METHOD_GET, "/a", ERR_ok, "/a", "");
    finds(HTTP_METHOD_HEAD, "/a", ERR_ok, "/a", "");
    finds(HTTP_METHOD_GET, "/a/x-1", ERR_ok, "/a/:id", "x-1");
    finds(HTTP_METHOD_GET, "/a/x/events", ERR_ok, "/a/:id/events", "x");
    finds(HTTP_METHOD_GET, longest, ERR_ok, "/a/:id", longest + 3);
    finds(HTTP_METHOD_GET, too_long, ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a/", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a//events", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a/x/", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a/x/y", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a/x/eventss", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_GET, "/A", ERR_not_found, NULL, NULL);
    finds(HTTP_METHOD_PUT, "/a", ERR_method_not_allowed, NULL, NULL);
    finds(HTTP_METHOD_GET, "/a/x/drain", ERR_method_not_allowed, NULL, NULL);
    finds(HTTP_METHOD_HEAD, "/a/x/drain", ERR_method_not_allowed, NULL, NULL);
}

static void test_allow(void **state)
{
    struct router_match m;
    char allow[64];

    (void)state;
    assert_int_equal(router_find(routes, 7, HTTP_METHOD_PUT, "/a", &m), ERR_method_not_allowed);
    router_allow(m.methods, allow, sizeof(allow));
    assert_string_equal(allow, "GET, HEAD, POST, OPTIONS");
    assert_int_equal(router_find(routes, 7, HTTP_METHOD_OPTIONS, "/a/x/drain", &m), ERR_method_not_allowed);
    router_allow(m.methods, allow, sizeof(allow));
    assert_string_equal(allow, "POST, OPTIONS");
    router_allow(~0u, allow, sizeof(allow));
    assert_string_equal(allow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_allow)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
