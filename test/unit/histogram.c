/* histogram.c: the benchmarks' histogram. */
/* links: bench/histogram.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bench/histogram.h"

static struct histogram *fresh(void)
{
    struct histogram *h = calloc(1, sizeof(*h));

    assert_non_null(h);
    return h;
}

static void is_empty(void **state)
{
    struct histogram *h = fresh(), *other = fresh();
    struct buf out = {0};

    (void)state;
    histogram_merge(h, other);
    assert_int_equal(histogram_quantile(h, .5), 0);
    assert_true(histogram_mean(h) == 0);
    histogram_add_json(h, &out);
    assert_string_equal(out.data, "{\"n\":0,\"mean\":0.0,\"min\":0,\"p50\":0,\"p90\":0,\"p95\":0,\"p99\":0,"
                                  "\"p999\":0,\"max\":0}");
    buf_cleanup(&out);
    free(h);
    free(other);
}

static void is_exact_for_small_values(void **state)
{
    struct histogram *h = fresh();

    (void)state;
    for (int v = 100; v >= 1; v--)
        histogram_add(h, v);
    assert_int_equal(histogram_quantile(h, 0), 1);
    assert_int_equal(histogram_quantile(h, .01), 1);
    assert_int_equal(histogram_quantile(h, .5), 50);
    assert_int_equal(histogram_quantile(h, .99), 99);
    assert_int_equal(histogram_quantile(h, 1), 100);
    assert_int_equal(h->min, 1);
    assert_int_equal(h->max, 100);
    assert_true(histogram_mean(h) == 50.5);
    free(h);
}

/* One value alone is told as it is (max is exact), and with a greater one beside it within 1/128. */
static void is_near_for_all_values(void **state)
{
    (void)state;
    for (int shift = 0; shift < 40; shift++) {
        for (int off = -1; off <= 1; off++) {
            struct histogram *h = fresh();
            int64_t v = (INT64_C(1) << shift) + off, told;

            histogram_add(h, v);
            assert_int_equal(histogram_quantile(h, .5), v);
            histogram_add(h, INT64_C(1) << 41);
            told = histogram_quantile(h, .5);
            assert_true(told >= v && told - v <= v / 128);
            free(h);
        }
    }
}

static void takes_values_beyond_its_range(void **state)
{
    struct histogram *h = fresh();

    (void)state;
    histogram_add(h, -5);
    histogram_add(h, INT64_MAX);
    assert_int_equal(h->min, 0);
    assert_int_equal(histogram_quantile(h, .5), 0);
    assert_int_equal(histogram_quantile(h, 1), INT64_MAX);
    free(h);
}

static void merges(void **state)
{
    struct histogram *a = fresh(), *b = fresh(), *both = fresh();

    (void)state;
    for (int i = 1; i < 20000; i += 7) {
        histogram_add(i % 3 ? a : b, (int64_t)i * i);
        histogram_add(both, (int64_t)i * i);
    }
    histogram_merge(a, b);
    assert_memory_equal(a, both, sizeof(*a));
    free(a);
    free(b);
    free(both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty),
        cmocka_unit_test(is_exact_for_small_values),
        cmocka_unit_test(is_near_for_all_values),
        cmocka_unit_test(takes_values_beyond_its_range),
        cmocka_unit_test(merges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
