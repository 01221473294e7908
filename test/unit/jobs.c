/* links: worker/jobs.c */
/* Unit tests of the job reader: what it makes of entries, well-formed and not, what it acknowledges, and how
 * it goes on after errors and reconnects. The connection is a record of commands. */
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

static char record[4096];
static struct worker worker;
static struct settings settings = {.cell = "c0"};
static struct profile profiles[1];
static struct profile_set set = {profiles, 1};
static struct berth berths[4];
static redis_state_cb *on_state;
static redis_reply_cb *on_read;

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
    size_t used = strlen(record);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(record + used, sizeof(record) - used, fmt, ap);
    va_end(ap);
}

static void expect_at(int line, const char *what)
{
    if (strcmp(record, what) != 0)
        print_error("line %d\n", line);
    assert_string_equal(record, what);
    record[0] = '\0';
}
#define expect(what) expect_at(__LINE__, what)

/* ---- what jobs.c calls ---- */

struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address, const char *cell,
                        const char *name, int timeout_ms, redis_state_cb *state, void *arg)
{
    (void)loop;
    (void)address;
    (void)cell;
    (void)name;
    (void)arg;
    assert_true(timeout_ms > 5000);
    on_state = state;
    return (struct redis *)&worker;
}

void redis_free(struct redis *r)
{
    (void)r;
}

int redis_is_up(const struct redis *r)
{
    (void)r;
    return 1;
}

void redis_call(struct redis *r, redis_reply_cb *cb, void *arg, ...)
{
    const char *word, *last = "";
    va_list ap;

    (void)r;
    va_start(ap, arg);
    while ((word = va_arg(ap, const char *)))
        last = word;
    va_end(ap);
    note("read:%s ", last);
    on_read = cb;
}

void redis_command(struct redis *r, redis_reply_cb *cb, void *arg, int argc, const char **argv,
                   const size_t *lens)
{
    (void)r;
    (void)cb;
    (void)arg;
    (void)lens;
    for (int i = 0; i < argc; i++)
        note("%s%s", i ? "," : "", argv[i]);
    note(" ");
}

const struct profile *profile_find(const struct profile_set *s, const char *name)
{
    return strcmp(name, "default") == 0 ? &s->items[0] : NULL;
}

void turn_claim(struct berth *b, const struct berth_order *o)
{
    note("claim:%d:%lld:%s:%.0f:%.0f:%d ", b->index, o->turn, o->session, o->limits.timeout_ms,
         o->limits.idle_ms, o->limits.keep_alive);
}

void turn_start(struct berth *b, const struct berth_order *o)
{
    note("start:%d:%lld:%s ", b->index, o->turn, o->session);
}

void turn_stop(struct berth *b, long long turn, const char *reason)
{
    note("stop:%d:%lld:%s ", b->index, turn, reason);
}

void worker_set_draining(struct worker *w, int draining)
{
    (void)w;
    note("draining:%d ", draining);
}

void control_check(struct worker *w)
{
    (void)w;
    note("check ");
}

/* ---- replies from text ---- */

static redisReply *text(const char *s)
{
    redisReply *r = calloc(1, sizeof(*r));

    r->type = s ? REDIS_REPLY_STRING : REDIS_REPLY_NIL;
    r->str = s ? strdup(s) : NULL;
    r->len = s ? strlen(s) : 0;
    return r;
}

static redisReply *array(void)
{
    redisReply *r = calloc(1, sizeof(*r));

    r->type = REDIS_REPLY_ARRAY;
    return r;
}

static void add(redisReply *list, redisReply *item)
{
    list->element = realloc(list->element, (list->elements + 1) * sizeof(*list->element));
    list->element[list->elements++] = item;
}

/* Words parted by spaces. */
static redisReply *words(const char *line)
{
    redisReply *list = array();
    char *copy = strdup(line), *save = NULL;

    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        add(list, text(strcmp(w, "_") == 0 ? "" : w));
    free(copy);
    return list;
}

/* What XREADGROUP answers: one stream with an entry for each line, ids 1-0, 2-0 …; a line "nil" is a deleted
 * entry. */
static redisReply *batch(const char *const *lines)
{
    redisReply *reply = array(), *stream = array(), *entries = array();
    char id[16];

    for (int i = 0; lines[i]; i++) {
        redisReply *entry = array();

        snprintf(id, sizeof(id), "%d-0", i + 1);
        add(entry, text(id));
        add(entry, strcmp(lines[i], "nil") == 0 ? text(NULL) : words(lines[i]));
        add(entries, entry);
    }
    add(stream, text("key"));
    add(stream, entries);
    add(reply, stream);
    return reply;
}

static void answer(redisReply *reply)
{
    on_read(&worker, reply);
    if (reply)
        freeReplyObject(reply);
}

static int setup(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    worker.loop = ev_default_loop(EVFLAG_AUTO);
    worker.settings = &settings;
    worker.profiles = &set;
    worker.berths = berths;
    worker.capacity = 4;
    worker.control.epoch = 7;
    snprintf(worker.id, sizeof(worker.id), "w");
    for (int i = 0; i < 4; i++)
        berths[i].index = i;
    jobs_init(&worker);
    jobs_start(&worker);
    record[0] = '\0';
    on_state(&worker, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    jobs_stop(&worker);
    return 0;
}

static void parse_fails(const char *line, const char *field)
{
    redisReply *fields = words(line);
    struct job job;
    const char *why;

    assert_int_equal(jobs_parse(fields, 4, &job, &why), -1);
    assert_string_equal(why, field);
    freeReplyObject(fields);
}

static void test_parse(void **state)
{
    redisReply *fields =
        words("kind start epoch 7 berth 3 turn 12 session c0-abc profile default timeout_ms 900000 idle_ms 0 "
              "keep_alive 1 more x");
    struct job job;
    const char *why;

    (void)state;
    assert_int_equal(jobs_parse(fields, 4, &job, &why), 0);
    assert_int_equal(job.kind, JOB_START);
    assert_int_equal(job.epoch, 7);
    assert_int_equal(job.berth, 3);
    assert_int_equal(job.turn, 12);
    assert_string_equal(job.session, "c0-abc");
    assert_string_equal(job.profile, "default");
    assert_true(job.limits.timeout_ms == 900000 && job.limits.idle_ms == 0 && job.limits.keep_alive == 1);
    freeReplyObject(fields);
}

static void test_parse_refuses(void **state)
{
    struct job job;
    const char *why;

    (void)state;
    assert_int_equal(jobs_parse(NULL, 4, &job, &why), -1);
    parse_fails("", "kind");
    parse_fails("kind explode epoch 7", "kind");
    parse_fails("kind stop", "epoch");
    parse_fails("kind drain epoch -1", "epoch");
    parse_fails("kind drain epoch 1x", "epoch");
    parse_fails("kind drain epoch 99999999999999999999999", "epoch");
    parse_fails("kind stop epoch 7 turn 1", "berth");
    parse_fails("kind stop epoch 7 berth 4 turn 1", "berth");
    parse_fails("kind stop epoch 7 berth -1 turn 1", "berth");
    parse_fails("kind stop epoch 7 berth 0", "turn");
    parse_fails("kind stop epoch 7 berth 0 turn 0", "turn");
    parse_fails("kind claim epoch 7 berth 0 turn 1", "session");
    parse_fails("kind claim epoch 7 berth 0 turn 1 session "
                "c0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "session");
}

static void test_each_kind(void **state)
{
    const char *const lines[] = {
        "kind claim epoch 7 berth 0 turn 1 session s1 profile default timeout_ms 5 idle_ms 6 keep_alive 0",
        "kind start epoch 7 berth 1 turn 2 session s2 profile default",
        "kind stop epoch 7 berth 2 turn 3 session s3 reason timeout",
        "kind stop epoch 7 berth 3 turn 4 session _",
        "kind drain epoch 7",
        "kind undrain epoch 7",
        NULL};

    (void)state;
    expect("read:0 ");
    answer(batch(lines));
    expect("claim:0:1:s1:5:6:0 start:1:2:s2 stop:2:3:timeout stop:3:4:released draining:1 draining:0 "
           "XACK,berth:{c0}:jobs:w,worker,1-0,2-0,3-0,4-0,5-0,6-0 "
           "XDEL,berth:{c0}:jobs:w,1-0,2-0,3-0,4-0,5-0,6-0 read:0 ");
}

static void test_what_is_not_for_us(void **state)
{
    const char *const lines[] = {"kind claim epoch 6 berth 0 turn 1 session s1", "kind what epoch 7", "nil",
                                 "kind start epoch 7 berth 1 turn 2 session s2 profile unknown", NULL};

    (void)state;
    record[0] = '\0';
    answer(batch(lines));
    expect("stop:1:2:start_failed "
           "XACK,berth:{c0}:jobs:w,worker,1-0,2-0,3-0,4-0 XDEL,berth:{c0}:jobs:w,1-0,2-0,3-0,4-0 read:0 ");
}

static void test_pending_first(void **state)
{
    const char *const none[] = {NULL};

    (void)state;
    answer(batch(none));
    expect("read:0 read:> ");
    answer(text(NULL)); /* BLOCK ran out */
    expect("read:> ");
    answer(NULL); /* the connection is lost */
    expect("");
    on_state(&worker, 0);
    on_state(&worker, 1);
    expect("read:0 ");
}

static void test_error(void **state)
{
    redisReply *error = text("NOGROUP No such key");

    (void)state;
    record[0] = '\0';
    error->type = REDIS_REPLY_ERROR;
    answer(error);
    expect("check ");
    while (!record[0])
        ev_run(worker.loop, EVRUN_ONCE);
    expect("read:0 ");
}

static void test_odd_replies(void **state)
{
    (void)state;
    record[0] = '\0';
    answer(array());
    expect("read:> ");
    answer(words("a b"));
    expect("read:> ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_parse_refuses),
        TEST(test_each_kind),         TEST(test_what_is_not_for_us),
        TEST(test_pending_first),     TEST(test_error),
        TEST(test_odd_replies),
    };

    (void)log_init("unit", "error", "text");
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
