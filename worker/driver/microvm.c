/* microvm.c: a microVM driver's berths: the states from start to the browser's answer. The process, with the
 * guest in it, is microvm_machine.c's; what comes after, microvm_end.c's.
 *
 * The monitor is process 1 of a PID namespace (worker/child.h): it dies with the worker, and has been reaped
 * only when all of it is gone. on_clean is said after that, and after the cgroup could be removed. */
#include "microvm.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"

#define KVM_LIMIT_S  30.0 /* a clone's start, from its snapshot being there */
#define TCG_LIMIT_S  150.0
#define START_MS_MAX 3600000.0 /* of a step, as a guest says */
#define LOOK_AGAIN_S 0.01
#define FAILURES_MAX 3 /* clones in a row that did not come up: the snapshot is given up */

static const char *const state_names[] = {"idle",   "network", "snapshot", "spawning", "loading",
                                          "asking", "up",      "down",     "stopping"};

/* ---- states ---- */

/* The one writer of a berth's state. seconds: when the timer fires; negative: never. */
void microvm_set_state(struct microvm_berth *b, enum microvm_state state, double seconds)
{
    struct ev_loop *loop = b->driver->loop;

    log_debug("berth_microvm", "berth=%d from=%s to=%s", b->index, state_names[b->state], state_names[state]);
    b->state = state;
    ev_timer_stop(loop, &b->timer);
    if (seconds >= 0) {
        ev_now_update(loop);
        ev_timer_set(&b->timer, seconds, 0);
        ev_timer_start(loop, &b->timer);
    }
}

static double start_limit(const struct microvm_berth *b)
{
    return strcmp(b->driver->accel, "kvm") == 0 ? KVM_LIMIT_S : TCG_LIMIT_S;
}

/* What is left of the time a start may take. Waiting for the snapshot does not count: that is over when its
 * build makes no progress, and a session's own limit is the API's affair. */
double microvm_time_left(const struct microvm_berth *b)
{
    double seconds = start_limit(b) - (clock_mono_ms() - b->limit_began) / 1000.0;

    return seconds > 0 ? seconds : 0;
}

/* Milliseconds since the last call of this: the step that has just ended. */
double microvm_step_ms(struct microvm_berth *b)
{
    double now = clock_mono_ms(), ms = now - b->step_began;

    b->step_began = now;
    return ms;
}

void microvm_fail(struct microvm_berth *b, const char *why)
{
    int restoring = b->state == MICROVM_LOADING || b->state == MICROVM_ASKING;

    if (b->state == MICROVM_DOWN || b->state == MICROVM_STOPPING)
        return;
    snprintf(b->why, sizeof(b->why), "%s", why);
    microvm_stop_asking(b);
    microvm_kill(b);
    b->unreported = 1;
    microvm_set_state(b, MICROVM_DOWN, 0);
    if (restoring && microvm_machine_was_current(b) && ++b->snap->failures >= FAILURES_MAX)
        microvm_snapshot_refuse(b->snap, why);
}

static int waits(const struct microvm_berth *b)
{
    return b->state >= MICROVM_NETWORK && b->state <= MICROVM_ASKING;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct microvm_berth *b = w->data;
    struct driver *d = b->driver;
    char why[MICROVM_WHY_MAX];

    (void)loop;
    (void)revents;
    if (b->state == MICROVM_SPAWNING && !b->vmm) {
        microvm_launch(b); /* the former process's cgroup should be gone by now */
    } else if (waits(b)) {
        snprintf(why, sizeof(why), "the microVM did not come up in %.0f s (%s): %.200s", start_limit(b),
                 state_names[b->state], b->vmm ? d->ops->said(b->vmm) : "");
        microvm_fail(b, why);
    } else if (b->state == MICROVM_DOWN && b->unreported) {
        b->unreported = 0;
        d->events.on_down(d->events.arg, b->index, b->why);
    } else if (b->state == MICROVM_STOPPING || b->state == MICROVM_IDLE) {
        microvm_look_if_clean(b);
    }
}

/* ---- the guest is there ---- */

void microvm_up(struct microvm_berth *b)
{
    struct driver *d = b->driver;

    if (microvm_machine_is_current(b))
        b->snap->failures = 0;
    log_info("microvm_up", "berth=%d network_ms=%.1f spawn_ms=%.1f load_ms=%.1f ready_ms=%.1f ms=%.1f",
             b->index, b->timings.network_ms, b->timings.spawn_ms, b->timings.configure_ms,
             b->timings.ready_ms, clock_mono_ms() - b->began);
    if (b->has_cgroup)
        cgroup_set_active(d->cgroups, b->index, b->active);
    microvm_set_state(b, MICROVM_UP, -1);
    d->events.on_up(d->events.arg, b->index, b->ws_path, &b->timings);
    if (b->state == MICROVM_UP)
        microvm_record(b);
}

/* What the guest says its own steps took. */
static void take_steps(struct driver_timings *t, const struct guest_message *m)
{
    const struct {
        const char *key;
        double *ms;
    } parts[] = {{"entropy_ms", &t->entropy_ms},   {"clock_ms", &t->clock_ms},
                 {"identity_ms", &t->identity_ms}, {"network_ms", &t->guest_network_ms},
                 {"renderer_ms", &t->renderer_ms}, {"cdp_ms", &t->cdp_ms}};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *value = guest_message_get(m, parts[i].key);
        double ms = value ? strtod(value, NULL) : 0;

        if (ms > 0 && ms < START_MS_MAX)
            *parts[i].ms = ms;
    }
}

void microvm_on_message(struct microvm_berth *b, const struct guest_message *m)
{
    const char *why = guest_message_get(m, "why");
    char text[MICROVM_WHY_MAX], steps[300] = "";
    size_t used = 0;

    for (int i = 0; i < m->count && used < sizeof(steps); i++)
        used += (size_t)snprintf(steps + used, sizeof(steps) - used, "%s%s:%s", i ? "," : "",
                                 m->fields[i].key, m->fields[i].value);
    if (strcmp(m->word, GUEST_READY) == 0 && b->state == MICROVM_LOADING) {
        if (b->timings.configure_ms == 0)
            b->timings.configure_ms = microvm_step_ms(b);
        b->timings.ready_ms = b->timings.control_ms = microvm_step_ms(b);
        take_steps(&b->timings, m);
        log_info("guest_ready", "berth=%d steps=%s", b->index, steps);
        if (!microvm_machine_is_current(b) || !b->snap->ws_path[0]) {
            microvm_ask(b);
            return;
        }
        strcpy(b->ws_path, b->snap->ws_path);
        microvm_up(b);
        return;
    }
    if ((strcmp(m->word, GUEST_SETTLED) == 0 || strcmp(m->word, GUEST_BOOTED) == 0) &&
        b->state != MICROVM_UP && b->state != MICROVM_ASKING)
        return; /* said by the template, delivered again: before the clone's own `ready` */
    snprintf(text, sizeof(text), "the guest says %.40s: %.200s", m->word, why ? why : "");
    if (b->state == MICROVM_UP || waits(b))
        microvm_fail(b, text);
}

/* ---- starting ---- */

/* A restore is short, and everything that was put off waits for it: it gets a session's share. */
static void load(struct microvm_berth *b)
{
    if (b->has_cgroup)
        cgroup_set_active(b->driver->cgroups, b->index, 1);
    microvm_set_state(b, MICROVM_LOADING, microvm_time_left(b));
    microvm_machine_load(b);
}

void microvm_on_loaded(struct microvm_berth *b)
{
    if (b->state != MICROVM_LOADING)
        return;
    b->timings.configure_ms = microvm_step_ms(b);
    microvm_machine_restore(b);
}

void microvm_on_spawned(struct microvm_berth *b)
{
    if (b->state != MICROVM_SPAWNING || !microvm_machine_fits(b))
        return;
    b->timings.spawn_ms = microvm_step_ms(b);
    load(b);
}

static void want_snapshot(struct microvm_berth *b);

/* The snapshot is ready: uses the process that waits, or spawns one. */
void microvm_launch(struct microvm_berth *b)
{
    struct driver *d = b->driver;
    char why[MICROVM_WHY_MAX];

    if (b->snap->state != MICROVM_SNAPSHOT_READY) {
        want_snapshot(b); /* it was lost meanwhile */
        return;
    }
    if (microvm_machine_fits(b) && b->spawned) {
        load(b);
        return;
    }
    microvm_set_state(b, MICROVM_SPAWNING, microvm_time_left(b));
    if (microvm_machine_fits(b))
        return;
    if (b->vmm) {
        b->replacing = 1; /* it is one for another profile; microvm_on_gone goes on */
        microvm_kill(b);
    } else if (b->has_cgroup && cgroup_remove(d->cgroups, b->index) != 0) {
        cgroup_kill(d->cgroups, b->index);
        microvm_set_state(b, MICROVM_SPAWNING, LOOK_AGAIN_S);
    } else {
        b->has_cgroup = 0;
        if (microvm_machine_spawn(b, why, sizeof(why)) != 0)
            microvm_fail(b, why);
    }
}

static void want_snapshot(struct microvm_berth *b)
{
    char why[MICROVM_WHY_MAX];

    b->snap = microvm_snapshot_of(b->driver, b->profile, why, sizeof(why));
    if (!b->snap) {
        microvm_fail(b, why);
        return;
    }
    (void)microvm_snapshot_verify(b->snap);
    if (b->snap->state == MICROVM_SNAPSHOT_READY) {
        microvm_launch(b);
    } else {
        microvm_set_state(b, MICROVM_SNAPSHOT, -1);
        microvm_snapshot_want(b->snap);
    }
}

void microvm_on_snapshot(struct driver *d, struct microvm_snapshot *s, const char *why)
{
    for (int i = 0; i < d->count; i++) {
        struct microvm_berth *b = &d->berths[i];

        if (b->state != MICROVM_SNAPSHOT || b->snap != s)
            continue;
        if (s->state == MICROVM_SNAPSHOT_READY) {
            b->timings.snapshot_ms += microvm_step_ms(b);
            b->limit_began = clock_mono_ms();
            microvm_launch(b);
        } else if (!why || strcmp(s->machine.accel, d->accel) != 0) {
            want_snapshot(b); /* lost again already, or the next accelerator's */
        } else {
            microvm_fail(b, why);
        }
    }
}

static void on_policy(void *arg, int result)
{
    struct microvm_berth *b = arg;

    b->network_pending = 0;
    if (b->state == MICROVM_STOPPING) {
        microvm_look_if_clean(b);
    } else if (b->state == MICROVM_NETWORK) {
        b->timings.network_ms = microvm_step_ms(b);
        if (result == 0)
            want_snapshot(b);
        else
            microvm_fail(b, "the berth's egress rules could not be set");
    }
}

void microvm_start(struct driver *d, int berth, const struct profile *profile)
{
    struct microvm_berth *b = &d->berths[berth];
    char why[MICROVM_WHY_MAX];
    int ready;

    assert(b->state == MICROVM_IDLE);
    d->last = b->profile = profile;
    b->began = b->step_began = b->limit_began = clock_mono_ms();
    b->active = b->replacing = 0;
    memset(&b->timings, 0, sizeof(b->timings));
    ready = net_pool_take(d->net, berth, profile, on_policy, b, why, sizeof(why));
    if (ready < 0) {
        microvm_fail(b, why);
    } else if (ready == 0) {
        b->network_pending = 1;
        microvm_set_state(b, MICROVM_NETWORK, microvm_time_left(b));
    } else {
        want_snapshot(b);
    }
}

/* ---- the rest of the interface ---- */

int microvm_usage(struct driver *d, int berth, struct driver_usage *out)
{
    struct microvm_berth *b = &d->berths[berth];
    struct cgroup_usage usage = {-1, -1, -1};

    if (!b->vmm || b->state == MICROVM_IDLE)
        return -1;
    if (b->has_cgroup)
        cgroup_usage(d->cgroups, berth, &usage);
    *out = (struct driver_usage){usage.memory_kb, usage.cpu_seconds, usage.processes};
    return 0;
}

void microvm_berth_init(struct microvm_berth *b, struct driver *d, int index)
{
    b->driver = d;
    b->index = index;
    b->link.fd = -1;
    ev_init(&b->timer, on_timer);
    b->timer.data = b;
    ev_timer_init(&b->prefetch, on_timer, 0, 0); /* its own callback comes with its use */
}
