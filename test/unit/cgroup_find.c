/* links: worker/cgroup_find.c */
/* Unit tests of finding cgroup hierarchies in /proc/self/mountinfo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "worker/cgroup_find.h"

#define BIT(c) (1U << (c))

static void test_v2(void **state)
{
    struct cgroup_place p[CGROUP_PLACES_MAX];

    (void)state;
    assert_int_equal(cgroup_parse_mounts(
                         "24 30 0:22 / /proc rw - proc proc rw\n"
                         "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
                         p),
                     1);
    assert_string_equal(p[0].path, "/sys/fs/cgroup");
    assert_true(p[0].v2);
    assert_int_equal(p[0].controllers, 0);
}

static void test_v1_and_mixed(void **state)
{
    struct cgroup_place p[CGROUP_PLACES_MAX];

    (void)state;
    assert_int_equal(
        cgroup_parse_mounts("1 2 0:3 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                            "1 2 0:4 / /cg/mem\\040ory rw shared:1 master:2 - cgroup cgroup rw,memory\n"
                            "1 2 0:5 / /cg/freezer rw - cgroup cgroup rw,freezer\n"
                            "1 2 0:6 / /cg/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
                            "1 2 0:7 / /cg/unified rw - cgroup2 cgroup2 rw\n"
                            "1 2 0:4 / /again/memory rw - cgroup cgroup rw,memory\n"
                            "1 2 0:8 / /cg/pids rw - cgroup cgroup rw,pids\n",
                            p),
        4);
    assert_int_equal(p[0].controllers, BIT(CGROUP_CPU) | BIT(CGROUP_CPUACCT));
    assert_string_equal(p[1].path, "/cg/mem ory");
    assert_true(p[2].v2);
    assert_int_equal(p[3].controllers, BIT(CGROUP_PIDS));
}

static void test_odd(void **state)
{
    struct cgroup_place p[CGROUP_PLACES_MAX];
    char text[2048];

    (void)state;
    assert_int_equal(cgroup_parse_mounts("", p), 0);
    assert_int_equal(
        cgroup_parse_mounts("\n\nnonsense\n1 2 3 - cgroup2\n - cgroup2 cgroup2 rw\n1 2 3 4 5 - cgroup\n", p),
        0);
    /* A path too long for our names behind it is left out, not cut. */
    strcpy(text, "1 2 0:3 / /");
    memset(text + 11, 'x', 900);
    strcpy(text + 911, " rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(cgroup_parse_mounts(text, p), 0);
}

static void test_controllers(void **state)
{
    (void)state;
    assert_int_equal(cgroup_parse_controllers("cpuset cpu io memory pids\n"),
                     BIT(CGROUP_CPU) | BIT(CGROUP_MEMORY) | BIT(CGROUP_PIDS) | BIT(CGROUP_IO));
    assert_int_equal(cgroup_parse_controllers("rw,blkio"), BIT(CGROUP_IO));
    assert_int_equal(cgroup_parse_controllers("rw,cpuacct"), BIT(CGROUP_CPUACCT));
    assert_int_equal(cgroup_parse_controllers("cpus,memoryx,,"), 0);
    assert_int_equal(cgroup_parse_controllers(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v2),
        cmocka_unit_test(test_v1_and_mixed),
        cmocka_unit_test(test_odd),
        cmocka_unit_test(test_controllers),
    };

    return cmocka_run_group_tests_name("cgroup_find", tests, NULL, NULL);
}
