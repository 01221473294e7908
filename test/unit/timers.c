/* links: worker/timers.c */
/* Unit tests of a session's deadlines: every rule alone and against the others; no clock, no waiting. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "worker/timers.h"

static const struct timers_rules rules = {.connect_ms = 60, .grace_ms = 5};

static void expect(const struct timers *t, double at, const char *reason)
{
    const char *got;

    assert_true(timers_next(t, &got) == at);
    assert_string_equal(got, reason);
}

static struct timers bound(struct timers_limits limits, double now)
{
    struct timers t;

    timers_reset(&t, rules);
    timers_bind(&t, limits, now);
    return t;
}

static void test_nothing_set(void **state)
{
    struct timers t = bound((struct timers_limits){0, 0, 1}, 1000);

    (void)state;
    expect(&t, INFINITY, "");
}

static void test_lifetime_does_not_move(void **state)
{
    struct timers t = bound((struct timers_limits){100, 0, 1}, 1000);

    (void)state;
    timers_clients(&t, 1, 1050);
    timers_activity(&t, 1090);
    expect(&t, 1100, "timeout");
}

static void test_idle_follows_activity(void **state)
{
    struct timers t = bound((struct timers_limits){1000, 20, 1}, 1000);

    (void)state;
    expect(&t, 1020, "idle");
    timers_activity(&t, 1015);
    expect(&t, 1035, "idle");
    timers_clients(&t, 1, 1030);
    expect(&t, 1050, "idle");
    timers_clients(&t, 0, 1040);
    expect(&t, 1050, "idle");
    timers_activity(&t, 1995);
    expect(&t, 2000, "timeout");
}

static void test_nobody_connects(void **state)
{
    struct timers t = bound((struct timers_limits){1000, 0, 0}, 1000);

    (void)state;
    expect(&t, 1060, "disconnected");
    timers_clients(&t, 1, 1059);
    expect(&t, 2000, "timeout");
}

static void test_last_client_leaves(void **state)
{
    struct timers t = bound((struct timers_limits){1000, 0, 0}, 1000);

    (void)state;
    timers_clients(&t, 1, 1010);
    timers_clients(&t, 2, 1011);
    timers_clients(&t, 1, 1020);
    expect(&t, 2000, "timeout");
    timers_clients(&t, 0, 1030);
    expect(&t, 1035, "disconnected");
    timers_clients(&t, 1, 1034);
    expect(&t, 2000, "timeout");
}

static void test_keep_alive_needs_no_client(void **state)
{
    struct timers t = bound((struct timers_limits){1000, 0, 1}, 1000);

    (void)state;
    timers_clients(&t, 1, 1010);
    timers_clients(&t, 0, 1030);
    expect(&t, 2000, "timeout");
}

static void test_client_before_claim(void **state)
{
    struct timers t;

    (void)state;
    timers_reset(&t, rules);
    timers_clients(&t, 1, 900);
    timers_bind(&t, (struct timers_limits){1000, 0, 0}, 1000);
    expect(&t, 2000, "timeout");

    timers_reset(&t, rules);
    timers_clients(&t, 1, 900);
    timers_clients(&t, 0, 910);
    timers_bind(&t, (struct timers_limits){1000, 0, 0}, 1000);
    expect(&t, 1005, "disconnected"); /* its grace begins with the session */
}

static void test_rules_off(void **state)
{
    struct timers t;

    (void)state;
    timers_reset(&t, (struct timers_rules){-1, -1});
    timers_bind(&t, (struct timers_limits){1000, 0, 0}, 1000);
    expect(&t, 2000, "timeout");
    timers_clients(&t, 1, 1001);
    timers_clients(&t, 0, 1002);
    expect(&t, 2000, "timeout");
}

static void test_no_grace(void **state)
{
    struct timers t;

    (void)state;
    timers_reset(&t, (struct timers_rules){60, 0});
    timers_bind(&t, (struct timers_limits){1000, 0, 0}, 1000);
    timers_clients(&t, 1, 1001);
    timers_clients(&t, 0, 1002);
    expect(&t, 1002, "disconnected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),
        cmocka_unit_test(test_lifetime_does_not_move),
        cmocka_unit_test(test_idle_follows_activity),
        cmocka_unit_test(test_nobody_connects),
        cmocka_unit_test(test_last_client_leaves),
        cmocka_unit_test(test_keep_alive_needs_no_client),
        cmocka_unit_test(test_client_before_claim),
        cmocka_unit_test(test_rules_off),
        cmocka_unit_test(test_no_grace),
    };

    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
