/* docker.c: the docker driver: one Chromium in one container of a Docker Engine, in the berth's network
 * namespace (which a container that does nothing holds open, worker/net_pool.h). How one comes up is in
 * docker_start.c; here are a berth's states, its stopping, and the rest of the interface.
 *
 * A berth is clean when the engine has removed the container, answers 404 for it, and its cgroup is gone. */
#include "docker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "dial.h"

#define START_LIMIT_S 60.0
#define LOOK_AGAIN_S  0.05
#define TRY_AGAIN_S   0.5 /* where the engine refuses or does not answer */
#define WARN_EVERY_MS 5000.0

static const char *const state_names[] = {"idle",     "network", "creating", "attaching",
                                          "starting", "up",      "down",     "stopping"};

/* ---- states ---- */

/* The one writer of a berth's state. */
void docker_set_state(struct docker_berth *b, enum docker_state_of_berth state, double seconds)
{
    struct ev_loop *loop = b->driver->loop;

    log_debug("berth_docker", "berth=%d from=%s to=%s", b->index, state_names[b->state], state_names[state]);
    b->state = state;
    ev_timer_stop(loop, &b->timer);
    if (seconds >= 0) {
        ev_now_update(loop);
        ev_timer_set(&b->timer, seconds, 0);
        ev_timer_start(loop, &b->timer);
    }
}

void docker_set_step(struct docker_berth *b, enum docker_state_of_berth state)
{
    double left = START_LIMIT_S - (clock_mono_ms() - b->began) / 1000.0;

    docker_set_state(b, state, left > 0 ? left : 0);
}

void docker_fail(struct docker_berth *b, const char *why)
{
    if (b->state == DOCKER_DOWN || b->state == DOCKER_STOPPING)
        return;
    if (why != b->why)
        snprintf(b->why, sizeof(b->why), "%s", why);
    b->unreported = 1;
    docker_set_state(b, DOCKER_DOWN, 0);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct docker_berth *b = w->data;
    struct driver *d = b->driver;
    char why[DOCKER_WHY_MAX];

    (void)loop;
    (void)revents;
    switch (b->state) {
    case DOCKER_NETWORK:
    case DOCKER_CREATING:
    case DOCKER_ATTACHING:
    case DOCKER_STARTING:
        snprintf(why, sizeof(why), "the browser's container did not come up in %.0f s (%s): %.180s",
                 START_LIMIT_S, state_names[b->state], process_output_reason(&b->output));
        docker_fail(b, why);
        break;
    case DOCKER_DOWN:
        if (b->unreported) {
            b->unreported = 0;
            d->events.on_down(d->events.arg, b->index, b->why);
        }
        break;
    case DOCKER_STOPPING:
        docker_look_if_clean(b);
        break;
    case DOCKER_IDLE:
    case DOCKER_UP:
        break;
    }
}

/* ---- calls ---- */

void docker_call(struct docker_berth *b, const char *method, const char *what, const char *json,
                 long limit_ms, docker_reply_cb *cb)
{
    char *path = mem_printf("/containers/%s", what);

    assert(!b->call);
    b->call = docker_engine_call(b->driver->engine, method, path, json, limit_ms, cb, b);
    free(path);
}

void docker_call_own(struct docker_berth *b, const char *method, const char *rest, long limit_ms,
                     docker_reply_cb *cb)
{
    char *what = mem_printf("%s%s", b->name, rest);

    docker_call(b, method, what, NULL, limit_ms, cb);
    free(what);
}

/* ---- stopping ---- */

static void warn_if_late(struct docker_berth *b, const char *why)
{
    double ms = clock_mono_ms() - b->began;

    if (ms <= (b->warnings + 1) * WARN_EVERY_MS)
        return;
    b->warnings++;
    log_warn("berth_not_clean", "berth=%d seconds=%.1f container=%s why=%s", b->index, ms / 1000.0, b->name,
             why);
}

static void become_clean(struct docker_berth *b)
{
    struct driver *d = b->driver;

    docker_stream_free(b->stream);
    b->stream = NULL;
    process_output_cleanup(&b->output);
    net_pool_reset(d->net, b->index);
    log_debug("berth_clean", "berth=%d ms=%.1f", b->index, clock_mono_ms() - b->began);
    docker_set_state(b, DOCKER_IDLE, -1);
    d->events.on_clean(d->events.arg, b->index);
}

/* What the engine says about a container that should be gone. */
static void on_looked(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    b->call = NULL;
    if (reply->status == 404 && docker_cgroup_is_gone(&b->cgroup)) {
        b->made = 0;
        become_clean(b);
        return;
    }
    warn_if_late(b, reply->status == 404 ? "its cgroup is still there"
                    : *reply->why        ? reply->why
                                         : "the engine still has it");
    docker_set_state(b, DOCKER_STOPPING, reply->status ? LOOK_AGAIN_S : TRY_AGAIN_S);
}

static void on_removed(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    b->call = NULL;
    if (!*reply->why || reply->status == 404) {
        docker_call_own(b, "GET", "/json", DOCKER_ASK_MS, on_looked);
        return;
    }
    /* 409: its removal is already under way. */
    warn_if_late(b, reply->why);
    docker_set_state(b, DOCKER_STOPPING, reply->status == 409 ? LOOK_AGAIN_S : TRY_AGAIN_S);
}

void docker_look_if_clean(struct docker_berth *b)
{
    if (b->call || b->network_pending)
        return; /* their callbacks come here again */
    if (!b->made) {
        become_clean(b);
        return;
    }
    docker_set_state(b, DOCKER_STOPPING, -1);
    docker_call_own(b, "DELETE", "?force=true&v=true", DOCKER_SLOW_MS, on_removed);
}

static void docker_stop(struct driver *d, int berth)
{
    struct docker_berth *b = &d->berths[berth];

    if (b->state == DOCKER_STOPPING)
        return;
    /* Creating has to be answered first, or the container could come after its removal. All else is overtaken
     * by the removal. */
    if (b->call && !b->creating) {
        docker_call_cancel(b->call);
        b->call = NULL;
    }
    b->began = clock_mono_ms();
    b->warnings = 0;
    b->unreported = 0;
    docker_set_state(b, DOCKER_STOPPING, 0);
}

void docker_berth_end(struct docker_berth *b)
{
    if (b->call)
        docker_call_cancel(b->call);
    docker_stream_free(b->stream);
    docker_stream_free(b->holding);
    process_output_cleanup(&b->output);
    ev_timer_stop(b->driver->loop, &b->timer);
}

/* ---- the rest of the interface ---- */

static int docker_connect(struct driver *d, int berth)
{
    if (d->berths[berth].state != DOCKER_UP) {
        errno = ECONNREFUSED;
        return -1;
    }
    return dial_loopback(net_pool_socket(d->net, berth, SOCK_STREAM), DOCKER_CDP_PORT);
}

static void docker_set_active(struct driver *d, int berth, int active)
{
    struct docker_berth *b = &d->berths[berth];

    b->active = active;
    if (b->started && docker_cgroup_set_active(&b->cgroup, active) != 0)
        log_debug("cpu_share_not_set", "berth=%d error=%s", berth, strerror(errno));
}

static int docker_usage(struct driver *d, int berth, struct driver_usage *out)
{
    struct docker_berth *b = &d->berths[berth];
    struct cgroup_usage usage;

    if (b->state != DOCKER_UP)
        return -1;
    docker_cgroup_usage(&b->cgroup, &usage);
    *out = (struct driver_usage){usage.memory_kb, usage.cpu_seconds, usage.processes};
    return 0;
}

void docker_berth_init(struct docker_berth *b, struct driver *d, int index)
{
    b->driver = d;
    b->index = index;
    snprintf(b->name, sizeof(b->name), "berth-%s-%d", d->worker_id, index);
    snprintf(b->holder, sizeof(b->holder), "berth-%s-%d-net", d->worker_id, index);
    docker_output_init(b);
    ev_init(&b->timer, on_timer);
    b->timer.data = b;
}

const struct driver_ops driver_docker = {
    .name = "docker",
    .open = docker_open,
    .start = docker_start,
    .stop = docker_stop,
    .connect = docker_connect,
    .set_active = docker_set_active,
    .usage = docker_usage,
    .close = docker_close,
};
