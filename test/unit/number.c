/* number.c: the same text as printf's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/number.h"

static void check_int(long long v)
{
    char out[24], expected[24];

    snprintf(expected, sizeof(expected), "%lld", v);
    assert_int_equal(number_int(out, v), strlen(expected));
    assert_string_equal(out, expected);
}

static void check_fixed(double v)
{
    char out[NUMBER_MAX], expected[NUMBER_MAX];

    for (int decimals = 0; decimals <= 4; decimals++) {
        snprintf(expected, sizeof(expected), "%.*f", decimals, v);
        assert_int_equal(number_fixed(out, v, decimals), strlen(expected));
        /* Where v lies all but between two, the last digit may be the other one. */
        if (strcmp(out, expected) != 0)
            assert_true(fabs(strtod(out, NULL) - v) <= 0.5 * pow(10, -decimals) + 1e-12);
    }
}

static void writes_integers(void **state)
{
    const long long v[] = {0, 1, -1, 9, 10, -10, 99, 100, 1795308242123, LLONG_MAX, LLONG_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        check_int(v[i]);
}

static void writes_decimals(void **state)
{
    const double v[] = {0,      -0.0,     0.5,    1.5,    2.5,    0.25,     0.125,    1.2345,
                        0.0004, 0.0006,   9.9996, 99.5,   -12.75, -0.04,    1e6,      123456,
                        1e11,   999999e6, 1e12,   1e15,   -1e300, DBL_MAX,  NAN,      -NAN,
                        1e-9,   1e-320,   7.0009, 15.001, 0.999,  INFINITY, -INFINITY};

    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        check_fixed(v[i]);
    for (int i = 0; i < 100000; i += 7)
        check_fixed(i / 1000.0);
}

static void writes_digits(void **state)
{
    char out[] = "....";

    (void)state;
    number_digits(out, 7, 3);
    assert_string_equal(out, "007.");
    number_digits(out, 12345, 4);
    assert_string_equal(out, "2345");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_integers), cmocka_unit_test(writes_decimals),
                                       cmocka_unit_test(writes_digits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
