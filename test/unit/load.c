/* links: worker/load.c */
/* Unit tests of the host's load: what /proc says, the average, and when it is too much. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "shared/settings.h"
#include "worker/load.h"

static void test_stat(void **state)
{
    double busy, total;

    (void)state;
    assert_int_equal(load_parse_stat("cpu  10 20 30 400 50 6 7 8 9 1\ncpu0 1 1 1 1\n", &busy, &total), 0);
    assert_true(busy == 10 + 20 + 30 + 6 + 7 + 8);
    assert_true(total == busy + 400 + 50);
    assert_int_equal(load_parse_stat("cpu 1 2 3 4", &busy, &total), 0);
    assert_true(total == 10);
    assert_int_equal(load_parse_stat("cpu 1 2", &busy, &total), -1);
    assert_int_equal(load_parse_stat("", &busy, &total), -1);
}

static void test_meminfo(void **state)
{
    double total, available;

    (void)state;
    assert_int_equal(
        load_parse_meminfo("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\n", &total, &available),
        0);
    assert_true(total == 1000 && available == 250);
    assert_int_equal(load_parse_meminfo("MemTotal: 0 kB\nMemAvailable: 0 kB\n", &total, &available), -1);
    assert_int_equal(load_parse_meminfo("MemTotal: 1000 kB\n", &total, &available), -1);
    assert_int_equal(load_parse_meminfo("MemTotal: x\nMemAvailable: 1\n", &total, &available), -1);
}

static void test_smooth(void **state)
{
    double v = 0;

    (void)state;
    assert_true(load_smooth(40, 100, 0, 5000) == 40);
    assert_true(load_smooth(40, 100, -1, 5000) == 40);
    for (int i = 0; i < 5; i++)
        v = load_smooth(v, 100, 1000, 5000);
    assert_true(fabs(v - 63.2) < 0.1); /* one memory's length */
    /* The same whether it is sampled often or rarely. */
    assert_true(fabs(load_smooth(0, 100, 5000, 5000) - v) < 0.001);
}

static void test_judge(void **state)
{
    (void)state;
    assert_int_equal(load_judge(0, 95, 95, 10, 92), 0);
    assert_int_equal(load_judge(0, 95.1, 95, 10, 92), 1);
    assert_int_equal(load_judge(0, 10, 95, 92.5, 92), 1);
    assert_int_equal(load_judge(1, 90, 95, 10, 92), 1); /* not far enough below */
    assert_int_equal(load_judge(1, 85, 95, 84, 92), 1);
    assert_int_equal(load_judge(1, 85, 95, 80, 92), 0);
    assert_int_equal(load_judge(0, 100, 1000, 10, 100), 0); /* switched off */
}

static void test_this_host(void **state)
{
    struct settings s = {.pressure_cpu = 1000, .pressure_mem = 100};
    struct load l;

    (void)state;
    load_init(&l, ev_default_loop(EVFLAG_AUTO), &s);
    assert_true(l.mem > 0 && l.mem <= 100);
    assert_true(l.cpu == 0 && l.total > 0);
    assert_int_equal(l.pressure, 0);
    load_cleanup(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat),  cmocka_unit_test(test_meminfo),   cmocka_unit_test(test_smooth),
        cmocka_unit_test(test_judge), cmocka_unit_test(test_this_host),
    };

    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
