/* floor_prepare.c: see floor_prepare.h. */
#include "floor_prepare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"
#include "../shared/random.h"
#include "../shared/redis_conn.h"

#define LEASE_MS "86400000"
#define META     "{\"browser\":\"chromium\",\"region\":\"local\"}"
/* As a worker with the process driver says. */
#define SEED_TIMINGS                                                                                         \
    "{\"totalMs\":286.4,\"networkSetupMs\":12.1,\"processSpawnMs\":3.4,\"configureMs\":1.0,"                 \
    "\"cdpReadyMs\":201.5,\"warmupMs\":68.4}"
#define PIPELINE 128

static redisContext *context;
static char prefix[KEYS_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, context && context->err ? context->errstr : "refused");
    exit(1);
}

void floor_secret(const char *berth, char out[64])
{
    char digits[33];

    random_hex(digits, sizeof(digits));
    snprintf(out, 64, "%s-%s", berth, digits);
}

void floor_admit(const struct floor_options *o, struct floor_admit *a, const char *argv[FLOOR_ADMIT_ARGS])
{
    const char *all[FLOOR_ADMIT_ARGS] = {a->session, a->project, o->profile, "900000", "120000",
                                         "0",        "86400000", "86400000", "spread", "0",
                                         "10000000", "10000000", META,       "",       ""};

    keys_new_session(a->session, o->cell);
    if (o->projects > 1)
        snprintf(a->project, sizeof(a->project), "p%d", (int)(random_unit() * o->projects));
    else
        snprintf(a->project, sizeof(a->project), "default");
    memcpy(argv, all, sizeof(all));
}

void floor_take_place(const struct floor_options *o, struct host *hosts, struct lane *l,
                      const redisReply *session)
{
    const char *worker = session ? redis_field(session, "worker") : NULL;
    size_t len = strlen(o->prefix);
    int n = worker && strncmp(worker, o->prefix, len) == 0 ? atoi(worker + len) : -1;

    if (n < 0 || n >= o->workers)
        fail("a session is on a worker that is not played here");
    l->host = &hosts[n];
    snprintf(l->session, sizeof(l->session), "%s", redis_field(session, "id"));
    snprintf(l->berth, sizeof(l->berth), "%s", redis_field(session, "berth"));
    snprintf(l->turn, sizeof(l->turn), "%s", redis_field(session, "turn"));
}

/* ---- blocking calls ---- */

static void append(enum script s, int argc, const char **args)
{
    const char *argv[5 + 16] = {"FCALL", redis_script_function(s), "1", prefix, "0"};

    memcpy(argv + 5, args, (size_t)argc * sizeof(*args));
    redisAppendCommandArgv(context, 5 + argc, argv, NULL);
}

static redisReply *next_reply(void)
{
    void *reply = NULL;

    if (redisGetReply(context, &reply) != REDIS_OK)
        fail("Redis");
    return reply;
}

static redisReply *next_ok(const char *what)
{
    redisReply *reply = next_reply();

    if (redis_code(reply) != ERR_ok) {
        fprintf(stderr, "floor: %s answered %s\n", what,
                reply->str ? reply->str : err_name(redis_code(reply)));
        exit(1);
    }
    return reply;
}

static void open_context(const struct floor_options *o)
{
    if (strncmp(o->redis, "unix://", 7) != 0)
        fail("--redis has to be unix:///PATH");
    context = redisConnectUnix(o->redis + 7);
    if (!context || context->err)
        fail("cannot connect");
    keys_prefix(prefix, o->cell);
    freeReplyObject(redisCommand(context, "FUNCTION LOAD REPLACE %s", scripts_library_text[0]));
}

static void register_host(const struct floor_options *o, struct host *h, int n)
{
    char berths[16];
    const char *argv[] = {h->id, LEASE_MS, berths, o->profile, "ws://127.0.0.1:3001", "sim", "{}", "spread"};
    redisReply *reply;

    snprintf(h->id, sizeof(h->id), "%s%d", o->prefix, n);
    snprintf(berths, sizeof(berths), "%d", o->berths);
    append(SCRIPT_register, 8, argv);
    reply = next_ok("register");
    snprintf(h->epoch, sizeof(h->epoch), "%lld", redis_int(reply, 1, 0));
    freeReplyObject(reply);
}

static void warm_berth(const struct floor_options *o, const struct host *h)
{
    char berth[24], turn[24], secret[64];
    const char *reserve[] = {h->id, h->epoch, o->profile};
    const char *offer[] = {h->id, h->epoch, berth, turn, o->profile, secret, FLOOR_TIMINGS, "spread"};
    redisReply *reply;

    append(SCRIPT_reserve, 3, reserve);
    reply = next_ok("reserve");
    snprintf(berth, sizeof(berth), "%lld", redis_int(reply, 1, -1));
    snprintf(turn, sizeof(turn), "%lld", redis_int(reply, 2, -1));
    freeReplyObject(reply);
    floor_secret(berth, secret);
    append(SCRIPT_offer, 8, offer);
    freeReplyObject(next_ok("offer"));
}

/* ---- many sessions ---- */

static void append_ready(const struct lane *l)
{
    char secret[64];
    const char *ready[] = {l->host->id, l->host->epoch, l->berth, l->turn, l->session, secret, SEED_TIMINGS};

    floor_secret(l->berth, secret);
    append(SCRIPT_ready, 7, ready);
}

/* Up to PIPELINE sessions at once; where they are placed (not for those that wait) goes to lanes. */
static void admit_batch(const struct floor_options *o, struct host *hosts, struct lane *lanes, int n,
                        int wait)
{
    struct floor_admit admit;
    const char *argv[FLOOR_ADMIT_ARGS];

    for (int i = 0; i < n; i++) {
        floor_admit(o, &admit, argv);
        append(SCRIPT_admit, FLOOR_ADMIT_ARGS, argv);
    }
    for (int i = 0; i < n; i++) {
        redisReply *reply = next_ok("admit");

        if (!wait)
            floor_take_place(o, hosts, &lanes[i], redis_array(reply, 3));
        freeReplyObject(reply);
    }
    if (wait)
        return;
    for (int i = 0; i < n; i++)
        append_ready(&lanes[i]);
    for (int i = 0; i < n; i++)
        freeReplyObject(next_ok("ready"));
}

static void admit_many(const struct floor_options *o, struct host *hosts, long count, int wait)
{
    static struct lane placed[PIPELINE];

    for (long left = count; left > 0; left -= PIPELINE)
        admit_batch(o, hosts, placed, left < PIPELINE ? (int)left : PIPELINE, wait);
}

/* The workers have done their jobs. */
static void forget_jobs(const struct floor_options *o, const struct host *hosts)
{
    for (int i = 0; i < o->workers; i++) {
        char key[KEYS_MAX];

        keys_jobs(key, o->cell, hosts[i].id);
        freeReplyObject(redisCommand(context, "XREADGROUP GROUP worker %s COUNT 10000 STREAMS %s >",
                                     hosts[i].epoch, key));
        freeReplyObject(redisCommand(context, "XTRIM %s MAXLEN 0", key));
        freeReplyObject(redisCommand(context, "XGROUP DELCONSUMER %s worker %s", key, hosts[i].epoch));
    }
}

struct host *floor_prepare(const struct floor_options *o, struct lane *lanes)
{
    struct host *hosts = mem_alloc((size_t)o->workers * sizeof(*hosts));

    open_context(o);
    for (int i = 0; i < o->workers; i++)
        register_host(o, &hosts[i], i);
    if (o->queue) {
        for (int i = 0; i < o->lanes; i++)
            admit_batch(o, hosts, &lanes[i], 1, 0);
        admit_many(o, hosts, o->queue, 1);
    } else if (o->seed || o->seed_queue) {
        admit_many(o, hosts, o->seed, 0);
        admit_many(o, hosts, o->seed_queue, 1);
    } else {
        for (int i = 0; i < o->workers; i++)
            for (int b = 0; b < o->berths; b++)
                warm_berth(o, &hosts[i]);
    }
    forget_jobs(o, hosts);
    redisFree(context);
    return hosts;
}
