/* links: test/support/redis_fixture.c test/support/script_stubs.c */
/* redis_script.c: script calls against a real Redis that forgets the library, dies, or refuses for a while.
 */
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
#include "shared/redis_conn.h"
#include "test/support/redis_fixture.h"

#define REPORTS 60

static struct redis_fixture fixture;
static struct redis *redis;
static int ups, downs;
static int answers;             /* callbacks called */
static enum err codes[1000];    /* by callback */
static long long numbers[1000]; /* second element of each reply */
static char text[256];          /* of the last reply, elements joined by spaces */

static void on_state(void *arg, int up)
{
    (void)arg;
    ups += up;
    downs += !up;
}

static void on_reply(void *arg, const redisReply *reply)
{
    if (arg)
        assert_int_equal((uintptr_t)arg, answers + 1); /* numbered: they come in order */
    assert_in_range(answers, 0, 999);
    codes[answers] = redis_code(reply);
    numbers[answers++] = redis_int(reply, 1, -1);
    text[0] = '\0';
    for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 redis_str(reply, i) ? redis_str(reply, i) : "?");
}

static void connect_up(int timeout_ms)
{
    redis = redis_new(fixture.loop, fixture.address, "c0", "test", timeout_ms, on_state, NULL);
    UNTIL(&fixture, ups == 1);
}

static int set_up(void **state)
{
    (void)state;
    redis = NULL;
    answers = ups = downs = 0;
    redis_fixture_init(&fixture);
    redis_fixture_run(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_free(redis);
    redis_fixture_cleanup(&fixture);
    return 0;
}

/* The reports' numbers in the log list, once each in the order in which they first stand there, must be 1, 2,
 * 3 …: a report that was carried out but not answered may stand there again, right behind itself. */
static void check_log(int expected)
{
    char *log = redis_fixture_ask(&fixture, "LRANGE berth:{c0}:log 0 -1"), *p = log;
    int last = 0;

    while (*p) {
        int n = (int)strtol(p, &p, 10);
        assert_true(n == last || n == last + 1);
        last = n;
    }
    assert_int_equal(last, expected);
    free(log);
}

/* The answers of several lines come in any order. */
static void report_in_line(unsigned line, int n)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", n);
    redis_script_retry(redis, line, on_reply, NULL, SCRIPT_register, number, NULL);
}

static void report(int n)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", n);
    redis_script_retry(redis, 0, on_reply, (void *)(uintptr_t)n, SCRIPT_register, number, NULL);
}

/* ---- plain calls ---- */

static void passes_prefix_time_and_arguments(void **state)
{
    static const char *argv[] = {"one", "", "three\r\n\"\x01"};
    static const size_t lens[] = {3, 0, 8};

    (void)state;
    connect_up(5000);
    redis_script(redis, on_reply, NULL, SCRIPT_admit, "a", "", "c d", NULL);
    UNTIL(&fixture, answers == 1);
    assert_string_equal(text, "ok berth:{c0} 0 a  c d");
    redis_script(redis, on_reply, NULL, SCRIPT_admit, NULL);
    UNTIL(&fixture, answers == 2);
    assert_string_equal(text, "ok berth:{c0} 0");
    redis_script_argv(redis, on_reply, NULL, SCRIPT_list, 3, argv, lens);
    UNTIL(&fixture, answers == 3);
    assert_string_equal(text, "ok berth:{c0} 0 one  three\r\n\"");
    redis_script_argv(redis, on_reply, NULL, SCRIPT_list, 1, argv, NULL);
    redis_script(redis, NULL, NULL, SCRIPT_admit, NULL);
    UNTIL(&fixture, answers == 4);
    assert_string_equal(text, "ok berth:{c0} 0 one");
}

static void gives_codes(void **state)
{
    (void)state;
    connect_up(5000);
    redis_script(redis, on_reply, NULL, SCRIPT_get, NULL);
    redis_script(redis, on_reply, NULL, SCRIPT_heartbeat, NULL);
    redis_script(redis, on_reply, NULL, SCRIPT_failed, NULL);
    UNTIL(&fixture, answers == 3);
    assert_int_equal(codes[0], ERR_not_found);
    assert_int_equal(codes[1], ERR_stale_epoch);
    assert_int_equal(codes[2], ERR_internal);
    redis_fixture_kill(&fixture);
    redis_script(redis, on_reply, NULL, SCRIPT_get, NULL);
    UNTIL(&fixture, answers == 4);
    assert_int_equal(codes[3], ERR_redis_unavailable);
    UNTIL(&fixture, downs == 1);
    redis_script(redis, on_reply, NULL, SCRIPT_get, NULL);
    redis_script(redis, NULL, NULL, SCRIPT_get, NULL);
    assert_int_equal(answers, 4);
    UNTIL(&fixture, answers == 5);
    assert_int_equal(codes[4], ERR_redis_unavailable);
}

static void load_another(const char *name)
{
    char library[256];

    snprintf(library, sizeof(library),
             "#!lua name=%s\nredis.register_function('%s_f', function() return 'ok' end)", name, name);
    ASK(&fixture, name, "FUNCTION LOAD %s", library);
}

/* Libraries there may be: all stay. */
static void loads_what_redis_lacks(void **state)
{
    (void)state;
    load_another("berth_other");
    for (int i = 0; i < 2; i++) { /* it is not missing the second time */
        connect_up(5000);
        ASK(&fixture, "ok", "FCALL berth_other_f 0");
        ASK(&fixture, "not_found", "FCALL %s 0", redis_script_function(SCRIPT_get));
        redis_free(redis);
        redis = NULL;
        ups = 0;
    }
    ASK(&fixture, "OK", "FUNCTION DELETE berth_stub");
}

static void removes_libraries_of_many_versions(void **state)
{
    char name[32];

    (void)state;
    load_another("theirs");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "berth_v%d", i);
        load_another(name);
    }
    connect_up(5000);
    ASK(&fixture, "not_found", "FCALL %s 0", redis_script_function(SCRIPT_get));
    ASK(&fixture, "ok", "FCALL theirs_f 0");
    for (int i = 0; i < 8; i++)
        ASK(&fixture, "ERR Function not found", "FCALL berth_v%d_f 0", i);
}

static void loads_again_what_redis_forgot(void **state)
{
    (void)state;
    connect_up(5000);
    for (int round = 0; round < 3; round++) {
        ASK(&fixture, "OK", "FUNCTION FLUSH");
        for (int i = 1; i <= 10; i++)
            redis_script(redis, on_reply, NULL, i % 2 ? SCRIPT_admit : SCRIPT_get, "x", NULL);
        redis_script(redis, NULL, NULL, SCRIPT_drain, "x", NULL);
        UNTIL(&fixture, answers == 10);
        for (int i = 0; i < 10; i++)
            assert_int_equal(codes[i], i % 2 ? ERR_not_found : ERR_ok);
        answers = 0;
    }
    assert_int_equal(downs, 0);
}

/* ---- reports, which have to arrive ---- */

static void keeps_the_order_of_reports_when_redis_dies(void **state)
{
    (void)state;
    connect_up(5000);
    for (int i = 1; i <= REPORTS; i++)
        report(i);
    UNTIL(&fixture, answers >= 5);
    redis_fixture_kill(&fixture);
    UNTIL(&fixture, downs == 1);
    report(REPORTS + 1);
    assert_true(answers < REPORTS);
    redis_fixture_run(&fixture);
    UNTIL(&fixture, answers >= REPORTS / 2);
    redis_fixture_stop(&fixture);
    UNTIL(&fixture, downs == 2);
    redis_fixture_run(&fixture);
    UNTIL(&fixture, answers == REPORTS + 1);
    for (int i = 0; i < answers; i++)
        assert_int_equal(codes[i], ERR_ok);
    check_log(REPORTS + 1);
}

static void keeps_the_order_of_reports_when_redis_forgets(void **state)
{
    (void)state;
    connect_up(5000);
    for (int i = 1; i <= REPORTS; i++) {
        report(i);
        if (i % 7 == 0) {
            ASK(&fixture, "OK", "FUNCTION FLUSH");
            UNTIL(&fixture, answers >= i - 3);
        }
    }
    redis_script_retry(redis, 0, NULL, NULL, SCRIPT_get, NULL);
    report(REPORTS + 1);
    UNTIL(&fixture, answers == REPORTS + 1);
    check_log(REPORTS + 1);
}

static void repeats_reports_to_a_redis_that_hangs(void **state)
{
    (void)state;
    connect_up(150);
    redis_fixture_pause(&fixture);
    report(1);
    report(2);
    UNTIL(&fixture, downs == 1);
    assert_int_equal(answers, 0);
    redis_fixture_resume(&fixture);
    UNTIL(&fixture, answers == 2);
    check_log(2);
}

static void repeats_reports_to_a_redis_that_refuses(void **state)
{
    (void)state;
    connect_up(5000);
    ASK(&fixture, "OK", "REPLICAOF 127.0.0.1 1");
    redis_script(redis, on_reply, NULL, SCRIPT_register, "0", NULL);
    UNTIL(&fixture, answers == 1);
    assert_int_equal(codes[0], ERR_redis_unavailable);
    UNTIL(&fixture, downs == 1); /* a replica: perhaps the primary is elsewhere by now */
    answers = 0;
    report(1);
    report(2);
    UNTIL(&fixture, downs >= 2);
    assert_int_equal(answers, 0);
    ASK(&fixture, "OK", "REPLICAOF NO ONE");
    UNTIL(&fixture, answers == 2);
    check_log(2);

    ASK(&fixture, "OK", "CONFIG SET maxmemory 1");
    report(3);
    UNTIL(&fixture, redis->retry_failures >= 2);
    assert_int_equal(answers, 2);
    ASK(&fixture, "OK", "CONFIG SET maxmemory 0");
    UNTIL(&fixture, answers == 3);
    check_log(3);
    assert_int_equal(redis->retry_failures, 0);
}

/* One of each line is on its way; what Redis refused is repeated in the order of its line. */
static void sends_lines_side_by_side(void **state)
{
    char *log;

    (void)state;
    connect_up(5000);
    report_in_line(3, 1);
    report_in_line(3, 2);
    report_in_line(3 + REDIS_RETRY_LINES, 3);
    report_in_line(4, 9);
    assert_int_equal(redis->waiting.count, 2);
    UNTIL(&fixture, answers == 4);
    ASK(&fixture, "1", "DEL berth:{c0}:log");
    answers = 0;
    ASK(&fixture, "OK", "CONFIG SET maxmemory 1");
    for (int i = 1; i <= 3; i++) {
        report_in_line(0, i);
        report_in_line(1, 10 + i);
    }
    UNTIL(&fixture, redis->retry_failures >= 2);
    assert_int_equal(answers, 0);
    ASK(&fixture, "OK", "CONFIG SET maxmemory 0");
    UNTIL(&fixture, answers == 6);
    log = redis_fixture_ask(&fixture, "LRANGE berth:{c0}:log 0 -1");
    assert_string_equal(log, "1 11 2 12 3 13");
    free(log);
}

static void takes_reports_before_it_was_ever_up(void **state)
{
    (void)state;
    redis_fixture_stop(&fixture);
    redis = redis_new(fixture.loop, fixture.address, "c0", "test", 5000, on_state, NULL);
    report(1);
    report(2);
    UNTIL(&fixture, redis->failures >= 2);
    redis_fixture_run(&fixture);
    UNTIL(&fixture, answers == 2);
    check_log(2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passes_prefix_time_and_arguments),
        TEST(gives_codes),
        TEST(loads_what_redis_lacks),
        TEST(removes_libraries_of_many_versions),
        TEST(loads_again_what_redis_forgot),
        TEST(keeps_the_order_of_reports_when_redis_dies),
        TEST(keeps_the_order_of_reports_when_redis_forgets),
        TEST(repeats_reports_to_a_redis_that_hangs),
        TEST(repeats_reports_to_a_redis_that_refuses),
        TEST(sends_lines_side_by_side),
        TEST(takes_reports_before_it_was_ever_up),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
