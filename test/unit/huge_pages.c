/* links: worker/huge_pages.c */
/* Unit tests of huge pages: how many could be had, and whether they are enough, from made-up counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/huge_pages.h"

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/berth-pages-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static void write_count(const char *name, long n)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%ld\n", n);
    assert_int_equal(fclose(f), 0);
}

static void counts(long unused, long promised, long overcommit, long surplus)
{
    write_count("free_hugepages", unused);
    write_count("resv_hugepages", promised);
    write_count("nr_overcommit_hugepages", overcommit);
    write_count("surplus_hugepages", surplus);
}

static void test_available(void **state)
{
    (void)state;
    assert_int_equal(huge_pages_available(folder), -1);
    counts(0, 0, 0, 0);
    assert_int_equal(huge_pages_available(folder), 0);
    counts(600, 100, 0, 0);
    assert_int_equal(huge_pages_available(folder), 500);
    counts(600, 100, 50, 20);
    assert_int_equal(huge_pages_available(folder), 530);
    counts(10, 40, 0, 30);
    assert_int_equal(huge_pages_available(folder), 0);
}

static void test_check(void **state)
{
    char why[300] = "";

    (void)state;
    assert_int_equal(huge_pages_check(folder, 512, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "no pages of 2 MB"));
    counts(512, 0, 0, 0);
    assert_int_equal(huge_pages_check(folder, 512, why, sizeof(why)), 0);
    counts(511, 0, 0, 0);
    assert_int_equal(huge_pages_check(folder, 512, why, sizeof(why)), -1);
    assert_string_equal(
        why, "BERTH_VM_HUGE_PAGES: a snapshot and one microVM of 512 MB need 512 free pages of 2 MB, "
             "there are 511: set more aside (vm.nr_hugepages)");
    assert_int_equal(huge_pages_check(folder, 255, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "even"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_available, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
