/* report.c: see report.h. */
#include "report.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "turn.h"
#include "worker.h"

enum report_kind { REPORT_OFFER, REPORT_READY, REPORT_FAILED, REPORT_FREED, REPORT_RELEASE, REPORT_WITHDRAW };

static const char *const names[] = {"offer", "ready", "failed", "freed", "release", "withdraw"};

/* One report that was not answered yet; in the worker's list, since redis_free drops it without a word. */
struct report {
    struct report *next, **link;
    struct worker *worker;
    enum report_kind kind;
    int berth;
    long long turn;
    long long epoch;
};

/* The arguments that all reports of a turn begin with, as text. */
struct args {
    char epoch[24], berth[16], turn[24];
};

/* The reports of one berth keep their order; those of several go side by side, or a busy worker would be as
 * slow as one round trip after the other. The berth's place in memory numbers it, also among many workers. */
static unsigned line_of(const struct berth *b)
{
    return (unsigned)((uintptr_t)b / sizeof(*b));
}

static struct report *report_new(struct berth *b, enum report_kind kind, long long turn, struct args *a)
{
    struct worker *w = b->worker;
    struct report *r = mem_alloc(sizeof(*r));

    r->worker = w;
    r->kind = kind;
    r->berth = b->index;
    r->turn = turn;
    r->epoch = w->control.epoch;
    r->next = w->reports.first;
    r->link = &w->reports.first;
    if (r->next)
        r->next->link = &r->next;
    w->reports.first = r;
    w->reports.count++;
    w->reports.freed += kind == REPORT_FREED;
    snprintf(a->epoch, sizeof(a->epoch), "%lld", r->epoch);
    snprintf(a->berth, sizeof(a->berth), "%d", b->index);
    snprintf(a->turn, sizeof(a->turn), "%lld", turn);
    return r;
}

static void report_free(struct report *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    r->worker->reports.count--;
    r->worker->reports.freed -= r->kind == REPORT_FREED;
    free(r);
}

/* What an answer means for the berth it speaks of. */
static void answered(struct worker *w, const struct report *r, enum err code)
{
    struct berth *b = &w->berths[r->berth];

    if (code == ERR_stale_epoch && r->kind == REPORT_RELEASE)
        return; /* the session is not on this worker any more; the heartbeat knows whether the worker is still
                   itself */
    if (code == ERR_stale_epoch || code == ERR_unknown_worker) {
        control_check(w);
        return;
    }
    if (code == ERR_stale_turn) {
        turn_on_stale(b, r->turn);
        return;
    }
    switch (r->kind) {
    case REPORT_READY:
        if (code == ERR_session_gone)
            turn_on_gone(b, r->turn);
        break;
    case REPORT_FREED:
        if (code == ERR_ok)
            pool_on_room(w);
        break;
    case REPORT_WITHDRAW:
        turn_on_withdrawn(b, r->turn, code == ERR_ok);
        break;
    case REPORT_OFFER:
    case REPORT_FAILED:
    case REPORT_RELEASE:
        break;
    }
}

/* Refusals that belong to ordinary days: the client went while the browser started, a session was quicker
 * than the withdrawal, `freed` was said twice. */
static int is_ordinary(enum report_kind kind, enum err code)
{
    return code == ERR_session_gone || code == ERR_not_warm ||
           (code == ERR_stale_turn && kind == REPORT_FREED);
}

static void on_report_reply(void *arg, const redisReply *reply)
{
    struct report *r = arg;
    struct worker *w = r->worker;
    enum err code = redis_code(reply);

    if (code == ERR_ok)
        log_debug("report", "worker=%s berth=%d turn=%lld kind=%s", w->id, r->berth, r->turn, names[r->kind]);
    else
        log_event(is_ordinary(r->kind, code) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "report_refused",
                  "worker=%s berth=%d turn=%lld kind=%s code=%s", w->id, r->berth, r->turn, names[r->kind],
                  err_name(code));
    /* A word from before a new registration: that world is gone. */
    if (r->epoch == w->control.epoch)
        answered(w, r, code);
    report_free(r);
    shutdown_check(w);
}

static void add_timing(struct buf *out, const char *name, double ms)
{
    if (ms > 0)
        buf_addf(out, ",\"%s\":%.1f", name, ms);
}

/* JSON, under the names that the API hands on. */
static char *timings_json(const struct berth *b)
{
    struct driver_timings t = b->timings;
    struct buf out = {0};
    double total = 0;

    t.warmup_ms = b->warmup_ms;
#define STEP(field, name, label, part) total += part ? 0 : t.field;
#include "../shared/launch_steps.def"
#undef STEP
    buf_addf(&out, "{\"driver\":\"%s\",\"totalMs\":%.1f", b->order.profile->driver, total);
#define STEP(field, name, label, part) add_timing(&out, name, t.field);
#include "../shared/launch_steps.def"
#undef STEP
    buf_adds(&out, "}");
    return buf_take(&out);
}

void report_offer(struct berth *b)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_OFFER, b->order.turn, &a);
    char *timings = timings_json(b);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_offer, w->id, a.epoch, a.berth,
                       a.turn, b->order.profile->name, b->secret, timings, w->settings->placement, NULL);
    free(timings);
}

void report_ready(struct berth *b)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_READY, b->order.turn, &a);
    char *timings = timings_json(b);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_ready, w->id, a.epoch, a.berth,
                       a.turn, b->order.session, b->secret, timings, NULL);
    free(timings);
}

void report_failed(struct berth *b, const char *why)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_FAILED, b->order.turn, &a);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_failed, w->id, a.epoch, a.berth,
                       a.turn, why, w->settings->placement, NULL);
}

void report_freed(struct berth *b, long long turn)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_FREED, turn, &a);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_freed, w->id, a.epoch, a.berth,
                       a.turn, w->settings->placement, NULL);
}

void report_release(struct berth *b, const char *reason)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_RELEASE, b->order.turn, &a);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_release, b->order.session, "", reason,
                       w->id, a.epoch, NULL);
}

void report_withdraw(struct berth *b)
{
    struct worker *w = b->worker;
    struct args a;
    struct report *r = report_new(b, REPORT_WITHDRAW, b->order.turn, &a);

    redis_script_retry(w->redis, line_of(b), on_report_reply, r, SCRIPT_withdraw, w->id, a.epoch, a.berth,
                       a.turn, NULL);
}

int report_pending(const struct worker *w)
{
    return w->reports.count;
}

void report_cleanup(struct worker *w)
{
    while (w->reports.first)
        report_free(w->reports.first);
}
