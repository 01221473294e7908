/* links: worker/reconcile.c worker/berth.c */
/* Unit tests of the comparison with Redis: what it makes of each pair of states, and that it acts on the
 * second look only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/log.h"
#include "worker/turn.h"
#include "worker/worker.h"

static struct worker worker;
static struct berth berth;
static char record[256];

void turn_abort(struct berth *b, const char *reason)
{
    (void)b;
    strcat(record, "abort:");
    strcat(record, reason);
    strcat(record, " ");
}

void turn_stop(struct berth *b, long long turn, const char *reason)
{
    size_t used = strlen(record);

    (void)b;
    snprintf(record + used, sizeof(record) - used, "stop:%lld:%s ", turn, reason);
}

void report_offer(struct berth *b)
{
    (void)b;
    strcat(record, "offer ");
}

void report_ready(struct berth *b)
{
    (void)b;
    strcat(record, "ready ");
}

void worker_on_berth(struct worker *w, struct berth *b)
{
    (void)w;
    (void)b;
}

void redis_call(struct redis *r, redis_reply_cb *cb, void *arg, ...)
{
    (void)r;
    (void)cb;
    (void)arg;
}

int redis_is_up(const struct redis *r)
{
    (void)r;
    return 1;
}

static int setup(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    worker.loop = ev_default_loop(EVFLAG_AUTO);
    berth_init(&berth, &worker, 0);
    record[0] = '\0';
    return 0;
}

static void here(enum berth_state s, long long turn, long long seen)
{
    berth.state = s;
    berth.order.turn = turn;
    berth.seen = seen;
    berth.free_turn = 0;
    berth.suspect_kind = RECONCILE_FINE;
}

static struct reconcile_record in_redis(const char *text)
{
    struct reconcile_record r;

    assert_int_equal(reconcile_parse(text, &r), 0);
    return r;
}

static void verdict(const char *text, enum reconcile_verdict v)
{
    struct reconcile_record r = in_redis(text);

    assert_int_equal(reconcile_judge(&berth, &r), v);
}

static void test_parse(void **state)
{
    struct reconcile_record r = in_redis("free|12||||");

    (void)state;
    assert_true(r.state == RECONCILE_FREE && r.turn == 12 && !r.session[0]);
    r = in_redis("cleaning|3|default|c0-x|s|{\"a\":1}");
    assert_true(r.state == RECONCILE_CLEANING && r.turn == 3);
    assert_string_equal(r.session, "c0-x");
    assert_int_equal(reconcile_parse("", &r), -1);
    assert_int_equal(reconcile_parse("free", &r), -1);
    assert_int_equal(reconcile_parse("free|", &r), -1);
    assert_int_equal(reconcile_parse("free||x", &r), -1);
    assert_int_equal(reconcile_parse("free|-1|x", &r), -1);
    assert_int_equal(reconcile_parse("free|12", &r), -1);
    assert_int_equal(reconcile_parse("free|12|", &r), -1);
    assert_int_equal(reconcile_parse("fre|12|||", &r), -1);
    assert_int_equal(reconcile_parse("freee|12|||", &r), -1);
    assert_int_equal(
        reconcile_parse("taken|1|p|c0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa||", &r), -1);
}

static void test_judge(void **state)
{
    struct berth_order next = {.turn = 6};

    (void)state;
    here(BERTH_IDLE, 0, 0);
    verdict("free|0||||", RECONCILE_FINE);
    verdict("starting|1|default|||", RECONCILE_GHOST);
    here(BERTH_IDLE, 0, 5);
    verdict("free|5||||", RECONCILE_FINE);
    verdict("taken|5|default|s||", RECONCILE_GHOST);
    verdict("cleaning|5|default|s||", RECONCILE_GHOST);
    verdict("free|4||||", RECONCILE_REWOUND);
    here(BERTH_STARTING, 5, 5);
    verdict("starting|5|default|s||", RECONCILE_GHOST); /* for the pool, says this worker */
    verdict("starting|5|default|||", RECONCILE_FINE);
    here(BERTH_WARM, 5, 5);
    verdict("starting|5|default|||", RECONCILE_UNHEARD);
    verdict("warm|5|default||x|", RECONCILE_FINE);
    verdict("taken|5|default|s|x|", RECONCILE_FINE); /* the claim is on its way */
    here(BERTH_TAKEN, 5, 5);
    strcpy(berth.order.session, "s");
    verdict("taken|5|default|s||", RECONCILE_FINE);
    verdict("taken|5|default|s2||", RECONCILE_GHOST);
    verdict("warm|5|default||x|", RECONCILE_GHOST);
    verdict("starting|5|default|||", RECONCILE_GHOST);
    verdict("starting|5|default|s||", RECONCILE_UNHEARD);
    verdict("cleaning|5|default|s||", RECONCILE_GHOST);
    verdict("free|5||||", RECONCILE_ORPHAN);
    verdict("starting|6|default|s||", RECONCILE_GHOST);
    verdict("taken|4|default|s||", RECONCILE_REWOUND);
    here(BERTH_CLEANING, 5, 5);
    verdict("free|5||||", RECONCILE_FINE);
    verdict("cleaning|5|default|s||", RECONCILE_GHOST); /* nobody would say `freed` */
    berth.free_turn = 5;
    verdict("cleaning|5|default|s||", RECONCILE_FINE);
    here(BERTH_CLEANING, 5, 6);
    berth.next = &next;
    verdict("starting|6|other|s||", RECONCILE_FINE);
    berth.next = NULL;
}

static void look(const char *text, const char *done)
{
    struct reconcile_record r = in_redis(text);

    (void)reconcile_look(&berth, &r);
    assert_string_equal(record, done);
    record[0] = '\0';
}

static void test_second_look(void **state)
{
    (void)state;
    here(BERTH_IDLE, 0, 5);
    look("starting|6|default|||", "");
    look("starting|7|default|||", ""); /* another turn: a new doubt */
    look("starting|7|default|||", "stop:7:worker_lost ");
    look("starting|7|default|||", "");
    look("starting|7|default|||", "stop:7:worker_lost ");
    look("free|7||||", "");
    look("starting|8|default|||", "");
}

static void test_remedies(void **state)
{
    (void)state;
    here(BERTH_WARM, 5, 5);
    look("starting|5|default|||", "");
    look("starting|5|default|||", "offer ");
    here(BERTH_TAKEN, 5, 5);
    strcpy(berth.order.session, "s");
    look("starting|5|default|s||", "");
    look("starting|5|default|s||", "ready ");
    here(BERTH_TAKEN, 5, 5);
    look("free|5||||", "");
    look("free|5||||", "abort:worker_lost ");
    here(BERTH_TAKEN, 5, 5);
    look("cleaning|5|default|s||", "");
    look("cleaning|5|default|s||", "stop:5:worker_lost ");
    here(BERTH_TAKEN, 5, 5);
    look("starting|6|default|s||", "");
    look("starting|6|default|s||", "abort:worker_lost stop:6:worker_lost ");
    here(BERTH_TAKEN, 5, 5);
    look("free|3||||", "");
    look("free|3||||", "abort:worker_lost ");
    assert_int_equal(berth.seen, 3);
    here(BERTH_IDLE, 0, 5);
    look("taken|3|default|s||", "");
    look("taken|3|default|s||", "stop:3:worker_lost ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test_setup(test_judge, setup),
        cmocka_unit_test_setup(test_second_look, setup),
        cmocka_unit_test_setup(test_remedies, setup),
    };

    (void)log_init("unit", "error", "text");
    return cmocka_run_group_tests_name("reconcile", tests, NULL, NULL);
}
