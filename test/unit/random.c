/* random.c: names, digests, comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/random.h"

static void fills_with_its_alphabet(void **state)
{
    char out[4001], again[4001];
    int count[256] = {0};

    (void)state;
    random_hex(out, sizeof(out));
    assert_int_equal(strlen(out), 4000);
    assert_int_equal(strspn(out, "0123456789abcdef"), 4000);
    random_base32(out, sizeof(out));
    random_base32(again, sizeof(again));
    assert_int_equal(strlen(out), 4000);
    assert_int_equal(strspn(out, "abcdefghijklmnopqrstuvwxyz234567"), 4000);
    assert_string_not_equal(out, again);
    for (int i = 0; i < 4000; i++)
        count[(unsigned char)out[i]]++;
    /* 125 expected of each of 32; 60 is out of reach for chance. */
    for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c; c++)
        assert_in_range(count[(unsigned char)*c], 60, 220);
    memset(out, 'x', sizeof(out));
    random_hex(out, 1);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 'x');
    random_hex(out + 1, 0);
    assert_int_equal(out[1], 'x');
}

static void unit_is_below_one(void **state)
{
    double sum = 0;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        double u = random_unit();
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(sum > 4700 && sum < 5300);
}

static void digests(void **state)
{
    char out[65];

    (void)state;
    random_sha256_hex("", 0, out);
    assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    random_sha256_hex("abc", 3, out);
    assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void compares(void **state)
{
    (void)state;
    assert_int_equal(random_equal("", 0, "", 0), 1);
    assert_int_equal(random_equal("abc", 3, "abc", 3), 1);
    assert_int_equal(random_equal("abc", 3, "abd", 3), 0);
    assert_int_equal(random_equal("abc", 3, "abcd", 4), 0);
    assert_int_equal(random_equal("a\0c", 3, "a\0d", 3), 0);
    assert_int_equal(random_equal("abc", 0, "xyz", 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_with_its_alphabet),
        cmocka_unit_test(unit_is_below_one),
        cmocka_unit_test(digests),
        cmocka_unit_test(compares),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
