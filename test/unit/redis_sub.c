/* links: test/support/redis_fixture.c test/support/script_stubs.c */
/* redis_sub.c: pub/sub against a real Redis: counting, confirmation, what a reconnect leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"
#include "shared/redis.h"
#include "test/support/redis_fixture.h"

#define MANY 2500

static struct redis_fixture fixture;
static struct redis_sub *sub;
static char seen[4096]; /* "a b=hello": a is in force, b had a message */
static int seen_count, in_force;
static int calling;
static const char *remove_on_message;

static void on_sub(void *arg, const char *channel, const char *message)
{
    assert_ptr_equal(arg, &fixture);
    assert_int_equal(calling, 0);
    in_force += !message;
    seen_count++;
    if (strlen(seen) < sizeof(seen) - 128)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s%s%s%s", *seen ? " " : "", channel,
                 message ? "=" : "", message ? message : "");
    if (remove_on_message && message && strcmp(channel, remove_on_message) == 0)
        redis_sub_remove(sub, channel);
}

static void add(const char *channel)
{
    calling = 1;
    redis_sub_add(sub, channel);
    calling = 0;
}

static void forget(void)
{
    seen[0] = '\0';
    seen_count = in_force = 0;
}

static int set_up(void **state)
{
    (void)state;
    forget();
    remove_on_message = NULL;
    redis_fixture_init(&fixture);
    redis_fixture_run(&fixture);
    sub = redis_sub_new(fixture.loop, fixture.address, "c0", on_sub, &fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_sub_free(sub);
    redis_fixture_cleanup(&fixture);
    return 0;
}

static void tells_of_confirmation_and_messages(void **state)
{
    (void)state;
    add("a"); /* before the connection is up */
    UNTIL(&fixture, seen_count == 1);
    add("b");
    UNTIL(&fixture, seen_count == 2);
    ASK(&fixture, "1", "PUBLISH a hello");
    ASK(&fixture, "0", "PUBLISH c nobody");
    ASK(&fixture, "1", "PUBLISH b %s", "");
    UNTIL(&fixture, seen_count == 4);
    assert_string_equal(seen, "a b a=hello b=");
}

static void counts_adds_and_removes(void **state)
{
    (void)state;
    add("a");
    add("a");
    UNTIL(&fixture, seen_count >= 1);
    forget();
    add("a"); /* in force already: told, but later */
    add("a");
    assert_int_equal(seen_count, 0);
    UNTIL(&fixture, seen_count >= 1);
    assert_string_equal(seen, "a");
    for (int i = 0; i < 3; i++)
        redis_sub_remove(sub, "a");
    ASK(&fixture, "1", "PUBLISH a still");
    UNTIL(&fixture, seen_count == 2);
    redis_sub_remove(sub, "a");
    add("end");
    UNTIL(&fixture, seen_count == 3);
    ASK(&fixture, "0", "PUBLISH a gone");
    ASK(&fixture, "end", "PUBSUB CHANNELS");
    assert_string_equal(seen, "a a=still end");
}

static void confirms_the_newest_subscription_only(void **state)
{
    (void)state;
    add("up");
    UNTIL(&fixture, seen_count == 1);
    forget();
    add("a");
    redis_sub_remove(sub, "a");
    add("a");
    redis_sub_remove(sub, "a");
    add("a");
    add("b");
    redis_sub_remove(sub, "b");
    add("end");
    UNTIL(&fixture, in_force == 2);
    assert_string_equal(seen, "a end");
    ASK(&fixture, "1", "PUBLISH a x");
    ASK(&fixture, "0", "PUBLISH b x");
    UNTIL(&fixture, seen_count == 3);
}

static void forgets_what_was_to_be_told_of_a_removed_channel(void **state)
{
    (void)state;
    add("a");
    UNTIL(&fixture, seen_count == 1);
    forget();
    add("a");
    redis_sub_remove(sub, "a");
    redis_sub_remove(sub, "a");
    add("end");
    UNTIL(&fixture, seen_count == 1);
    assert_string_equal(seen, "end");
}

static void removes_inside_the_callback(void **state)
{
    (void)state;
    remove_on_message = "a";
    add("a");
    UNTIL(&fixture, seen_count == 1);
    ASK(&fixture, "1 1 1", "EVAL %s 0",
        "return {redis.call('PUBLISH', 'a', '1'), redis.call('PUBLISH', 'a', '2'), redis.call('PUBLISH', "
        "'a', '3')}");
    UNTIL(&fixture, seen_count == 2);
    add("a");
    UNTIL(&fixture, seen_count == 3);
    assert_string_equal(seen, "a a=1 a");
}

static void subscribes_again_after_a_reconnect(void **state)
{
    char name[32];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "channel-%d", i);
        add(name);
    }
    UNTIL(&fixture, in_force == MANY);
    for (int i = 0; i < MANY; i += 2) {
        snprintf(name, sizeof(name), "channel-%d", i);
        redis_sub_remove(sub, name);
    }
    forget();
    redis_fixture_kill(&fixture);
    redis_fixture_run(&fixture);
    add("late");
    UNTIL(&fixture, in_force == MANY / 2 + 1);
    ASK(&fixture, "0", "PUBLISH channel-0 x");
    ASK(&fixture, "1", "PUBLISH channel-1 x");
    ASK(&fixture, "1", "PUBLISH late x");
    UNTIL(&fixture, seen_count == MANY / 2 + 3);
    /* All at once, with nothing confirmed. */
    for (int i = 1; i < MANY; i += 2) {
        snprintf(name, sizeof(name), "channel-%d", i);
        redis_sub_remove(sub, name);
    }
    redis_sub_remove(sub, "late");
    forget();
    add("x");
    redis_sub_remove(sub, "x");
    redis_fixture_kill(&fixture);
    redis_fixture_run(&fixture);
    add("y");
    UNTIL(&fixture, seen_count == 1);
    assert_string_equal(seen, "y");
    ASK(&fixture, "y", "PUBSUB CHANNELS");
}

static void frees_in_any_state(void **state)
{
    (void)state;
    redis_sub_free(sub);
    sub = redis_sub_new(fixture.loop, fixture.address, "c0", on_sub, &fixture);
    add("a");
    add("b");
    UNTIL(&fixture, seen_count == 2);
    add("a");
    add("c");
    redis_sub_free(sub);
    sub = NULL;
    redis_sub_free(NULL);
    redis_fixture_turn(&fixture);
    assert_int_equal(seen_count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_of_confirmation_and_messages),
        TEST(counts_adds_and_removes),
        TEST(confirms_the_newest_subscription_only),
        TEST(forgets_what_was_to_be_told_of_a_removed_channel),
        TEST(removes_inside_the_callback),
        TEST(subscribes_again_after_a_reconnect),
        TEST(frees_in_any_state),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
