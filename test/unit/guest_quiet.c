/* guest_quiet.c: when a guest is at rest: several windows in a row in which its processes used almost no CPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "test/support/fake_proc.h"
#include "worker/guest/processes.h"
#include "worker/guest/quiet.h"
/* links: worker/guest/quiet.c worker/guest/processes.c worker/guest/boot.c test/support/fake_proc.c */

#define TICKS_PER_S 100

static const char *proc;

static void put(int pid, unsigned flags, unsigned long long ticks, unsigned long long start)
{
    fake_proc_put(&(struct fake_process){pid, "x", 'S', flags, ticks / 2, ticks - ticks / 2, start, "x", 1});
}

static int make_guest(void **state)
{
    (void)state;
    proc = fake_proc_open();
    put(1, 0, 500, 1);
    put(2, PROCESS_KERNEL, 700, 1);
    put(40, 0, 101, 10);
    put(41, 0, 50, 11);
    return 0;
}

static int remove_guest(void **state)
{
    (void)state;
    fake_proc_close();
    return 0;
}

static void test_whose_time_counts(void **state)
{
    struct quiet_sample s, again;

    (void)state;
    assert_int_equal(quiet_look(proc, &s), 0);
    assert_int_equal(s.ticks, 151);
    put(1, 0, 600, 1); /* init's own looking around, and the kernel's threads */
    put(2, PROCESS_KERNEL, 800, 1);
    put(41, 0, 55, 11);
    assert_int_equal(quiet_look(proc, &again), 0);
    assert_int_equal(again.ticks, 156);
    assert_true(again.who == s.who);
    put(41, 0, 55, 12); /* another process with its pid */
    assert_int_equal(quiet_look(proc, &again), 0);
    assert_true(again.who != s.who);
    put(41, 0, 55, 11);
    put(42, 0, 0, 13);
    assert_int_equal(quiet_look(proc, &again), 0);
    assert_true(again.who != s.who);
    fake_proc_remove(42);
    assert_int_equal(quiet_look(proc, &again), 0);
    assert_true(again.who == s.who);
    assert_int_equal(quiet_look("/nowhere", &s), -1);
    assert_int_equal(errno, ENOENT);
}

/* One window of 1 s. */
static int window(struct quiet *q, struct quiet_sample *s, unsigned ticks)
{
    s->ticks += ticks;
    return quiet_step(q, s, 1000, TICKS_PER_S);
}

static void test_windows_in_a_row(void **state)
{
    struct quiet_sample s = {1000, 7};
    struct quiet q = {0};

    (void)state;
    assert_false(window(&q, &s, 0)); /* nothing to compare with */
    for (int i = 1; i < QUIET_WINDOWS; i++)
        assert_false(window(&q, &s, 2));
    assert_false(window(&q, &s, 3)); /* more than 2 % of a CPU: from the start */
    for (int i = 1; i < QUIET_WINDOWS; i++)
        assert_false(window(&q, &s, 0));
    assert_true(window(&q, &s, 2));
}

static void test_window_of_any_length(void **state)
{
    struct quiet_sample s = {1000, 7};
    struct quiet q = {0};

    (void)state;
    assert_false(quiet_step(&q, &s, 0, TICKS_PER_S));
    s.ticks += 6; /* a host that was late: 60 ms of 3 s */
    assert_false(quiet_step(&q, &s, 3000, TICKS_PER_S));
    assert_int_equal(q.windows, 1);
    s.ticks += 2; /* 20 ms of half a second */
    assert_false(quiet_step(&q, &s, 500, TICKS_PER_S));
    assert_int_equal(q.windows, 0);
}

static void test_processes_that_come_and_go(void **state)
{
    struct quiet_sample s = {1000, 7};
    struct quiet q = {0};

    (void)state;
    assert_false(window(&q, &s, 0));
    assert_false(window(&q, &s, 0));
    s.who = 8;
    assert_false(window(&q, &s, 0));
    assert_int_equal(q.windows, 0);
    s.ticks -= 10; /* one took its time with it */
    assert_false(window(&q, &s, 0));
    assert_int_equal(q.windows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_time_counts),
        cmocka_unit_test(test_windows_in_a_row),
        cmocka_unit_test(test_window_of_any_length),
        cmocka_unit_test(test_processes_that_come_and_go),
    };

    return cmocka_run_group_tests(tests, make_guest, remove_guest);
}
