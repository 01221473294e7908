/* jobs.c: see jobs.h. */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/keys.h"
#include "../shared/log.h"
#include "turn.h"
#include "worker.h"

#define BLOCK_MS   "5000"
#define BATCH      64
#define BATCH_TEXT "64"
#define LIMIT_MS   15000 /* a read is answered within BLOCK_MS; later, the connection is dead */
#define RETRY_S    0.5
#define ID_MAX     48

static const char *const kinds[JOB_KINDS] = {"claim", "start", "stop", "drain", "undrain"};

static void read_more(struct worker *w);

/* ---- parse ---- */

/* A decimal number from 0 to max; -1 if it is none. */
static long long number(const char *text, long long max)
{
    char *end;
    long long value;

    if (!text || *text < '0' || *text > '9' || strlen(text) > 18)
        return -1;
    value = strtoll(text, &end, 10);
    return *end == '\0' && value <= max ? value : -1;
}

static double duration(const char *text)
{
    long long ms = number(text, 1LL << 50);

    return ms > 0 ? (double)ms : 0;
}

static const char *text_or_empty(const char *s)
{
    return s ? s : "";
}

int jobs_parse(const redisReply *fields, int berths, struct job *out, const char **why)
{
    const char *kind = fields ? redis_field(fields, "kind") : NULL;

    memset(out, 0, sizeof(*out));
    *why = "kind";
    for (out->kind = 0; kind && out->kind < JOB_KINDS && strcmp(kind, kinds[out->kind]) != 0; out->kind++)
        ;
    if (!kind || out->kind == JOB_KINDS)
        return -1;
    *why = "epoch";
    out->epoch = number(redis_field(fields, "epoch"), 1LL << 53);
    if (out->epoch <= 0)
        return -1;
    out->session = text_or_empty(redis_field(fields, "session"));
    out->profile = text_or_empty(redis_field(fields, "profile"));
    out->reason = text_or_empty(redis_field(fields, "reason"));
    if (out->kind == JOB_DRAIN || out->kind == JOB_UNDRAIN)
        return 0;
    *why = "berth";
    out->berth = (int)number(redis_field(fields, "berth"), berths - 1);
    if (out->berth < 0)
        return -1;
    *why = "turn";
    out->turn = number(redis_field(fields, "turn"), 1LL << 53);
    if (out->turn <= 0)
        return -1;
    *why = "session";
    if (strlen(out->session) >= KEYS_SESSION_MAX || (out->kind != JOB_STOP && !out->session[0]))
        return -1;
    out->limits.timeout_ms = duration(redis_field(fields, "timeout_ms"));
    out->limits.idle_ms = duration(redis_field(fields, "idle_ms"));
    out->limits.keep_alive = number(redis_field(fields, "keep_alive"), 1) == 1;
    return 0;
}

/* ---- do ---- */

static void do_job(struct worker *w, const struct job *job)
{
    struct berth *b = &w->berths[job->berth];
    struct berth_order order = {.turn = job->turn, .limits = job->limits};

    log_debug("job", "worker=%s berth=%d turn=%lld session=%s kind=%s", w->id, job->berth, job->turn,
              job->session, kinds[job->kind]);
    snprintf(order.session, sizeof(order.session), "%s", job->session);
    switch (job->kind) {
    case JOB_CLAIM:
        turn_claim(b, &order);
        break;
    case JOB_START:
        order.profile = profile_find(w->profiles, job->profile);
        if (order.profile) {
            turn_start(b, &order);
        } else {
            log_error("job_profile", "worker=%s session=%s profile=%s", w->id, job->session, job->profile);
            turn_stop(b, job->turn, "start_failed");
        }
        break;
    case JOB_STOP:
        turn_stop(b, job->turn, job->reason[0] ? job->reason : "released");
        break;
    case JOB_DRAIN:
    case JOB_UNDRAIN:
        worker_set_draining(w, job->kind == JOB_DRAIN);
        break;
    case JOB_KINDS:
        break;
    }
}

/* One stream entry: [id, [field, value, …]]; the fields are nil when it was deleted. */
static void do_entry(struct worker *w, const redisReply *entry)
{
    const redisReply *fields = redis_array(entry, 1);
    struct job job;
    const char *why;

    if (!fields)
        return;
    if (jobs_parse(fields, w->capacity, &job, &why) != 0)
        log_error("job_malformed", "worker=%s id=%s field=%s", w->id, redis_str(entry, 0), why);
    else if (job.epoch != w->control.epoch)
        log_debug("job_of_other_epoch", "worker=%s epoch=%lld kind=%s", w->id, job.epoch, kinds[job.kind]);
    else
        do_job(w, &job);
}

/* XACK key worker id… and XDEL key id…, before the next read on the same connection. */
static void acknowledge(struct worker *w, const redisReply *entries)
{
    const char *argv[3 + BATCH];
    char key[KEYS_MAX];
    int ids = 0;

    keys_jobs(key, w->settings->cell, w->id);
    for (size_t i = 0; i < entries->elements && ids < BATCH; i++) {
        const char *id = redis_str(entries->element[i], 0);

        if (id)
            argv[3 + ids++] = id;
    }
    if (ids == 0)
        return;
    argv[0] = "XACK";
    argv[1] = key;
    argv[2] = "worker";
    redis_command(w->jobs.redis, NULL, NULL, 3 + ids, argv, NULL);
    argv[1] = "XDEL";
    argv[2] = key;
    redis_command(w->jobs.redis, NULL, NULL, 2 + ids, argv + 1, NULL);
}

/* ---- read ---- */

static void retry_later(struct worker *w)
{
    ev_timer_stop(w->loop, &w->jobs.timer);
    ev_timer_set(&w->jobs.timer, RETRY_S, 0);
    ev_timer_start(w->loop, &w->jobs.timer);
}

static void on_jobs_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    const redisReply *stream, *entries;

    w->jobs.reading = 0;
    if (!reply || !w->jobs.redis)
        return; /* the connection was lost; on_jobs_state starts again */
    if (reply->type == REDIS_REPLY_ERROR) {
        /* NOGROUP: the stream is gone, the lease with it perhaps; when we leave, it goes with our record. */
        if (w->shutdown.phase != SHUTDOWN_NONE)
            return;
        log_warn("jobs_unreadable", "worker=%s error=%s", w->id, reply->str);
        control_check(w);
        retry_later(w);
        return;
    }
    stream = redis_array(reply, 0); /* nil reply: nothing came in time */
    entries = stream ? redis_array(stream, 1) : NULL;
    if (entries && entries->elements > 0) {
        for (size_t i = 0; i < entries->elements; i++)
            do_entry(w, entries->element[i]);
        acknowledge(w, entries);
    } else if (w->jobs.pending) {
        w->jobs.pending = 0; /* all of them are done */
    }
    read_more(w);
}

static void read_more(struct worker *w)
{
    char key[KEYS_MAX], epoch[24];

    if (w->jobs.reading || !w->jobs.redis || !redis_is_up(w->jobs.redis))
        return;
    w->jobs.reading = 1;
    keys_jobs(key, w->settings->cell, w->id);
    snprintf(epoch, sizeof(epoch), "%lld", w->control.epoch);
    redis_call(w->jobs.redis, on_jobs_reply, w, "XREADGROUP", "GROUP", "worker", epoch, "COUNT", BATCH_TEXT,
               "BLOCK", BLOCK_MS, "STREAMS", key, w->jobs.pending ? "0" : ">", NULL);
}

static void on_jobs_state(void *arg, int up)
{
    struct worker *w = arg;

    if (!up)
        return;
    w->jobs.pending = 1;
    read_more(w);
}

static void on_jobs_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;

    (void)loop;
    (void)revents;
    read_more(w);
}

void jobs_init(struct worker *w)
{
    ev_init(&w->jobs.timer, on_jobs_timer);
    w->jobs.timer.data = w;
}

void jobs_start(struct worker *w)
{
    jobs_stop(w);
    w->jobs.pending = 1;
    w->jobs.redis = redis_new(w->loop, w->address, w->settings->cell, "jobs", LIMIT_MS, on_jobs_state, w);
}

void jobs_stop(struct worker *w)
{
    struct redis *r = w->jobs.redis;

    ev_timer_stop(w->loop, &w->jobs.timer);
    w->jobs.redis = NULL; /* the callbacks of redis_free see that it is over */
    if (r)
        redis_free(r);
    w->jobs.reading = 0;
}
