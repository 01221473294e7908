/* links: worker/pool.c worker/berth.c */
/* Unit tests of the warm pool: how many browsers it asks for, when, and which it takes back. Redis' `reserve`
 * is a list of calls that the test answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "worker/turn.h"
#include "worker/worker.h"

#define CALLS 64

struct call {
    redis_reply_cb *cb;
    void *arg;
    char profile[64];
};

static struct call calls[CALLS];
static int call_count;
static struct worker worker;
static struct settings settings;
static struct load load;
static struct profile profiles[2];
static struct profile_set set = {profiles, 2};
static struct berth berths[8];
static int fresh, checks, stops;

/* ---- what pool.c calls ---- */

void redis_script(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, ...)
{
    va_list ap;

    (void)r;
    assert_int_equal(s, SCRIPT_reserve);
    assert_true(call_count < CALLS);
    va_start(ap, s);
    assert_string_equal(va_arg(ap, const char *), "w");
    assert_string_equal(va_arg(ap, const char *), "5");
    calls[call_count].cb = cb;
    calls[call_count].arg = arg;
    snprintf(calls[call_count].profile, sizeof(calls[0].profile), "%s", va_arg(ap, const char *));
    call_count++;
    va_end(ap);
}

int control_is_fresh(const struct worker *w)
{
    (void)w;
    return fresh;
}

int worker_is_pressed(const struct worker *w)
{
    return w->load->pressure;
}

void control_check(struct worker *w)
{
    (void)w;
    checks++;
}

void shutdown_check(struct worker *w)
{
    (void)w;
}

void worker_on_berth(struct worker *w, struct berth *b)
{
    (void)w;
    (void)b;
}

void turn_start(struct berth *b, const struct berth_order *order)
{
    assert_true(order->turn > b->seen);
    b->order = *order;
    berth_set(b, BERTH_STARTING, "test");
}

void turn_stop(struct berth *b, long long turn, const char *reason)
{
    (void)b;
    (void)turn;
    (void)reason;
    stops++;
}

void turn_withdraw(struct berth *b)
{
    b->withdrawing = 1;
}

/* ---- scenes ---- */

static int setup(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    memset(&load, 0, sizeof(load));
    memset(profiles, 0, sizeof(profiles));
    call_count = checks = stops = 0;
    fresh = 1;
    settings.start_parallel = 2;
    settings.warm_max_age = 1000000;
    profiles[0].name = (char *)(uintptr_t) "default";
    profiles[1].name = (char *)(uintptr_t) "other";
    profiles[0].warm = 3;
    worker.loop = ev_default_loop(EVFLAG_AUTO);
    worker.settings = &settings;
    worker.load = &load;
    worker.profiles = &set;
    worker.berths = berths;
    worker.capacity = 8;
    worker.counts[BERTH_IDLE] = 8;
    worker.control.epoch = 5;
    worker.control.state = CONTROL_REGISTERED;
    snprintf(worker.id, sizeof(worker.id), "w");
    for (int i = 0; i < 8; i++)
        berth_init(&berths[i], &worker, i);
    pool_init(&worker);
    return 0;
}

static void answer_text(int n, const char *code, const char *berth, const char *turn)
{
    redisReply parts[3] = {
        {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)code, .len = strlen(code)},
        {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)berth, .len = berth ? strlen(berth) : 0},
        {.type = REDIS_REPLY_STRING, .str = (char *)(uintptr_t)turn, .len = turn ? strlen(turn) : 0}};
    redisReply *elements[3] = {&parts[0], &parts[1], &parts[2]};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = berth ? 3 : 1, .element = elements};
    redis_reply_cb *cb = calls[n].cb;

    calls[n].cb = NULL;
    cb(calls[n].arg, &reply);
}

static void answer_nothing(int n)
{
    redis_reply_cb *cb = calls[n].cb;

    calls[n].cb = NULL;
    cb(calls[n].arg, NULL);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < call_count; i++) {
        if (calls[i].cb)
            answer_nothing(i);
    }
    pool_cleanup(&worker);
    for (int i = 0; i < 8; i++)
        berth_cleanup(&berths[i]);
    return 0;
}

/* One look of the pool. */
static void look(void)
{
    pool_kick(&worker);
    ev_run(worker.loop, EVRUN_NOWAIT);
    /* The loop's first pass may only have noticed the timer. */
    ev_run(worker.loop, EVRUN_NOWAIT);
}

static void make_warm(struct berth *b)
{
    if (b->state == BERTH_IDLE) {
        b->order.profile = &profiles[0];
        berth_set(b, BERTH_STARTING, "test");
    }
    berth_set(b, BERTH_WARM, "test");
}

static void test_arithmetic(void **state)
{
    (void)state;
    assert_int_equal(pool_missing(3, 1, 0, 0), 2);
    assert_int_equal(pool_missing(3, 1, 1, 0), 1);
    assert_int_equal(pool_missing(3, 4, 0, 0), 0);
    assert_int_equal(pool_missing(0, 0, 0, 0), 0);
    assert_int_equal(pool_missing(4, 2, 0, 1), 1);
    assert_int_equal(pool_missing(4, 2, 1, 5), 0);
    assert_int_equal(pool_missing(4, 1, 0, 3), 3); /* less than half is left */
    assert_int_equal(pool_missing(1, 0, 0, 1), 1);
    assert_int_equal(pool_missing(1, 0, 1, 0), 0);
    assert_true(pool_backoff_ms(0, 0.5) == 0);
    assert_true(pool_backoff_ms(1, 0.5) == 200);
    assert_true(pool_backoff_ms(2, 0.5) == 400);
    assert_true(pool_backoff_ms(1, 0) == 150);
    assert_true(pool_backoff_ms(100, 0.5) == 30000);
    for (int n = 1; n < 40; n++)
        assert_true(pool_backoff_ms(n, 0.99) <= 37500);
}

static void test_fills_with_bounded_parallel(void **state)
{
    (void)state;
    look();
    assert_int_equal(call_count, 2);
    assert_string_equal(calls[0].profile, "default");
    look();
    assert_int_equal(call_count, 2); /* still on their way */
    answer_text(0, "ok", "0", "1");
    assert_int_equal(berths[0].state, BERTH_STARTING);
    answer_text(1, "ok", "1", "1");
    look();
    assert_int_equal(call_count, 2); /* two start */
    make_warm(&berths[0]);
    look();
    assert_int_equal(call_count, 3);
    answer_text(2, "ok", "2", "1");
    make_warm(&berths[1]);
    make_warm(&berths[2]);
    look();
    assert_int_equal(call_count, 3); /* full */
    assert_int_equal(pool_reserving(&worker), 0);
}

static void test_two_profiles(void **state)
{
    (void)state;
    settings.start_parallel = 8;
    profiles[1].warm = 1;
    look();
    assert_int_equal(call_count, 4);
    answer_text(3, "ok", "7", "9");
    assert_ptr_equal(berths[7].order.profile, &profiles[strcmp(calls[3].profile, "other") == 0]);
}

static void test_target_above_capacity(void **state)
{
    (void)state;
    settings.start_parallel = 100;
    profiles[0].warm = 50;
    look();
    assert_int_equal(call_count, 8);
}

static void test_closed(void **state)
{
    (void)state;
    fresh = 0;
    look();
    fresh = 1;
    worker.draining = 1;
    look();
    worker.draining = 0;
    worker.shutdown.phase = SHUTDOWN_WAITING;
    look();
    worker.shutdown.phase = SHUTDOWN_NONE;
    load.pressure = 1;
    look();
    assert_int_equal(call_count, 0);
    load.pressure = 0;
    look();
    assert_int_equal(call_count, 2);
    worker.draining = 1;
    answer_text(0, "ok", "0", "1");
    assert_int_equal(stops, 1); /* given back */
    assert_int_equal(berths[0].state, BERTH_IDLE);
}

static void test_no_room(void **state)
{
    (void)state;
    look();
    answer_text(0, "no_berth", NULL, NULL);
    answer_text(1, "no_berth", NULL, NULL);
    look();
    assert_int_equal(call_count, 2);
    pool_on_room(&worker);
    look();
    assert_int_equal(call_count, 4);
}

/* A call for a berth that is not free would cost a script each, for every berth that becomes free. */
static void test_asks_for_no_more_than_is_idle(void **state)
{
    (void)state;
    settings.start_parallel = 100;
    profiles[0].warm = 8;
    for (int i = 0; i < 6; i++) {
        make_warm(&berths[i]);
        berth_set(&berths[i], BERTH_TAKEN, "test");
    }
    worker.reports.freed = 1; /* idle here; Redis does not know yet */
    look();
    assert_int_equal(call_count, 1);
    look();
    assert_int_equal(call_count, 1);
    worker.reports.freed = 0;
    look();
    assert_int_equal(call_count, 2);
    berth_set(&berths[0], BERTH_CLEANING, "test");
    look();
    assert_int_equal(call_count, 2);
    berth_set(&berths[0], BERTH_IDLE, "test");
    look();
    assert_int_equal(call_count, 3);
}

static void test_failures(void **state)
{
    (void)state;
    pool_on_failure(&worker, &profiles[0]);
    look();
    assert_int_equal(call_count, 0);
    pool_on_warm(&worker, &profiles[0]);
    look();
    assert_int_equal(call_count, 2);
}

static void test_a_new_session_is_left_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        make_warm(&berths[i]);
    berth_set(&berths[0], BERTH_TAKEN, "test");
    berths[0].hold_until = clock_mono_ms() + 1000000;
    look();
    assert_int_equal(call_count, 0);
    berths[0].hold_until = 0;
    look();
    assert_int_equal(call_count, 1);
}

/* One session after the other: their ends do not start browsers while half of the pool is there. */
static void test_a_client_that_comes_back_is_left_alone(void **state)
{
    double later = clock_mono_ms() + 1000000;

    (void)state;
    profiles[0].warm = 4;
    for (int i = 0; i < 4; i++)
        make_warm(&berths[i]);
    for (int i = 0; i < 2; i++) {
        berth_set(&berths[i], BERTH_TAKEN, "test");
        berths[i].hold_until = later;
        berths[i].hold_profile = &profiles[0];
        berth_set(&berths[i], BERTH_CLEANING, "test");
        berth_set(&berths[i], BERTH_IDLE, "test");
        berths[i].order.profile = NULL;
        look();
        assert_int_equal(call_count, 0);
    }
    berth_set(&berths[2], BERTH_TAKEN, "test");
    look();
    assert_int_equal(call_count, 2); /* one is left: now it matters more to have others */
    answer_text(0, "ok", "0", "5");
    answer_text(1, "ok", "1", "5");
    berths[0].hold_until = berths[1].hold_until = 0; /* as turn.c has it when a turn begins */
    make_warm(&berths[0]);
    make_warm(&berths[1]);
    look();
    assert_int_equal(call_count, 3);
}

static void test_answers(void **state)
{
    (void)state;
    look();
    answer_text(0, "stale_epoch", NULL, NULL);
    assert_int_equal(checks, 1);
    answer_text(1, "ok", "8", "1"); /* no such berth */
    look();
    assert_int_equal(call_count, 4);
    worker.control.epoch = 6; /* registered anew meanwhile */
    answer_text(2, "ok", "0", "1");
    assert_int_equal(berths[0].state, BERTH_IDLE);
    berths[1].seen = 10;
    worker.control.epoch = 5;
    answer_text(3, "ok", "1", "4"); /* Redis has lost a second */
    assert_int_equal(berths[1].state, BERTH_STARTING);
}

static void test_old_ones_are_replaced_one_at_a_time(void **state)
{
    (void)state;
    settings.warm_max_age = 1000;
    for (int i = 0; i < 3; i++) {
        make_warm(&berths[i]);
        berths[i].since = clock_mono_ms() - 2000 - 10 * i;
    }
    berths[2].timers.clients = 1; /* somebody is there already */
    look();
    look();
    assert_int_equal(berths[0].withdrawing, 0);
    assert_int_equal(berths[1].withdrawing, 1);
    berth_set(&berths[1], BERTH_CLEANING, "test");
    look();
    assert_int_equal(berths[0].withdrawing, 0);
    assert_int_equal(call_count, 1);
    answer_text(0, "ok", "5", "1");
    make_warm(&berths[5]);
    look();
    assert_int_equal(berths[0].withdrawing, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),
        TEST(test_fills_with_bounded_parallel),
        TEST(test_two_profiles),
        TEST(test_target_above_capacity),
        TEST(test_closed),
        TEST(test_no_room),
        TEST(test_asks_for_no_more_than_is_idle),
        TEST(test_failures),
        TEST(test_a_new_session_is_left_alone),
        TEST(test_a_client_that_comes_back_is_left_alone),
        TEST(test_answers),
        TEST(test_old_ones_are_replaced_one_at_a_time),
    };

    (void)log_init("unit", "error", "text");
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
