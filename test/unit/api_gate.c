/* links: api/gate.c */
/* gate.c: who gets in, in which order, and who leaves when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api/gate.h"

#define MANY 100000

struct guest {
    struct gate_place place;
    int number, leaves_at_once;
};

static struct gate gate;
static struct guest guests[MANY];
static char turns[64];
static int entered;

static void on_turn(void *arg)
{
    struct guest *g = arg;

    entered++;
    if (strlen(turns) < 32)
        snprintf(turns + strlen(turns), 8, "%d ", g->number);
    if (g->leaves_at_once)
        gate_leave(&gate, &g->place);
}

static void enter(int number)
{
    guests[number].number = number;
    gate_enter(&gate, &guests[number].place, on_turn, &guests[number]);
}

static void leave(int number)
{
    gate_leave(&gate, &guests[number].place);
}

static int set_up(void **state)
{
    (void)state;
    memset(guests, 0, sizeof(guests));
    turns[0] = '\0';
    entered = 0;
    gate_init(&gate, 2);
    return 0;
}

static void lets_in_by_turn(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        enter(i);
    assert_string_equal(turns, "0 1 ");
    assert_int_equal(gate.waiting, 3);
    leave(1);
    leave(0);
    leave(0); /* a second time: nothing */
    assert_string_equal(turns, "0 1 2 3 ");
    leave(2);
    leave(3);
    leave(4);
    assert_string_equal(turns, "0 1 2 3 4 ");
    assert_int_equal(gate.inside + gate.waiting, 0);
    enter(0);
    assert_string_equal(turns, "0 1 2 3 4 0 ");
}

static void the_line_may_be_left(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        enter(i);
    leave(5); /* the last, the first, one between */
    leave(2);
    enter(6);
    leave(4);
    assert_int_equal(gate.waiting, 2);
    leave(0);
    leave(1);
    assert_string_equal(turns, "0 1 3 6 ");
    leave(7); /* was never there */
    assert_int_equal(gate.inside, 2);
}

/* Those inside may leave and come again meanwhile, those in line may go. */
static void a_held_gate_keeps_the_line(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        enter(i);
    gate_hold(&gate, 1);
    leave(0);
    enter(0);
    leave(1);
    leave(3);
    assert_string_equal(turns, "0 1 ");
    assert_int_equal(gate.inside, 0);
    assert_int_equal(gate.waiting, 3);
    gate_hold(&gate, 0);
    assert_string_equal(turns, "0 1 2 4 ");
    leave(2);
    assert_string_equal(turns, "0 1 2 4 0 ");
    leave(4);
    leave(0);
    assert_int_equal(gate.inside + gate.waiting, 0);
}

static void holds(void *arg)
{
    on_turn(arg);
    gate_hold(&gate, 1);
}

/* Held in somebody's turn: the next does not get his. */
static void a_gate_may_be_held_from_inside(void **state)
{
    (void)state;
    gate_hold(&gate, 1);
    guests[8].number = 8;
    gate_enter(&gate, &guests[8].place, holds, &guests[8]);
    enter(9);
    gate_hold(&gate, 0);
    assert_string_equal(turns, "8 ");
    gate_hold(&gate, 0);
    assert_string_equal(turns, "8 9 ");
}

static void a_closed_gate_lets_nobody_in(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        enter(i);
    gate_close(&gate);
    for (int i = 0; i < 4; i++)
        leave(i);
    assert_string_equal(turns, "0 1 ");
    assert_int_equal(gate.inside + gate.waiting, 0);
}

/* Each leaves in its own turn: without a stack as deep as the line. */
static void a_long_line_ends_at_once(void **state)
{
    (void)state;
    enter(0);
    enter(1);
    for (int i = 2; i < MANY; i++) {
        guests[i].leaves_at_once = 1;
        enter(i);
    }
    assert_int_equal(entered, 2);
    leave(0);
    assert_int_equal(entered, MANY);
    assert_int_equal(gate.inside, 1);
    assert_int_equal(gate.waiting, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lets_in_by_turn, set_up),
        cmocka_unit_test_setup(the_line_may_be_left, set_up),
        cmocka_unit_test_setup(a_held_gate_keeps_the_line, set_up),
        cmocka_unit_test_setup(a_gate_may_be_held_from_inside, set_up),
        cmocka_unit_test_setup(a_closed_gate_lets_nobody_in, set_up),
        cmocka_unit_test_setup(a_long_line_ends_at_once, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
