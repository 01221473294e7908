/* fleet.c: one reading at a time. Round one asks for the names, round two for what each name stands for;
 * `pending` counts the replies still to come. A reply that fails spoils the reading. */
#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/mem.h"
#include "../shared/redis.h"
#include "metrics.h"

const char *const fleet_berth_names[FLEET_BERTHS] = {"free", "starting", "warm", "taken", "cleaning"};
const char *const fleet_session_names[FLEET_SESSIONS] = {"queued", "starting", "running", "ending"};

struct reader {
    struct reader *next;
    fleet_cb *cb;
    void *arg;
};

struct fleet {
    struct api *api;
    struct fleet_state last; /* read_ms 0: none */
    struct fleet_state now;  /* being read */
    struct reader *readers;
    size_t pending;
    int round;
    int failed;
};

/* Says which of the reading's things a reply is about. */
struct question {
    struct fleet *fleet;
    size_t i;
};

static void state_cleanup(struct fleet_state *s)
{
    size_t i;

    for (i = 0; i < s->workers_n; i++) {
        free(s->workers[i].gateway);
        free(s->workers[i].driver);
        free(s->workers[i].profiles);
        free(s->workers[i].info);
    }
    free(s->workers);
    free(s->profiles);
    free(s->projects);
    memset(s, 0, sizeof(*s));
}

struct fleet *fleet_new(struct api *api)
{
    struct fleet *f = mem_alloc(sizeof(*f));

    f->api = api;
    return f;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    state_cleanup(&f->last);
    state_cleanup(&f->now);
    free(f);
}

/* ---- rounds ---- */

static void begin_details(struct fleet *f);

static void end_reading(struct fleet *f)
{
    struct reader *all = f->readers, *r;

    f->readers = NULL;
    f->round = 0;
    if (f->failed) {
        state_cleanup(&f->now);
    } else {
        state_cleanup(&f->last);
        f->last = f->now;
        f->last.read_ms = clock_mono_ms();
        memset(&f->now, 0, sizeof(f->now));
    }
    while ((r = all)) {
        all = r->next;
        r->cb(r->arg, f->failed ? NULL : &f->last);
        free(r);
    }
}

static void one_done(struct fleet *f)
{
    if (--f->pending)
        return;
    if (f->round == 1 && !f->failed)
        begin_details(f);
    else
        end_reading(f);
}

static int is_list(struct fleet *f, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ARRAY)
        return 1;
    f->failed = 1;
    return 0;
}

static void copy_name(char out[KEYS_ID_MAX + 1], const char *name)
{
    snprintf(out, KEYS_ID_MAX + 1, "%s", name ? name : "");
}

static void on_workers(void *arg, const redisReply *reply)
{
    struct fleet *f = arg;
    struct fleet_state *s = &f->now;
    size_t i;

    if (is_list(f, reply)) {
        s->workers = mem_alloc((reply->elements / 2 + 1) * sizeof(*s->workers));
        for (i = 0; i + 1 < reply->elements && s->workers_n < FLEET_MAX; i += 2) {
            copy_name(s->workers[s->workers_n].id, redis_str(reply, i));
            s->workers[s->workers_n++].lease = redis_int(reply, i + 1, 0);
        }
    }
    one_done(f);
}

static void on_profiles(void *arg, const redisReply *reply)
{
    struct fleet *f = arg;
    struct fleet_state *s = &f->now;
    size_t i;

    if (is_list(f, reply)) {
        s->profiles = mem_alloc((reply->elements + 1) * sizeof(*s->profiles));
        for (i = 0; i < reply->elements && s->profiles_n < FLEET_MAX; i++)
            copy_name(s->profiles[s->profiles_n++].name, redis_str(reply, i));
    }
    one_done(f);
}

static void on_projects(void *arg, const redisReply *reply)
{
    struct fleet *f = arg;
    struct fleet_state *s = &f->now;
    size_t i;

    if (is_list(f, reply)) {
        s->projects = mem_alloc((reply->elements + 1) * sizeof(*s->projects));
        for (i = 0; i < reply->elements && s->projects_n < FLEET_MAX; i++)
            copy_name(s->projects[s->projects_n++].name, redis_str(reply, i));
    }
    one_done(f);
}

static void begin_names(struct fleet *f)
{
    const char *cell = f->api->settings.cell;
    struct redis *r = f->api->redis;
    char key[KEYS_MAX];

    f->round = 1;
    f->failed = 0;
    f->pending = 3;
    redis_call(r, on_workers, f, "ZRANGE", keys_workers(key, cell), "0", "-1", "WITHSCORES", NULL);
    redis_call(r, on_profiles, f, "SMEMBERS", keys_profiles(key, cell), NULL);
    redis_call(r, on_projects, f, "SMEMBERS", keys_projects(key, cell), NULL);
}

static char *text_at(const redisReply *reply, size_t i)
{
    const char *s = redis_str(reply, i);

    return mem_strdup(s ? s : "");
}

static double real_at(const redisReply *reply, size_t i)
{
    const char *s = redis_str(reply, i);

    return s ? strtod(s, NULL) : 0;
}

static void on_worker(void *arg, const redisReply *reply)
{
    struct question *q = arg;
    struct fleet *f = q->fleet;
    struct fleet_worker *w = &f->now.workers[q->i];
    size_t i;

    free(q);
    if (is_list(f, reply)) {
        snprintf(w->state, sizeof(w->state), "%s", redis_str(reply, 0) ? redis_str(reply, 0) : "lost");
        w->gateway = text_at(reply, 1);
        w->driver = text_at(reply, 2);
        w->profiles = text_at(reply, 3);
        w->info = text_at(reply, 4);
        w->epoch = redis_int(reply, 5, 0);
        w->capacity = redis_int(reply, 6, 0);
        for (i = 0; i < FLEET_BERTHS; i++)
            w->berths[i] = redis_int(reply, 7 + i, 0);
        w->pressure = redis_int(reply, 12, 0) != 0;
        w->cpu = real_at(reply, 13);
        w->mem = real_at(reply, 14);
        w->load = real_at(reply, 15);
        w->crashes = redis_int(reply, 16, 0);
        w->registered = redis_int(reply, 17, 0);
        w->seen = redis_int(reply, 18, 0);
    }
    one_done(f);
}

static long long count_of(struct fleet *f, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    f->failed = 1;
    return 0;
}

static void on_queued(void *arg, const redisReply *reply)
{
    struct question *q = arg;
    struct fleet *f = q->fleet;

    f->now.profiles[q->i].queued = count_of(f, reply);
    free(q);
    one_done(f);
}

static void on_warm(void *arg, const redisReply *reply)
{
    struct question *q = arg;
    struct fleet *f = q->fleet;

    f->now.profiles[q->i].warm = count_of(f, reply);
    free(q);
    one_done(f);
}

static void on_project(void *arg, const redisReply *reply)
{
    struct question *q = arg;
    struct fleet *f = q->fleet;
    size_t i;

    if (is_list(f, reply))
        for (i = 0; i < FLEET_SESSIONS; i++)
            f->now.projects[q->i].sessions[i] = redis_int(reply, i, 0);
    free(q);
    one_done(f);
}

static struct question *ask(struct fleet *f, size_t i)
{
    struct question *q = mem_alloc(sizeof(*q));

    q->fleet = f;
    q->i = i;
    f->pending++;
    return q;
}

static void begin_details(struct fleet *f)
{
    const char *cell = f->api->settings.cell;
    struct redis *r = f->api->redis;
    char key[KEYS_MAX];
    size_t i;

    f->round = 2;
    f->pending = 1; /* ours, so that it cannot end before all are asked */
    for (i = 0; i < f->now.workers_n; i++)
        redis_call(r, on_worker, ask(f, i), "HMGET", keys_worker(key, cell, f->now.workers[i].id), "state",
                   "gateway", "driver", "profiles", "info", "epoch", "capacity", "free", "starting", "warm",
                   "taken", "cleaning", "pressure", "cpu", "mem", "load", "crashes", "registered", "seen",
                   NULL);
    for (i = 0; i < f->now.profiles_n; i++) {
        redis_call(r, on_queued, ask(f, i), "ZCARD", keys_queue(key, cell, f->now.profiles[i].name), NULL);
        redis_call(r, on_warm, ask(f, i), "ZCARD", keys_warm(key, cell, f->now.profiles[i].name), NULL);
    }
    for (i = 0; i < f->now.projects_n; i++)
        redis_call(r, on_project, ask(f, i), "HMGET", keys_project(key, cell, f->now.projects[i].name),
                   "queued", "starting", "running", "ending", NULL);
    one_done(f);
}

void fleet_read(struct fleet *f, double max_age_ms, fleet_cb *cb, void *arg)
{
    struct reader *r;

    if (f->last.read_ms > 0 && clock_mono_ms() - f->last.read_ms < max_age_ms) {
        cb(arg, &f->last);
        return;
    }
    r = mem_alloc(sizeof(*r));
    r->cb = cb;
    r->arg = arg;
    r->next = f->readers;
    f->readers = r;
    if (f->round == 0)
        begin_names(f);
}

/* ---- what it says ---- */

const char *fleet_worker_status(const struct fleet_worker *w)
{
    if (!strcmp(w->state, "ready"))
        return w->pressure ? "no-admit" : "healthy";
    return w->state;
}

long long fleet_berths(const struct fleet_state *s, enum fleet_berth b)
{
    long long sum = 0;
    size_t i;

    for (i = 0; i < s->workers_n; i++)
        sum += s->workers[i].berths[b];
    return sum;
}

long long fleet_sessions(const struct fleet_state *s, enum fleet_session which, const char *project)
{
    long long sum = 0;
    size_t i;

    for (i = 0; i < s->projects_n; i++)
        if (!project || !strcmp(s->projects[i].name, project))
            sum += s->projects[i].sessions[which];
    return sum;
}

static void head(struct buf *out, const char *name, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void add_profile(struct buf *out, const char *name, const char *profile, long long v)
{
    buf_addf(out, "%s{profile=", name);
    metrics_add_label(out, profile);
    buf_addf(out, "} %lld\n", v);
}

void fleet_print(const struct fleet_state *s, struct buf *out)
{
    static const char *const states[] = {"ready", "draining", "lost"};
    size_t i, j;
    int n;

    head(out, "berth_sessions", "Sessions of the cell by state.");
    for (i = 0; i < FLEET_SESSIONS; i++)
        buf_addf(out, "berth_sessions{state=\"%s\"} %lld\n", fleet_session_names[i],
                 fleet_sessions(s, (enum fleet_session)i, NULL));
    head(out, "berth_queue_length", "Sessions that wait, by profile.");
    for (i = 0; i < s->profiles_n; i++)
        add_profile(out, "berth_queue_length", s->profiles[i].name, s->profiles[i].queued);
    head(out, "berth_warm_browsers", "Browsers that are up and nobody's, by profile.");
    for (i = 0; i < s->profiles_n; i++)
        add_profile(out, "berth_warm_browsers", s->profiles[i].name, s->profiles[i].warm);
    head(out, "berth_workers", "Workers by state.");
    for (j = 0; j < sizeof(states) / sizeof(*states); j++) {
        for (n = 0, i = 0; i < s->workers_n; i++)
            n += !strcmp(s->workers[i].state, states[j]);
        buf_addf(out, "berth_workers{state=\"%s\"} %d\n", states[j], n);
    }
    head(out, "berth_berths", "Berths of all workers by state.");
    for (i = 0; i < FLEET_BERTHS; i++)
        buf_addf(out, "berth_berths{state=\"%s\"} %lld\n", fleet_berth_names[i],
                 fleet_berths(s, (enum fleet_berth)i));
}
