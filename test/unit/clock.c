/* clock.c: the two clocks and the text of a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "shared/clock.h"

static void clocks_run(void **state)
{
    int64_t a = clock_mono_us(), b = clock_mono_us();
    double ms = clock_mono_ms();
    int64_t wall = clock_wall_ms(), now = (int64_t)time(NULL) * 1000;

    (void)state;
    assert_true(b >= a);
    assert_true(ms >= (double)a / 1000.0);
    assert_true(wall > now - 5000 && wall < now + 5000);
}

static void check(int64_t ms, const char *expected)
{
    char out[32];

    clock_iso8601(ms, out);
    assert_string_equal(out, expected);
}

static void writes_iso8601(void **state)
{
    (void)state;
    check(0, "1970-01-01T00:00:00.000Z");
    check(1795308242123, "2026-11-22T00:44:02.123Z");
    check(951782400000, "2000-02-29T00:00:00.000Z");
    check(-1, "1969-12-31T23:59:59.999Z");
    check(-1000, "1969-12-31T23:59:59.000Z");
    check(253402300799999, "9999-12-31T23:59:59.999Z");
    check(253402300800000, "0000-00-00T00:00:00.000Z");
    check(INT64_MAX, "0000-00-00T00:00:00.000Z");
    check(INT64_MIN, "0000-00-00T00:00:00.000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clocks_run), cmocka_unit_test(writes_iso8601)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
