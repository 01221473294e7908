/* keys.c: Redis keys and the forms of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/keys.h"

static void builds_keys(void **state)
{
    char k[KEYS_MAX];

    (void)state;
    assert_string_equal(keys_prefix(k, "c0"), "berth:{c0}");
    assert_string_equal(keys_jobs(k, "c0", "w"), "berth:{c0}:jobs:w");
    assert_string_equal(keys_berths(k, "c0", "w"), "berth:{c0}:berths:w");
    assert_string_equal(keys_worker(k, "c0", "w"), "berth:{c0}:worker:w");
    assert_string_equal(keys_workers(k, "c0"), "berth:{c0}:workers");
    assert_string_equal(keys_profiles(k, "c0"), "berth:{c0}:profiles");
    assert_string_equal(keys_queue(k, "c0", "p"), "berth:{c0}:queue:p");
    assert_string_equal(keys_changed(k, "c0", "c0-x"), "berth:{c0}:changed:c0-x");
    assert_ptr_equal(keys_workers(k, "c0"), k);
}

static void makes_sessions(void **state)
{
    char id[KEYS_SESSION_MAX], other[KEYS_SESSION_MAX];

    (void)state;
    keys_new_session(id, "c0");
    keys_new_session(other, "c0");
    assert_string_not_equal(id, other);
    assert_int_equal(strlen(id), 27);
    assert_int_equal(keys_is_session(id, "c0"), 1);
    assert_int_equal(keys_is_session(id, "c1"), 0);
    assert_int_equal(keys_is_session(id, "c"), 0);
    keys_new_session(id, "abcdefghij012345");
    assert_int_equal(keys_is_session(id, "abcdefghij012345"), 1);
}

static void knows_sessions(void **state)
{
    static const char *const bad[] = {"",
                                      "c0",
                                      "c0-",
                                      "c0-abc",
                                      "c0-aaaaaaaaaaaaaaaaaaaaaaaaa",
                                      "c0-aaaaaaaaaaaaaaaaaaaaaaa",
                                      "c0-aaaaaaaaaaaaaaaaaaaaaaa1",
                                      "c0-aaaaaaaaaaaaaaaaaaaaaaaA",
                                      "c0-aaaaaaaaaaaaaaaaaaaaaaa\n",
                                      "C0-aaaaaaaaaaaaaaaaaaaaaaaa",
                                      "c0_aaaaaaaaaaaaaaaaaaaaaaaa",
                                      "c1-aaaaaaaaaaaaaaaaaaaaaaaa"};

    (void)state;
    assert_int_equal(keys_is_session("c0-abcdefghijklmnopqrstuv27", "c0"), 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(keys_is_session(bad[i], "c0"), 0);
}

static void knows_names(void **state)
{
    char s[80];

    (void)state;
    assert_int_equal(keys_is_name("a"), 1);
    assert_int_equal(keys_is_name("Host-1.example_com"), 1);
    assert_int_equal(keys_is_name(""), 0);
    assert_int_equal(keys_is_name("a b"), 0);
    assert_int_equal(keys_is_name("a:b"), 0);
    assert_int_equal(keys_is_name("a\n"), 0);
    assert_int_equal(keys_is_name("gr\xc3\xbc"), 0);
    memset(s, 'a', sizeof(s));
    s[64] = '\0';
    assert_int_equal(keys_is_name(s), 1);
    s[64] = 'a';
    s[65] = '\0';
    assert_int_equal(keys_is_name(s), 0);
    assert_int_equal(keys_is_cell("c0"), 1);
    assert_int_equal(keys_is_cell("abcdefghij012345"), 1);
    assert_int_equal(keys_is_cell("abcdefghij0123456"), 0);
    assert_int_equal(keys_is_cell(""), 0);
    assert_int_equal(keys_is_cell("C0"), 0);
    assert_int_equal(keys_is_cell("c-0"), 0);
    assert_int_equal(keys_is_cell("c}"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_keys),
        cmocka_unit_test(makes_sessions),
        cmocka_unit_test(knows_sessions),
        cmocka_unit_test(knows_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
