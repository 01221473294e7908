/* links: api/wait.c api/metrics.c */
/* Unit tests of waiting: when the hash is looked at, who hears of it, and waiters that come and go inside
 * callbacks. Redis is played: looks are answered by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/metrics.h"
#include "api/wait.h"

#define SESSION "c0-aaaaaaaaaaaaaaaaaaaaaaaa"
#define CHANNEL "berth:{c0}:changed:" SESSION

static struct api api;
static redis_reply_cb *look_cb;
static void *look_arg;
static int looks, subscribed;
static redisReply answer;

/* ---- what wait.c calls ---- */

void redis_script(struct redis *r, redis_reply_cb *cb, void *arg, enum script s, ...)
{
    (void)r;
    assert_int_equal(s, SCRIPT_get);
    assert_null(look_cb); /* one at a time */
    look_cb = cb;
    look_arg = arg;
    looks++;
}

void redis_sub_add(struct redis_sub *s, const char *channel)
{
    (void)s;
    assert_int_equal(strncmp(channel, "berth:{c0}:changed:", 19), 0);
    subscribed++;
}

void redis_sub_remove(struct redis_sub *s, const char *channel)
{
    (void)s;
    (void)channel;
    subscribed--;
}

/* ---- helpers ---- */

struct party {
    struct waiter *waiter;
    struct party *drops; /* removed in the callback */
    const char *joins;   /* a session to wait for, in the callback */
    int heard, heard_nothing;
};

static void on_look(void *arg, const redisReply *reply)
{
    struct party *p = arg;

    p->heard++;
    p->heard_nothing += !reply;
    if (p->joins) {
        struct party *extra = p->drops;

        extra->waiter = wait_add(api.waits, p->joins, on_look, extra);
        p->joins = NULL;
    } else if (p->drops && p->drops->waiter) {
        wait_remove(p->drops->waiter);
        p->drops->waiter = NULL;
    }
}

static void join(struct party *p)
{
    p->waiter = wait_add(api.waits, SESSION, on_look, p);
}

static void leave(struct party *p)
{
    wait_remove(p->waiter);
    p->waiter = NULL;
}

static void reply_look(const redisReply *reply)
{
    redis_reply_cb *cb = look_cb;

    assert_non_null(cb);
    look_cb = NULL;
    cb(look_arg, reply);
}

static int set_up(void **state)
{
    (void)state;
    memset(&api, 0, sizeof(api));
    api.loop = ev_loop_new(EVFLAG_AUTO);
    api.settings.cell = "c0";
    api.metrics = metrics_new();
    api.waits = waits_new(&api);
    look_cb = NULL;
    looks = subscribed = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(subscribed, 0);
    waits_free(api.waits);
    metrics_free(api.metrics);
    ev_loop_destroy(api.loop);
    return 0;
}

/* ---- tests ---- */

static void test_hints(void **state)
{
    struct party a = {0}, b = {0};

    (void)state;
    join(&a);
    assert_int_equal(subscribed, 1);
    assert_int_equal(looks, 0); /* not before the subscription is in force */
    waits_hint(api.waits, CHANNEL, NULL);
    assert_int_equal(looks, 1);
    join(&b); /* in force already: asks for another look */
    assert_int_equal(subscribed, 1);
    assert_int_equal(wait_count(api.waits, SESSION), 2);
    waits_hint(api.waits, CHANNEL, NULL);
    assert_int_equal(looks, 1);
    reply_look(&answer);
    assert_int_equal(looks, 2);
    reply_look(&answer);
    assert_int_equal(looks, 2);
    assert_int_equal(a.heard, 2);
    assert_int_equal(b.heard, 2);
    waits_hint(api.waits, "berth:{c0}:changed:c0-bbbbbbbbbbbbbbbbbbbbbbbb", NULL);
    waits_hint(api.waits, "nonsense", NULL);
    assert_int_equal(looks, 2);
    leave(&a);
    assert_int_equal(subscribed, 1);
    leave(&b);
    assert_int_equal(subscribed, 0);
    assert_int_equal(wait_count(api.waits, SESSION), 0);
}

static void test_leaving_in_callbacks(void **state)
{
    struct party a = {0}, b = {0}, c = {0};
    struct party *all[] = {&a, &b, &c};
    int i, j;

    (void)state;
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++) {
            memset(&a, 0, sizeof(a));
            memset(&b, 0, sizeof(b));
            memset(&c, 0, sizeof(c));
            join(&a);
            join(&b);
            join(&c);
            all[i]->drops = all[j];
            waits_hint(api.waits, CHANNEL, NULL);
            reply_look(&answer);
            assert_null(all[j]->waiter);
            assert_int_equal(wait_count(api.waits, SESSION), 2);
            for (int k = 0; k < 3; k++)
                if (all[k]->waiter) {
                    assert_int_equal(all[k]->heard, 1);
                    leave(all[k]);
                }
            assert_int_equal(subscribed, 0);
        }
}

static void test_all_leave(void **state)
{
    struct party a = {0}, b = {0};

    (void)state;
    join(&a);
    join(&b);
    a.drops = &a;
    b.drops = &b;
    waits_hint(api.waits, CHANNEL, NULL);
    waits_hint(api.waits, CHANNEL, NULL);
    reply_look(&answer);
    assert_int_equal(a.heard + b.heard, 2);
    assert_int_equal(looks, 1); /* nobody is left to look for */
    assert_int_equal(subscribed, 0);
}

static void test_starting_is_no_news_to_all(void **state)
{
    struct party a = {0}, b = {0};

    (void)state;
    join(&a);
    wait_skip_starting(a.waiter);
    waits_hint(api.waits, CHANNEL, NULL);
    reply_look(&answer);
    waits_hint(api.waits, CHANNEL, "starting");
    assert_int_equal(looks, 1);
    waits_hint(api.waits, CHANNEL, "running");
    assert_int_equal(looks, 2);
    reply_look(&answer);
    join(&b); /* looks, since the subscription is in force */
    reply_look(&answer);
    waits_hint(api.waits, CHANNEL, "starting"); /* b wants to know */
    assert_int_equal(looks, 4);
    reply_look(&answer);
    leave(&a);
    leave(&b);
    assert_int_equal(subscribed, 0);
}

static void test_leaving_during_a_look(void **state)
{
    struct party a = {0}, b = {0};

    (void)state;
    join(&a);
    waits_hint(api.waits, CHANNEL, NULL);
    leave(&a);
    assert_int_equal(subscribed, 1); /* until the reply is there */
    join(&b);
    reply_look(&answer);
    assert_int_equal(a.heard, 0);
    assert_int_equal(b.heard, 1);
    assert_int_equal(looks, 2); /* b's own: the first one may have read before b came */
    leave(&b);
    reply_look(&answer);
    assert_int_equal(subscribed, 0);
}

static void test_joining_in_a_callback(void **state)
{
    struct party a = {0}, extra = {0};

    (void)state;
    a.joins = SESSION;
    a.drops = &extra;
    join(&a);
    waits_hint(api.waits, CHANNEL, NULL);
    reply_look(&answer);
    assert_int_equal(looks, 2); /* the newcomer's own */
    a.drops = NULL;
    reply_look(&answer);
    assert_true(extra.heard >= 1);
    leave(&a);
    leave(&extra);
}

static void test_no_redis(void **state)
{
    struct party a = {0};

    (void)state;
    join(&a);
    waits_kick(api.waits);
    assert_int_equal(looks, 1);
    waits_hint(api.waits, CHANNEL, NULL);
    reply_look(NULL);
    assert_int_equal(a.heard_nothing, 1);
    assert_int_equal(looks, 1); /* later, by the timer */
    while (looks == 1)
        ev_run(api.loop, EVRUN_ONCE);
    reply_look(&answer);
    leave(&a);
}

static void test_many(void **state)
{
    enum { N = 1000 };
    static struct party parties[N];
    char session[64];
    int i;

    (void)state;
    memset(parties, 0, sizeof(parties));
    for (i = 0; i < N; i++) {
        snprintf(session, sizeof(session), "c0-%d", i);
        parties[i].waiter = wait_add(api.waits, session, on_look, &parties[i]);
    }
    assert_int_equal(subscribed, N);
    for (i = 0; i < N; i++) {
        snprintf(session, sizeof(session), "x:c0-%d", i);
        waits_hint(api.waits, session, NULL);
        reply_look(&answer);
        assert_int_equal(parties[i].heard, 1);
    }
    for (i = 0; i < N; i++)
        leave(&parties[i]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(test_hints),
                                       TEST(test_leaving_in_callbacks),
                                       TEST(test_all_leave),
                                       TEST(test_starting_is_no_news_to_all),
                                       TEST(test_leaving_during_a_look),
                                       TEST(test_joining_in_a_callback),
                                       TEST(test_no_redis),
                                       TEST(test_many)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
