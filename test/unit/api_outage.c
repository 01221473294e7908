/* links: api/gate.c api/outage.c */
/* outage.c: the line is held while Redis is away, and no longer than it may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/outage.h"
#include "shared/log.h"

static struct ev_loop *loop;
static struct gate gate;
static struct outage outage;
static struct gate_place place;
static int turns;

static void on_turn(void *arg)
{
    (void)arg;
    turns++;
    ev_break(loop, EVBREAK_ALL);
}

static int set_up(void **state)
{
    (void)state;
    loop = EV_DEFAULT;
    turns = 0;
    gate_init(&gate, 1);
    return 0;
}

static void its_end_gives_turns(void **state)
{
    (void)state;
    outage_init(&outage, loop, &gate, 3600000);
    outage_end(&outage); /* the first time that Redis is up */
    outage_begin(&outage);
    gate_enter(&gate, &place, on_turn, NULL);
    outage_begin(&outage);
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(turns, 0);
    outage_end(&outage);
    assert_int_equal(turns, 1);
    assert_false(ev_is_active(&outage.timer));
    gate_leave(&gate, &place);
    gate_enter(&gate, &place, on_turn, NULL);
    assert_int_equal(turns, 2);
    gate_leave(&gate, &place);
}

/* Nothing but its own timer is in the loop: a line that is held for ever ends the test. */
static void a_long_one_gives_turns_too(void **state)
{
    (void)state;
    outage_init(&outage, loop, &gate, 20);
    for (int i = 1; i <= 2; i++) {
        outage_begin(&outage);
        gate_enter(&gate, &place, on_turn, NULL);
        assert_int_equal(turns, i - 1);
        ev_run(loop, 0);
        assert_int_equal(turns, i);
        gate_leave(&gate, &place);
        outage_end(&outage);
    }
    outage_begin(&outage);
    outage_cleanup(&outage);
    assert_false(ev_is_active(&outage.timer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(its_end_gives_turns, set_up),
        cmocka_unit_test_setup(a_long_one_gives_turns_too, set_up),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
