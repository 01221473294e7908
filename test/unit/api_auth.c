/* links: api/auth.c */
/* Unit tests of the key file: what it takes and refuses, scopes, reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/auth.h"
#include "shared/random.h"

static char path[] = "/tmp/berth-auth-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static const char two_alike[] = "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"read\"]},"
                                "{\"hash\":\"%1\",\"project\":\"q\",\"scopes\":[\"read\"]}]}";

/* Writes a file; %1 and %2 in the text become hashes of the keys "one" and "two". */
static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    char digest[65];

    assert_non_null(f);
    for (; *text; text++) {
        if (*text == '%') {
            const char *key = *++text == '1' ? "one" : "two";

            random_sha256_hex(key, strlen(key), digest);
            fprintf(f, "sha256:%s", digest);
        } else {
            fputc(*text, f);
        }
    }
    fclose(f);
}

static void test_open(void **state)
{
    char err[256];
    struct auth *a = auth_new("", err, sizeof(err));
    struct principal who;

    (void)state;
    assert_non_null(a);
    assert_true(auth_is_open(a));
    assert_int_equal(auth_check(a, NULL, SCOPE_ADMIN, &who), ERR_ok);
    assert_string_equal(who.project, "default");
    assert_string_equal(auth_reach(&who), "");
    assert_int_equal(auth_reload(a, err, sizeof(err)), 0);
    auth_free(a);
}

static void test_scopes(void **state)
{
    char err[256];
    struct principal who;
    struct auth *a;

    (void)state;
    write_file("{\"keys\":[{\"hash\":\"%1\",\"project\":\"acme\",\"scopes\":[\"create\"],\"name\":\"ci\","
               "\"concurrency\":3},"
               "{\"hash\":\"%2\",\"project\":\"ops\",\"scopes\":[\"read\",\"admin\"],\"queue\":0}]}");
    a = auth_new(path, err, sizeof(err));
    assert_non_null(a);
    assert_false(auth_is_open(a));
    assert_int_equal(auth_count(a), 2);
    assert_int_equal(auth_check(a, "one", SCOPE_READ, &who), ERR_ok);
    assert_int_equal(auth_check(a, "one", SCOPE_CREATE, &who), ERR_ok);
    assert_string_equal(who.project, "acme");
    assert_string_equal(who.name, "ci");
    assert_int_equal(who.concurrency, 3);
    assert_int_equal(who.queue, -1);
    assert_string_equal(auth_reach(&who), "acme");
    assert_int_equal(auth_check(a, "one", SCOPE_ADMIN, &who), ERR_forbidden);
    assert_int_equal(auth_check(a, "two", SCOPE_ADMIN, &who), ERR_ok);
    assert_int_equal(who.queue, 0);
    assert_string_equal(auth_reach(&who), "");
    assert_int_equal(auth_check(a, "three", SCOPE_READ, &who), ERR_unauthorized);
    assert_int_equal(auth_check(a, "", SCOPE_READ, &who), ERR_unauthorized);
    assert_int_equal(auth_check(a, NULL, SCOPE_READ, &who), ERR_unauthorized);
    assert_int_equal(auth_check(a, "three", SCOPE_NONE, &who), ERR_ok);
    assert_false(auth_has(&who, SCOPE_READ));
    assert_string_equal(who.project, "");
    assert_int_equal(auth_check(a, "one", SCOPE_NONE, &who), ERR_ok);
    assert_true(auth_has(&who, SCOPE_CREATE));
    auth_free(a);
}

static void test_bad_files(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":[1]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"hash\":\"one\",\"project\":\"p\",\"scopes\":[\"read\"]}]}",
        "{\"keys\":[{\"hash\":\"sha256:AB\",\"project\":\"p\",\"scopes\":[\"read\"]}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"scopes\":[\"read\"]}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"a b\",\"scopes\":[\"read\"]}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\"}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[]}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"root\"]}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"read\"],\"name\":5}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"read\"],\"concurrency\":-1}]}",
        "{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"read\"],\"queue\":1.5}]}",
        two_alike,
    };
    char err[256];
    struct principal who;
    struct auth *a;
    size_t i;

    (void)state;
    write_file("{\"keys\":[{\"hash\":\"%1\",\"project\":\"p\",\"scopes\":[\"read\"]}]}");
    a = auth_new(path, err, sizeof(err));
    assert_non_null(a);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        *err = '\0';
        write_file(bad[i]);
        assert_null(auth_new(path, err, sizeof(err)));
        assert_non_null(strstr(err, path));
        assert_int_equal(auth_reload(a, err, sizeof(err)), -1);
        assert_int_equal(auth_check(a, "one", SCOPE_READ, &who), ERR_ok);
    }
    write_file("{\"keys\":[{\"hash\":\"%2\",\"project\":\"p\",\"scopes\":[\"read\"]}]}");
    assert_int_equal(auth_reload(a, err, sizeof(err)), 0);
    assert_int_equal(auth_check(a, "one", SCOPE_READ, &who), ERR_unauthorized);
    assert_int_equal(auth_check(a, "two", SCOPE_READ, &who), ERR_ok);
    auth_free(a);
    assert_null(auth_new("/nonexistent/keys", err, sizeof(err)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_open), cmocka_unit_test(test_scopes),
                                       cmocka_unit_test(test_bad_files)};

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
