/* guest_flags.c: the command line of a guest's browser, above all that no list of features takes another's
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/guest/flags.h"
/* links: worker/guest/flags.c */

static void test_features_become_one(void **state)
{
    struct flags f = {0};

    (void)state;
    assert_int_equal(flags_add(&f, "browser"), 0);
    assert_int_equal(flags_add(&f, "--disable-features=A"), 0);
    assert_int_equal(flags_add(&f, "--a"), 0);
    assert_int_equal(flags_add(&f, "--disable-features=B,C"), 0);
    assert_int_equal(flags_add(&f, "--disable-features="), 0);
    assert_int_equal(flags_add(&f, "--enable-features=D"), 0);
    assert_int_equal(flags_end(&f, "about:blank"), 0);
    assert_int_equal(f.count, 5);
    assert_string_equal(f.argv[0], "browser");
    assert_string_equal(f.argv[1], "--a");
    assert_string_equal(f.argv[2], "--enable-features=D");
    assert_string_equal(f.argv[3], "--disable-features=A,B,C");
    assert_string_equal(f.argv[4], "about:blank");
    assert_null(f.argv[5]);
}

static void test_without_features(void **state)
{
    struct flags f = {0};

    (void)state;
    assert_int_equal(flags_add(&f, "browser"), 0);
    assert_int_equal(flags_end(&f, "about:blank"), 0);
    assert_int_equal(f.count, 2);
    assert_null(f.argv[2]);
}

static void test_no_room(void **state)
{
    struct flags f = {0};
    char names[FLAGS_FEATURES_MAX];

    (void)state;
    memset(names, 'x', sizeof(names) - 1);
    names[sizeof(names) - 1] = '\0';
    memcpy(names, "--disable-features=", strlen("--disable-features="));
    assert_int_equal(flags_add(&f, names), 0);
    assert_int_equal(flags_add(&f, "--disable-features=y"), -1);
    for (size_t i = 0; i < FLAGS_MAX - 2; i++)
        assert_int_equal(flags_add(&f, "--a"), 0);
    assert_int_equal(flags_end(&f, "about:blank"), -1);
    assert_int_equal(f.count, FLAGS_MAX - 1);
    assert_null(f.argv[f.count]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_become_one),
        cmocka_unit_test(test_without_features),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
