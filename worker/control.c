/* control.c: see control.h. */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/random.h"
#include "turn.h"
#include "worker.h"

#define BEAT_MAX_MS 2000
#define RETRY_S     0.5

static const char *const names[] = {"offline", "registering", "registered", "stale", "stopped"};

static void beat(struct worker *w);

/* The one writer of the state. */
static void enter(struct worker *w, enum control_state state, const char *reason)
{
    log_debug("control", "worker=%s from=%s to=%s reason=%s", w->id, names[w->control.state], names[state],
              reason);
    w->control.state = state;
}

static double interval_s(const struct worker *w)
{
    long ms = w->settings->lease / 5;

    return (ms < BEAT_MAX_MS ? ms : BEAT_MAX_MS) / 1000.0;
}

static void arm(struct worker *w, double seconds)
{
    ev_timer_stop(w->loop, &w->control.timer);
    ev_timer_set(&w->control.timer, seconds, 0);
    ev_timer_start(w->loop, &w->control.timer);
}

/* ---- register ---- */

static void add_member(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json_string(out, value);
}

/* What an operator wants to know about the host, as JSON. */
static char *info_json(const struct worker *w)
{
    struct buf out = {0};
    char host[256] = "";
    const char *isolation = w->drivers[0].isolation;

    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    for (int i = 0; i < w->driver_count; i++) {
        if (strcmp(w->drivers[i].isolation, "full") != 0)
            isolation = w->drivers[i].isolation; /* the weakest word speaks for the host */
    }
    buf_addf(&out, "{\"pid\":%ld,\"cpus\":%ld,\"memoryMb\":%lld", (long)getpid(),
             sysconf(_SC_NPROCESSORS_ONLN),
             (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20));
    add_member(&out, "host", host);
    add_member(&out, "version", BERTH_VERSION);
    add_member(&out, "isolation", isolation);
    buf_adds(&out, "}");
    return buf_take(&out);
}

static char *profile_list(const struct worker *w)
{
    struct buf out = {0};

    for (size_t i = 0; i < w->profiles->count; i++)
        buf_addf(&out, "%s%s", i ? "," : "", w->profiles->items[i].name);
    return buf_take(&out);
}

static void on_redrain_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;

    if (redis_code(reply) != ERR_ok)
        control_check(w);
}

static void registered(struct worker *w, long long epoch)
{
    struct control *c = &w->control;
    char text[24];

    enter(w, CONTROL_REGISTERED, "ok");
    c->epoch = epoch;
    c->answered = clock_mono_ms();
    for (int i = 0; i < w->capacity; i++)
        turn_forget(&w->berths[i]);
    log_info("registered", "worker=%s epoch=%lld berths=%d gateway=%s driver=%s isolation=%s", w->id, epoch,
             w->capacity, worker_gateway_url(w), w->drivers[0].ops->name, w->drivers[0].isolation);
    jobs_start(w);
    reconcile_soon(w);
    if (w->draining) {
        /* An operator's drain outlives a lost lease. */
        snprintf(text, sizeof(text), "%lld", epoch);
        redis_script(w->redis, on_redrain_reply, w, SCRIPT_drain, w->id, "drain", text,
                     w->settings->placement, NULL);
    }
    shutdown_registered(w);
    /* Not all of a fleet in step. */
    arm(w, interval_s(w) * (0.5 + random_unit() / 2));
    pool_kick(w);
}

static void enroll(struct worker *w);

static void on_register_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    enum err code = redis_code(reply);
    long long epoch = redis_int(reply, 1, 0);
    const char *argument = redis_str(reply, 1);

    if (w->control.state != CONTROL_REGISTERING)
        return;
    if (code == ERR_ok && epoch > 0) {
        registered(w, epoch);
        return;
    }
    if (code == ERR_not_empty) {
        /* Scripts do not take long: what the worker before this one left is taken apart a piece a call. */
        enroll(w);
        return;
    }
    enter(w, CONTROL_OFFLINE, err_name(code));
    if (code == ERR_bad_argument)
        log_error("register_refused", "worker=%s argument=%s", w->id, argument ? argument : "?");
    else if (code != ERR_redis_unavailable)
        log_error("register_refused", "worker=%s code=%s", w->id, err_name(code));
    arm(w, RETRY_S * (1 + random_unit()));
}

static void enroll(struct worker *w)
{
    char lease[24], capacity[16];
    char *profiles = profile_list(w), *info = info_json(w);

    enter(w, CONTROL_REGISTERING, "redis");
    snprintf(lease, sizeof(lease), "%ld", w->settings->lease);
    snprintf(capacity, sizeof(capacity), "%d", w->capacity);
    redis_script(w->redis, on_register_reply, w, SCRIPT_register, w->id, lease, capacity, profiles,
                 worker_gateway_url(w), w->drivers[0].ops->name, info, w->settings->placement,
                 worker_is_closed(w) ? "1" : "0", NULL);
    free(profiles);
    free(info);
}

/* ---- heartbeat ---- */

/* Redis does not know this worker: its lease ran out, its sessions were ended or placed elsewhere. What runs
 * here is nobody's. */
static void on_lease_lost(struct worker *w)
{
    log_error("lease_lost", "worker=%s epoch=%lld", w->id, w->control.epoch);
    enter(w, CONTROL_OFFLINE, "lease_lost");
    jobs_stop(w);
    worker_abort(w, "worker_lost");
    if (w->shutdown.phase == SHUTDOWN_NONE)
        enroll(w);
    else
        shutdown_check(w);
}

static void on_stale(struct worker *w, const char *now_epoch)
{
    log_error("replaced", "worker=%s epoch=%lld now_epoch=%s hint=%s", w->id, w->control.epoch, now_epoch,
              "another process registered this worker id; give each worker its own BERTH_WORKER_ID");
    enter(w, CONTROL_STALE, "replaced");
    jobs_stop(w);
    worker_abort(w, "worker_lost");
    shutdown_stale(w);
}

/* stale_epoch has two causes: another process took the id (its epoch is higher), or Redis restarted without
 * its last second and has forgotten this registration (the epoch it holds is lower). */
static void on_epoch_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;

    /* No answer, or a Redis that cannot say now: the next heartbeat asks again. */
    if (w->control.state != CONTROL_REGISTERED || !reply || reply->type == REDIS_REPLY_ERROR)
        return;
    if (reply->type != REDIS_REPLY_STRING || atoll(reply->str) < w->control.epoch)
        on_lease_lost(w);
    else if (atoll(reply->str) > w->control.epoch)
        on_stale(w, reply->str);
}

static void ask_epoch(struct worker *w)
{
    char key[KEYS_MAX];

    keys_worker(key, w->settings->cell, w->id);
    redis_call(w->redis, on_epoch_reply, w, "HGET", key, "epoch", NULL);
}

static void on_beat_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    struct control *c = &w->control;
    enum err code = redis_code(reply);
    const char *state;

    c->beating = 0;
    if (c->state != CONTROL_REGISTERED)
        return;
    if (code == ERR_ok) {
        c->answered = clock_mono_ms();
        state = redis_str(reply, 1);
        worker_set_draining(w, state && strcmp(state, "draining") == 0);
        if (redis_int(reply, 3, 0) > 0)
            pool_on_room(w);
    } else if (code == ERR_unknown_worker) {
        on_lease_lost(w);
    } else if (code == ERR_stale_epoch) {
        ask_epoch(w);
    } else if (code != ERR_redis_unavailable) {
        log_error("heartbeat_refused", "worker=%s code=%s", w->id, err_name(code));
    }
    if (c->again && c->state == CONTROL_REGISTERED)
        beat(w);
}

static void beat(struct worker *w)
{
    struct control *c = &w->control;
    char epoch[24], lease[24], cpu[24], mem[24], load[24], crashes[24];

    c->again = 0;
    c->beating = 1;
    snprintf(epoch, sizeof(epoch), "%lld", c->epoch);
    snprintf(lease, sizeof(lease), "%ld", w->settings->lease);
    snprintf(cpu, sizeof(cpu), "%.1f", w->load->cpu);
    snprintf(mem, sizeof(mem), "%.1f", w->load->mem);
    snprintf(load, sizeof(load), "%.2f", w->load->average);
    snprintf(crashes, sizeof(crashes), "%lu", w->crashes);
    redis_script(w->redis, on_beat_reply, w, SCRIPT_heartbeat, w->id, epoch, lease,
                 worker_is_closed(w) ? "1" : "0", cpu, mem, load, crashes, w->settings->placement, NULL);
}

static void on_control_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    struct control *c = &w->control;

    (void)loop;
    (void)revents;
    if (c->state == CONTROL_STALE || c->state == CONTROL_STOPPED)
        return;
    if (c->state == CONTROL_OFFLINE && redis_is_up(w->redis) && w->shutdown.phase == SHUTDOWN_NONE)
        enroll(w);
    else if (c->state == CONTROL_REGISTERED && !c->beating && redis_is_up(w->redis))
        beat(w);
    arm(w, interval_s(w));
}

/* ---- public ---- */

void control_init(struct worker *w)
{
    ev_init(&w->control.timer, on_control_timer);
    w->control.timer.data = w;
}

void control_cleanup(struct worker *w)
{
    ev_timer_stop(w->loop, &w->control.timer);
}

void control_on_redis(struct worker *w, int up)
{
    if (!up)
        return;
    if (w->control.state == CONTROL_OFFLINE && w->shutdown.phase == SHUTDOWN_NONE)
        enroll(w);
    else if (w->control.state == CONTROL_REGISTERED)
        control_check(w);
}

void control_check(struct worker *w)
{
    struct control *c = &w->control;

    if (c->state != CONTROL_REGISTERED)
        return;
    if (c->beating)
        c->again = 1;
    else
        beat(w);
}

int control_is_fresh(const struct worker *w)
{
    return w->control.state == CONTROL_REGISTERED && redis_is_up(w->redis) &&
           clock_mono_ms() - w->control.answered < w->settings->lease;
}

void control_stop(struct worker *w)
{
    ev_timer_stop(w->loop, &w->control.timer);
    enter(w, CONTROL_STOPPED, "end");
}
