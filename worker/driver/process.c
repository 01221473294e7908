/* process.c: the process driver's berths: one Chromium in a jail (worker/jail.h), in the berth's network
 * namespace (worker/net_pool.h) and cgroup (worker/cgroup.h).
 *
 * The child is bubblewrap, process 1 of a PID namespace: killing it kills all that the browser ever started,
 * and the kernel lets it be reaped only when they are gone. That its cgroup can be removed proves it once
 * more. on_clean is said after both. */
#include "process.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "berth_cgroup.h"
#include "dial.h"

#define START_LIMIT_S 30.0
#define LOOK_AGAIN_S  0.01
#define WARN_EVERY_MS 2000.0

static const char *const state_names[] = {"idle", "network", "starting", "up", "down", "stopping"};

static void look_if_clean(struct process_berth *b);

/* ---- states ---- */

/* The one writer of a berth's state. seconds: when the timer fires; negative: never. */
static void set_state(struct process_berth *b, enum process_state state, double seconds)
{
    struct ev_loop *loop = b->driver->loop;

    log_debug("berth_process", "berth=%d from=%s to=%s", b->index, state_names[b->state], state_names[state]);
    b->state = state;
    ev_timer_stop(loop, &b->timer);
    if (seconds >= 0) {
        ev_now_update(loop);
        ev_timer_set(&b->timer, seconds, 0);
        ev_timer_start(loop, &b->timer);
    }
}

/* It did not work or is over: kills what runs, and tells the owner from the loop. */
static void fail(struct process_berth *b, const char *why)
{
    snprintf(b->why, sizeof(b->why), "%s", why);
    if (b->child)
        child_kill(b->child);
    b->unreported = 1;
    set_state(b, PROCESS_DOWN, 0);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct process_berth *b = w->data;
    struct driver *d = b->driver;
    char why[PROCESS_WHY_MAX];

    (void)loop;
    (void)revents;
    switch (b->state) {
    case PROCESS_NETWORK:
    case PROCESS_STARTING:
        process_output_drain(&b->output);
        snprintf(why, sizeof(why), "the browser did not come up in %.0f s: %.240s", START_LIMIT_S,
                 process_output_reason(&b->output));
        fail(b, why);
        break;
    case PROCESS_DOWN:
        if (b->unreported) {
            b->unreported = 0;
            d->events.on_down(d->events.arg, b->index, b->why);
        }
        break;
    case PROCESS_STOPPING:
        look_if_clean(b);
        break;
    case PROCESS_IDLE:
    case PROCESS_UP:
        break;
    }
}

/* ---- the browser's life ---- */

static void on_listening(void *arg, int port, const char *ws_path)
{
    struct process_berth *b = arg;
    struct driver *d = b->driver;

    if (b->state != PROCESS_STARTING)
        return;
    b->port = port;
    b->timings.ready_ms = clock_mono_ms() - b->began;
    set_state(b, PROCESS_UP, -1);
    d->events.on_up(d->events.arg, b->index, ws_path, &b->timings);
}

static void on_no_devtools(void *arg)
{
    struct process_berth *b = arg;

    if (b->state == PROCESS_STARTING)
        fail(b, "the browser could not open its debugging port");
}

static void describe_end(struct process_berth *b, int status, char *why, size_t len)
{
    char how[80];
    long kills = b->has_cgroup ? cgroup_oom_kills(b->driver->cgroups, b->index) : 0;
    const char *said = process_output_reason(&b->output);

    child_describe(status, how, sizeof(how));
    snprintf(why, len, "the browser %s%s%s%.240s", how, kills ? ", out of memory" : "", *said ? ": " : "",
             said);
}

static void on_child_exit(void *arg, int status)
{
    struct process_berth *b = arg;
    char why[PROCESS_WHY_MAX];

    b->child = NULL;
    if (b->state == PROCESS_STOPPING) {
        look_if_clean(b);
        return;
    }
    if (b->state == PROCESS_DOWN)
        return;
    process_output_drain(&b->output);
    describe_end(b, status, why, sizeof(why));
    fail(b, why);
}

/* ---- starting ---- */

static void launch(struct process_berth *b)
{
    char why[PROCESS_WHY_MAX];

    if (process_spawn(b, on_child_exit, why, sizeof(why)) != 0) {
        fail(b, why);
        return;
    }
    b->timings.spawn_ms = clock_mono_ms() - b->began;
    set_state(b, PROCESS_STARTING, START_LIMIT_S);
}

static void on_policy(void *arg, int result)
{
    struct process_berth *b = arg;

    b->network_pending = 0;
    if (b->state == PROCESS_STOPPING) {
        look_if_clean(b);
    } else if (b->state == PROCESS_NETWORK) {
        b->timings.network_ms = clock_mono_ms() - b->began;
        if (result == 0)
            launch(b);
        else
            fail(b, "the berth's egress rules could not be set");
    }
}

static void process_start(struct driver *d, int berth, const struct profile *profile)
{
    struct process_berth *b = &d->berths[berth];
    char why[PROCESS_WHY_MAX];
    int ready = 1;

    assert(b->state == PROCESS_IDLE);
    b->profile = profile;
    b->began = clock_mono_ms();
    b->active = 0;
    memset(&b->timings, 0, sizeof(b->timings));
    if (d->net)
        ready = net_pool_take(d->net, berth, profile, on_policy, b, why, sizeof(why));
    if (ready < 0) {
        fail(b, why);
    } else if (ready == 0) {
        b->network_pending = 1;
        set_state(b, PROCESS_NETWORK, START_LIMIT_S);
    } else {
        launch(b);
    }
}

/* ---- stopping ---- */

/* Says on_clean once everything of the berth is gone; else sees to it that it goes, and looks again soon. */
static void look_if_clean(struct process_berth *b)
{
    struct driver *d = b->driver;

    if (b->child || b->network_pending) {
        set_state(b, PROCESS_STOPPING, LOOK_AGAIN_S * 10); /* their own events come first */
    } else if (b->has_cgroup && cgroup_remove(d->cgroups, b->index) != 0) {
        cgroup_kill(d->cgroups, b->index);
        set_state(b, PROCESS_STOPPING, LOOK_AGAIN_S);
    } else {
        b->has_cgroup = 0;
        process_output_cleanup(&b->output);
        if (d->net)
            net_pool_reset(d->net, b->index);
        log_debug("berth_clean", "berth=%d ms=%.1f", b->index, clock_mono_ms() - b->began);
        set_state(b, PROCESS_IDLE, -1);
        d->events.on_clean(d->events.arg, b->index);
        return;
    }
    if (clock_mono_ms() - b->began > (b->warnings + 1) * WARN_EVERY_MS) {
        b->warnings++;
        log_warn("berth_not_clean", "berth=%d seconds=%.1f process=%d error=%s", b->index,
                 (clock_mono_ms() - b->began) / 1000.0, b->child ? (int)child_pid(b->child) : 0,
                 b->child ? "alive" : strerror(errno));
    }
    if (b->child)
        child_kill(b->child);
}

static void process_stop(struct driver *d, int berth)
{
    struct process_berth *b = &d->berths[berth];

    if (b->state == PROCESS_STOPPING)
        return;
    b->began = clock_mono_ms();
    b->warnings = 0;
    b->unreported = 0;
    if (b->child)
        child_kill(b->child);
    /* With a child its end is the next event; without one the timer is. */
    set_state(b, PROCESS_STOPPING, b->child ? LOOK_AGAIN_S * 100 : 0);
}

void process_berth_end(struct process_berth *b)
{
    struct driver *d = b->driver;

    if (b->child && child_finish(b->child, 5000) != 0)
        log_error("berth_left_running", "berth=%d", b->index);
    b->child = NULL;
    if (b->has_cgroup)
        berth_cgroup_end(d->cgroups, b->index);
    process_output_cleanup(&b->output);
    ev_timer_stop(d->loop, &b->timer);
}

/* ---- the rest of the interface ---- */

static int process_connect(struct driver *d, int berth)
{
    struct process_berth *b = &d->berths[berth];

    if (b->state != PROCESS_UP) {
        errno = ECONNREFUSED;
        return -1;
    }
    if (d->net)
        return dial_loopback(net_pool_socket(d->net, berth, SOCK_STREAM), PROCESS_CDP_PORT);
    return dial_loopback(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), b->port);
}

static void process_set_active(struct driver *d, int berth, int active)
{
    struct process_berth *b = &d->berths[berth];

    b->active = active;
    if (b->has_cgroup && cgroup_set_active(d->cgroups, berth, active) == 0)
        return;
    /* Without root a raised nice value could not be lowered again. */
    if (b->child && d->privileged)
        process_set_nice(b);
}

static int process_usage(struct driver *d, int berth, struct driver_usage *out)
{
    struct process_berth *b = &d->berths[berth];
    struct cgroup_usage usage = {-1, -1, -1};

    if (!b->child)
        return -1;
    if (b->has_cgroup)
        cgroup_usage(d->cgroups, berth, &usage);
    *out = (struct driver_usage){usage.memory_kb, usage.cpu_seconds, usage.processes};
    return 0;
}

void process_berth_init(struct process_berth *b, struct driver *d, int index)
{
    b->driver = d;
    b->index = index;
    b->output.on_listening = on_listening;
    b->output.on_no_devtools = on_no_devtools;
    b->output.arg = b;
    ev_init(&b->timer, on_timer);
    b->timer.data = b;
}

const struct driver_ops driver_process = {
    .name = "process",
    .open = process_open,
    .start = process_start,
    .stop = process_stop,
    .connect = process_connect,
    .set_active = process_set_active,
    .usage = process_usage,
    .close = process_close,
};
