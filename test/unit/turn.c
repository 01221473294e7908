/* links: worker/turn.c worker/berth.c worker/timers.c */
/* Unit tests of a berth's life: turn.c with a driver, a gateway, a warm-up and reports that only write down
 * what was asked of them. Each test drives one berth and compares that record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/log.h"
#include "worker/turn.h"
#include "worker/warmup.h"
#include "worker/worker.h"

static char record[4096];
static int connect_errno; /* what the driver's connect fails with; 0: it gives a descriptor */
static void (*warmup_done)(void *, int, const char *);
static void *warmup_arg;
static struct worker worker;
static struct berth berth;
static struct profile profiles[2];
static struct profile_set set = {profiles, 2};
static struct settings settings;

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
    size_t used = strlen(record);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(record + used, sizeof(record) - used, fmt, ap);
    va_end(ap);
    used = strlen(record);
    snprintf(record + used, sizeof(record) - used, " ");
}

static void expect_at(int line, const char *what)
{
    if (strcmp(record, what) != 0)
        print_error("line %d\n", line);
    assert_string_equal(record, what);
    record[0] = '\0';
}
#define expect(what) expect_at(__LINE__, what)

/* ---- what turn.c calls ---- */

static void fake_start(struct driver *d, int index, const struct profile *p)
{
    (void)d;
    (void)index;
    note("start:%s", p->name);
}

static void fake_stop(struct driver *d, int index)
{
    (void)d;
    (void)index;
    note("stop");
}

static int fake_connect(struct driver *d, int index)
{
    (void)d;
    (void)index;
    errno = connect_errno;
    return connect_errno ? -1 : 99;
}

static void fake_active(struct driver *d, int index, int active)
{
    (void)d;
    (void)index;
    note("active:%d", active);
}

static const struct driver_ops fake_ops = {.name = "fake",
                                           .start = fake_start,
                                           .stop = fake_stop,
                                           .connect = fake_connect,
                                           .set_active = fake_active};

struct worker_driver *worker_driver(struct worker *w, const struct profile *p)
{
    (void)p;
    return &w->drivers[0];
}

void worker_on_berth(struct worker *w, struct berth *b)
{
    (void)w;
    note("[%s]", berth_state_name(b->state));
}

void gateway_open(struct gateway *g, int index, const char *secret, const char *ws_path)
{
    (void)g;
    assert_int_equal(strlen(secret), 34);
    assert_memory_equal(secret, "3-", 2);
    note("open:%d:%s", index, ws_path);
}

void gateway_close(struct gateway *g, int index, const char *reason)
{
    (void)g;
    note("close:%d:%s", index, reason);
}

struct warmup *warmup_start(struct ev_loop *loop, int fd, const char *ws_path, int limit_ms,
                            void (*on_done)(void *, int, const char *), void *arg)
{
    (void)loop;
    (void)ws_path;
    assert_int_equal(fd, 99);
    assert_int_equal(limit_ms, 10000);
    warmup_done = on_done;
    warmup_arg = arg;
    note("warmup");
    return (struct warmup *)&warmup_done;
}

void warmup_cancel(struct warmup *w)
{
    (void)w;
    note("warmup_cancel");
}

void pool_on_warm(struct worker *w, const struct profile *p)
{
    (void)w;
    (void)p;
    note("pool_ok");
}

void pool_on_failure(struct worker *w, const struct profile *p)
{
    (void)w;
    (void)p;
    note("pool_failure");
}

void report_offer(struct berth *b)
{
    note("offer:%lld", b->order.turn);
}

void report_ready(struct berth *b)
{
    note("ready:%lld:%s", b->order.turn, b->order.session);
}

void report_failed(struct berth *b, const char *why)
{
    note("failed:%lld:%s", b->order.turn, why);
}

void report_freed(struct berth *b, long long turn)
{
    (void)b;
    note("freed:%lld", turn);
}

void report_release(struct berth *b, const char *reason)
{
    note("release:%s:%s", b->order.session, reason);
}

void report_withdraw(struct berth *b)
{
    note("withdraw:%lld", b->order.turn);
}

/* ---- scenes ---- */

static int setup(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    memset(&settings, 0, sizeof(settings));
    settings.connect_timeout = 60000;
    settings.disconnect_grace = 5000;
    profiles[0].name = (char *)(uintptr_t) "default";
    profiles[1].name = (char *)(uintptr_t) "other";
    worker.loop = ev_default_loop(EVFLAG_AUTO);
    worker.settings = &settings;
    worker.profiles = &set;
    worker.capacity = 4;
    worker.counts[BERTH_IDLE] = 4;
    worker.gateway = (struct gateway *)&worker; /* never looked into */
    worker.drivers[0].ops = &fake_ops;
    worker.driver_count = 1;
    snprintf(worker.id, sizeof(worker.id), "w");
    turn_init(&berth, &worker, 3);
    record[0] = '\0';
    connect_errno = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    berth.warmup = NULL;
    berth_cleanup(&berth);
    return 0;
}

static struct berth_order order(long long turn, const char *session)
{
    struct berth_order o = {.turn = turn, .profile = &profiles[0]};

    o.limits.timeout_ms = 100000;
    snprintf(o.session, sizeof(o.session), "%s", session);
    return o;
}

static void start(long long turn, const char *session)
{
    struct berth_order o = order(turn, session);

    turn_start(&berth, &o);
}

static void claim(long long turn, const char *session)
{
    struct berth_order o = order(turn, session);

    turn_claim(&berth, &o);
}

static void up(void)
{
    struct driver_timings t = {.network_ms = 1, .spawn_ms = 2, .configure_ms = 3, .ready_ms = 4};

    turn_on_up(&berth, "/devtools/browser/x", &t);
}

/* A berth that was offered as warm under turn 1. */
static void make_warm(void)
{
    start(1, "");
    up();
    warmup_done(warmup_arg, 0, NULL);
    expect("[starting] start:default active:0 [warming] warmup open:3:/devtools/browser/x [warm] pool_ok "
           "offer:1 ");
}

static void make_taken(void)
{
    make_warm();
    claim(1, "s1");
    expect("[taken] active:1 ");
}

/* Runs the loop until the berth has left this state. */
static void run_while(enum berth_state s)
{
    while (berth.state == s)
        ev_run(worker.loop, EVRUN_ONCE);
}

static void test_warm_claim_stop(void **state)
{
    (void)state;
    make_taken();
    assert_true(berth.hold_until > 0);
    turn_stop(&berth, 1, "released");
    expect("close:3:released [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    assert_int_equal(worker.counts[BERTH_IDLE], 4);
    assert_int_equal(berth.order.turn, 0);
}

static void test_cold_start(void **state)
{
    (void)state;
    start(4, "s4");
    expect("[starting] start:default active:1 ");
    up();
    expect("open:3:/devtools/browser/x [taken] active:1 ready:4:s4 ");
    turn_on_gone(&berth, 4);
    expect("close:3:cancelled [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:4 [idle] ");
}

static void test_repeated_jobs(void **state)
{
    (void)state;
    make_taken();
    claim(1, "s1");
    start(1, "s1");
    start(1, "");
    expect("close:3:released [cleaning] stop "); /* not heard of before: the same number for somebody else,
                                                    after Redis lost a second */
    turn_abort(&berth, "worker_lost");
    turn_on_clean(&berth);
    record[0] = '\0';
}

static void test_repeated_stop(void **state)
{
    (void)state;
    make_taken();
    turn_stop(&berth, 1, "released");
    turn_stop(&berth, 1, "released");
    claim(1, "s1");
    start(1, "s1");
    expect("close:3:released [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    turn_stop(&berth, 1, "released"); /* Redis has not heard it yet */
    expect("freed:1 ");
    turn_stop(&berth, 9, "released"); /* never began here */
    expect("freed:9 ");
    start(9, "s9"); /* and does not begin afterwards */
    claim(9, "s9");
    start(8, "s8");
    expect("");
}

static void test_other_profile_takes_the_place(void **state)
{
    struct berth_order o = order(2, "s2");

    (void)state;
    make_warm();
    o.profile = &profiles[1];
    turn_start(&berth, &o);
    expect("close:3:released [cleaning] stop ");
    turn_on_clean(&berth);
    expect("[idle] [starting] start:other active:1 "); /* `freed` of turn 1 would be stale */
    up();
    expect("open:3:/devtools/browser/x [taken] active:1 ready:2:s2 ");
}

static void test_stop_before_the_place_is_clean(void **state)
{
    (void)state;
    make_warm();
    start(2, "s2");
    turn_stop(&berth, 2, "cancelled");
    turn_stop(&berth, 2, "cancelled");
    expect("close:3:released [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:2 [idle] ");
}

static void test_crashes(void **state)
{
    (void)state;
    make_taken();
    turn_on_down(&berth, "it was killed");
    expect("failed:1:it was killed close:3:browser_crashed [cleaning] stop ");
    turn_on_down(&berth, "again");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    assert_int_equal(worker.crashes, 1);

    start(2, "");
    turn_on_down(&berth, "no binary");
    turn_on_clean(&berth);
    expect(
        "[starting] start:default active:0 pool_failure failed:2:no binary [cleaning] stop freed:2 [idle] ");
    assert_int_equal(worker.crashes, 1);

    start(3, "");
    up();
    turn_on_down(&berth, "died");
    expect("[starting] start:default active:0 [warming] warmup pool_failure failed:3:died warmup_cancel "
           "[cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:3 [idle] ");

    start(4, "");
    up();
    warmup_done(warmup_arg, -1, "no page");
    expect(
        "[starting] start:default active:0 [warming] warmup pool_failure failed:4:no page [cleaning] stop ");
}

static void test_unreachable(void **state)
{
    (void)state;
    connect_errno = ECONNREFUSED;
    start(1, "");
    up();
    expect("[starting] start:default active:0 pool_failure failed:1:its CDP port cannot be reached "
           "[cleaning] stop ");
}

static void test_claim_after_crash(void **state)
{
    (void)state;
    make_warm();
    turn_on_down(&berth, "died");
    expect("failed:1:died close:3:browser_crashed [cleaning] stop ");
    claim(1, "s1"); /* was on its way: `failed` has ended the session */
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    claim(5, "s5"); /* of a browser that nobody made */
    expect("freed:5 ");
}

static void test_second_claim_of_one_browser(void **state)
{
    (void)state;
    make_taken();
    claim(1, "s2");
    expect("failed:1:another session had this browser close:3:browser_crashed [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
}

static void test_withdraw(void **state)
{
    (void)state;
    make_warm();
    turn_withdraw(&berth);
    turn_withdraw(&berth);
    expect("withdraw:1 ");
    turn_on_withdrawn(&berth, 1, 0);
    expect("");
    turn_withdraw(&berth);
    claim(1, "s1");
    turn_on_withdrawn(&berth, 1, 0);
    expect("withdraw:1 [taken] active:1 ");
    turn_withdraw(&berth);
    expect("");
}

static void test_withdraw_granted(void **state)
{
    (void)state;
    make_warm();
    turn_withdraw(&berth);
    turn_on_withdrawn(&berth, 7, 1);
    expect("withdraw:1 ");
    turn_on_withdrawn(&berth, 1, 1);
    expect("close:3:released [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
}

static void test_stale(void **state)
{
    (void)state;
    make_taken();
    turn_on_stale(&berth, 7);
    expect("");
    turn_on_stale(&berth, 1);
    expect("close:3:worker_lost [cleaning] stop ");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
}

static void test_stale_while_cleaning(void **state)
{
    (void)state;
    make_warm();
    turn_stop(&berth, 1, "drained"); /* before the offer's answer, which was lost and is given anew: */
    turn_on_stale(&berth, 1);
    turn_on_clean(&berth);
    expect("close:3:drained [cleaning] stop freed:1 [idle] ");
}

static void test_abort_and_forget(void **state)
{
    (void)state;
    make_taken();
    start(2, "s2");
    turn_abort(&berth, "worker_lost");
    expect("close:3:released [cleaning] stop ");
    turn_forget(&berth);
    start(1, "n1"); /* the new epoch's first turn comes while the old browser is still being cleaned */
    turn_stop(&berth, 1, "released");
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    turn_forget(&berth);
    start(1, "n2");
    expect("[starting] start:default active:1 ");
}

static void test_end_of_what_starts(void **state)
{
    (void)state;
    start(1, "s1");
    turn_end(&berth, "drained"); /* not released: it is placed again */
    turn_end(&berth, "drained");
    expect("[starting] start:default active:1 [cleaning] stop ");
    turn_on_up(&berth, "/late", &(struct driver_timings){0});
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
    turn_on_clean(&berth);
    expect("");
}

static void test_lifetime(void **state)
{
    struct berth_order o = order(1, "s1");

    (void)state;
    make_warm();
    o.limits.timeout_ms = 20;
    o.limits.keep_alive = 1;
    turn_claim(&berth, &o);
    run_while(BERTH_TAKEN);
    expect("[taken] active:1 release:s1:timeout close:3:timeout [cleaning] stop ");
    turn_stop(&berth, 1, "timeout"); /* the script's own stop job */
    turn_on_clean(&berth);
    expect("freed:1 [idle] ");
}

static void test_idle(void **state)
{
    struct berth_order o = order(1, "s1");

    (void)state;
    make_warm();
    o.limits.idle_ms = 20;
    turn_claim(&berth, &o);
    turn_on_clients(&berth, 1);
    turn_on_activity(&berth);
    run_while(BERTH_TAKEN);
    expect("[taken] active:1 release:s1:idle close:3:idle [cleaning] stop ");
}

static void test_last_client_leaves(void **state)
{
    (void)state;
    settings.disconnect_grace = 10;
    make_taken();
    turn_on_clients(&berth, 1);
    turn_on_clients(&berth, 0);
    turn_on_clients(&berth, 1);
    turn_on_clients(&berth, 0);
    run_while(BERTH_TAKEN);
    expect("release:s1:disconnected close:3:disconnected [cleaning] stop ");
}

static void test_nobody_connects(void **state)
{
    (void)state;
    settings.connect_timeout = 10;
    make_taken();
    run_while(BERTH_TAKEN);
    expect("release:s1:disconnected close:3:disconnected [cleaning] stop ");
}

static void test_no_gateway(void **state)
{
    (void)state;
    worker.gateway = NULL;
    settings.connect_timeout = 0;
    start(1, "s1");
    up();
    ev_run(worker.loop, EVRUN_NOWAIT);
    expect("[starting] start:default active:1 [taken] active:1 ready:1:s1 ");
    turn_stop(&berth, 1, "released");
    expect("[cleaning] stop ");
}

static void test_client_comes_before_the_claim(void **state)
{
    (void)state;
    make_warm();
    turn_on_clients(&berth, 1);
    expect("active:1 ");
    assert_true(ev_is_active(&berth.timer)); /* who never gets a claim is put out */
    claim(1, "s1");
    expect("[taken] active:1 ");
    assert_int_equal(berth.timers.clients, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_warm_claim_stop),
        TEST(test_cold_start),
        TEST(test_repeated_jobs),
        TEST(test_repeated_stop),
        TEST(test_other_profile_takes_the_place),
        TEST(test_stop_before_the_place_is_clean),
        TEST(test_crashes),
        TEST(test_unreachable),
        TEST(test_claim_after_crash),
        TEST(test_second_claim_of_one_browser),
        TEST(test_withdraw),
        TEST(test_withdraw_granted),
        TEST(test_stale),
        TEST(test_stale_while_cleaning),
        TEST(test_abort_and_forget),
        TEST(test_end_of_what_starts),
        TEST(test_lifetime),
        TEST(test_idle),
        TEST(test_last_client_leaves),
        TEST(test_nobody_connects),
        TEST(test_no_gateway),
        TEST(test_client_comes_before_the_claim),
    };

    (void)log_init("unit", "error", "text");
    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
