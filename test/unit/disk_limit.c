/* links: worker/disk_limit.c */
/* Unit tests of limits on disks: which disk a device is a part of, and what is written to a cgroup's files,
 * on folders that stand for sysfs and for a cgroup. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/disk_limit.h"

static char folder[] = "/tmp/berth-disk-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0755), 0);
}

static void make_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_file(const char *name, const char *expected)
{
    char text[400];
    FILE *f = fopen(in_folder(name), "re");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, expected);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"sys/dev/block/259:0",
                                        "sys/dev/block/259:3",
                                        "sys/dev/block/8:0",
                                        "sys/dev/block",
                                        "sys/dev",
                                        "sys/nvme0n1/nvme0n1p3/partition",
                                        "sys/nvme0n1/nvme0n1p3/uevent",
                                        "sys/nvme0n1/nvme0n1p3",
                                        "sys/nvme0n1/dev",
                                        "sys/nvme0n1/uevent",
                                        "sys/nvme0n1",
                                        "sys",
                                        "v1/blkio.throttle.read_bps_device",
                                        "v1/blkio.throttle.write_bps_device",
                                        "v1/blkio.throttle.read_iops_device",
                                        "v1/blkio.throttle.write_iops_device",
                                        "v1",
                                        "v2/io.max",
                                        "v2"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove(in_folder(names[i]));
    return rmdir(folder);
}

/* sysfs has a link for each device; a partition's directory lies in its disk's. */
static void test_find(void **state)
{
    struct disk_device d;
    char sys[300];

    (void)state;
    make_folder("sys");
    make_folder("sys/dev");
    make_folder("sys/dev/block");
    make_folder("sys/nvme0n1");
    make_folder("sys/nvme0n1/nvme0n1p3");
    make_file("sys/nvme0n1/dev", "259:0\n");
    make_file("sys/nvme0n1/uevent", "MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\nDEVTYPE=disk\n");
    make_file("sys/nvme0n1/nvme0n1p3/partition", "3\n");
    make_file("sys/nvme0n1/nvme0n1p3/uevent", "MAJOR=259\nMINOR=3\nDEVNAME=nvme0n1p3\n");
    assert_int_equal(symlink("../../nvme0n1", in_folder("sys/dev/block/259:0")), 0);
    assert_int_equal(symlink("../../nvme0n1/nvme0n1p3", in_folder("sys/dev/block/259:3")), 0);
    snprintf(sys, sizeof(sys), "%s", in_folder("sys"));
    for (unsigned minor = 0; minor <= 3; minor += 3) {
        assert_int_equal(disk_device_find(sys, 259, minor, &d), 0);
        assert_int_equal(d.major, 259);
        assert_int_equal(d.minor, 0);
        assert_string_equal(d.node, "/dev/nvme0n1");
    }
    assert_int_equal(disk_device_find(sys, 0, 42, &d), -1); /* as of tmpfs, overlay, btrfs */
    make_folder("sys/dev/block/8:0");                       /* without a name */
    assert_int_equal(disk_device_find(sys, 8, 0, &d), -1);
}

/* Whatever this machine has: one disk once, and that of a file that is not there yet is its folder's. */
static void test_add(void **state)
{
    struct disk_devices once = {0}, twice = {0}, none = {0};

    (void)state;
    disk_devices_add(&once, "/");
    disk_devices_add(&twice, "/");
    disk_devices_add(&twice, "/");
    disk_devices_add(&twice, "/berth-no-such-folder/image");
    assert_int_equal(once.count, twice.count);
    assert_true(once.count <= 1);
    disk_devices_add(&none, "/proc");
    disk_devices_add(&none, "relative");
    disk_devices_add(&none, "");
    assert_int_equal(none.count, 0);
}

static void test_v2(void **state)
{
    static const struct disk_device disk = {8, 16, "/dev/sdb"};
    struct disk_rates rates = {.mib_s = 1.5, .iops = 200};
    char dir[300];

    (void)state;
    make_folder("v2");
    snprintf(dir, sizeof(dir), "%s", in_folder("v2"));
    assert_false(disk_limit_has_files(dir, 1));
    errno = 0;
    assert_int_equal(disk_limit_set(dir, 1, &disk, &rates), -1);
    assert_int_equal(errno, ENOENT);
    make_file("v2/io.max", "");
    assert_true(disk_limit_has_files(dir, 1));
    assert_int_equal(disk_limit_set(dir, 1, &disk, &rates), 0);
    assert_file("v2/io.max", "8:16 rbps=1572864 wbps=1572864 riops=200 wiops=200\n");
    rates.mib_s = 0;
    make_file("v2/io.max", "");
    assert_int_equal(disk_limit_set(dir, 1, &disk, &rates), 0);
    assert_file("v2/io.max", "8:16 rbps=max wbps=max riops=200 wiops=200\n");
    rates = (struct disk_rates){.mib_s = 100000};
    make_file("v2/io.max", "");
    assert_int_equal(disk_limit_set(dir, 1, &disk, &rates), 0);
    assert_file("v2/io.max", "8:16 rbps=104857600000 wbps=104857600000 riops=max wiops=max\n");
}

static void test_v1(void **state)
{
    static const struct disk_device disk = {254, 0, "/dev/vda"};
    struct disk_rates rates = {.mib_s = 0.1, .iops = 10000000};
    static const char *const files[] = {
        "v1/blkio.throttle.read_bps_device", "v1/blkio.throttle.write_bps_device",
        "v1/blkio.throttle.read_iops_device", "v1/blkio.throttle.write_iops_device"};
    char dir[300];

    (void)state;
    make_folder("v1");
    snprintf(dir, sizeof(dir), "%s", in_folder("v1"));
    assert_false(disk_limit_has_files(dir, 0));
    for (int i = 0; i < 4; i++)
        make_file(files[i], "");
    assert_true(disk_limit_has_files(dir, 0));
    assert_int_equal(disk_limit_set(dir, 0, &disk, &rates), 0);
    for (int i = 0; i < 4; i++) {
        assert_file(files[i], i < 2 ? "254:0 104858\n" : "254:0 10000000\n");
        make_file(files[i], "");
    }
    rates.iops = 0;
    assert_int_equal(disk_limit_set(dir, 0, &disk, &rates), 0);
    for (int i = 0; i < 4; i++)
        assert_file(files[i], i < 2 ? "254:0 104858\n" : "254:0 0\n"); /* 0: no limit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_v2),
        cmocka_unit_test(test_v1),
    };

    return cmocka_run_group_tests_name("disk_limit", tests, set_up, tear_down);
}
