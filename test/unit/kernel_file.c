/* kernel_file.c: whole texts, texts that do not fit, and what cannot be read or written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/kernel_file.h"

static char folder[] = "/tmp/berth-kernel-file-XXXXXX", path[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    strcpy(path, folder);
    strcat(path, "/file");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void reads_and_writes(void **state)
{
    char text[16];
    FILE *f = fopen(path, "we");

    (void)state;
    assert_non_null(f);
    fclose(f);
    assert_int_equal(kernel_file_read(path, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_int_equal(kernel_file_write(path, "0123456789abcde"), 0);
    assert_int_equal(kernel_file_read(path, text, sizeof(text)), 15);
    assert_string_equal(text, "0123456789abcde");
    assert_int_equal(kernel_file_read(path, text, 5), 4);
    assert_string_equal(text, "0123");
}

static void tells_what_is_wrong(void **state)
{
    char text[16] = "before";

    (void)state;
    errno = 0;
    assert_int_equal(kernel_file_read("/proc/self/nothing", text, sizeof(text)), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(text, "");
    assert_int_equal(kernel_file_read(folder, text, sizeof(text)), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(kernel_file_write("/proc/self/nothing", "1"), -1);
    assert_int_equal(errno, ENOENT);
    /* Opened, but not taken. */
    assert_int_equal(kernel_file_write("/proc/self/oom_score_adj", "nonsense"), -1);
    assert_int_equal(errno, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(tells_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
