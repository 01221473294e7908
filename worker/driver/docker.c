/* docker.c: the docker driver: one Chromium in one container of a Docker Engine, in the berth's network
 * namespace (which a container that does nothing holds open, worker/net_pool.h).
 *
 * create → attach → start → inspect, and the browser says that it listens. The attached stream is how the end
 * of a container is heard of at once, and its being open is what keeps the container alive: it ends with this
 * worker, however that ends. A berth is clean when the engine has removed the container, answers 404 for it,
 * and its cgroup is gone. */
#include "docker.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../profile.h"
#include "process_flags.h"

#define BROWSER       "/usr/lib/chromium/chromium-headless-shell" /* in the image */
#define START_LIMIT_S 60.0
#define LOOK_AGAIN_S  0.05
#define TRY_AGAIN_S   0.5 /* where the engine refuses or does not answer */
#define WARN_EVERY_MS 5000.0

extern const char *const docker_assets_text[]; /* compose/browser-seccomp.json */

static const char *const state_names[] = {"idle",     "network", "creating", "attaching",
                                          "starting", "up",      "down",     "stopping"};

static void look_if_clean(struct docker_berth *b);
static void create(struct docker_berth *b);

/* ---- states ---- */

/* The one writer of a berth's state. seconds: when the timer fires; negative: never; 0: at once. */
static void set_state(struct docker_berth *b, enum docker_state_of_berth state, double seconds)
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

/* The next step of a start; the deadline is one for all of them. */
static void set_step(struct docker_berth *b, enum docker_state_of_berth state)
{
    double left = START_LIMIT_S - (clock_mono_ms() - b->began) / 1000.0;

    set_state(b, state, left > 0 ? left : 0);
}

/* It did not work or is over: tells the owner, from the loop. */
static void fail(struct docker_berth *b, const char *why)
{
    if (b->state == DOCKER_DOWN || b->state == DOCKER_STOPPING)
        return;
    snprintf(b->why, sizeof(b->why), "%s", why);
    b->unreported = 1;
    set_state(b, DOCKER_DOWN, 0);
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
        fail(b, why);
        break;
    case DOCKER_DOWN:
        if (b->unreported) {
            b->unreported = 0;
            d->events.on_down(d->events.arg, b->index, b->why);
        }
        break;
    case DOCKER_STOPPING:
        look_if_clean(b);
        break;
    case DOCKER_IDLE:
    case DOCKER_UP:
        break;
    }
}

/* ---- calls ---- */

/* Asks the engine something about this berth's container; one call at a time. */
static void call(struct docker_berth *b, const char *method, const char *what, const char *json,
                 long limit_ms, docker_reply_cb *cb)
{
    char *path = mem_printf("/containers/%s", what);

    assert(!b->call);
    b->call = docker_engine_call(b->driver->engine, method, path, json, limit_ms, cb, b);
    free(path);
}

static void call_own(struct docker_berth *b, const char *method, const char *rest, long limit_ms,
                     docker_reply_cb *cb)
{
    char *what = mem_printf("%s%s", b->name, rest);

    call(b, method, what, NULL, limit_ms, cb);
    free(what);
}

/* ---- the browser's life ---- */

static void check_up(struct docker_berth *b)
{
    struct driver *d = b->driver;

    if (b->state != DOCKER_STARTING || !b->started || !b->ws_path[0])
        return;
    set_state(b, DOCKER_UP, -1);
    d->events.on_up(d->events.arg, b->index, b->ws_path, &b->timings);
}

static void on_listening(void *arg, int port, const char *ws_path)
{
    struct docker_berth *b = arg;

    if (b->state != DOCKER_STARTING || b->ws_path[0])
        return;
    (void)port; /* as asked for: DOCKER_CDP_PORT */
    b->timings.ready_ms = clock_mono_ms() - b->began;
    snprintf(b->ws_path, sizeof(b->ws_path), "%s", ws_path);
    check_up(b);
}

static void on_no_devtools(void *arg)
{
    struct docker_berth *b = arg;

    if (b->state == DOCKER_STARTING)
        fail(b, "the browser could not open its debugging port");
}

/* Why the stream is over, by the container's state. */
static void on_ended(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;
    struct docker_state s;
    char how[100], why[sizeof(b->why)];
    const char *said = process_output_reason(&b->output);

    b->call = NULL;
    if (b->state == DOCKER_STOPPING) {
        look_if_clean(b);
        return;
    }
    if (reply->status == 404)
        snprintf(why, sizeof(why), "somebody removed the browser's container");
    else if (*reply->why)
        snprintf(why, sizeof(why), "%s", reply->why);
    else if (docker_body_read_state(reply->json, &s) != 0 || s.running)
        snprintf(why, sizeof(why), "the Docker Engine closed the stream of the browser's container");
    else {
        docker_body_describe_end(&s, how, sizeof(how));
        snprintf(why, sizeof(why), "the browser %s%s%.240s", how, *said ? ": " : "", said);
    }
    fail(b, why);
}

static void ask_how_it_ended(struct docker_berth *b)
{
    if (b->ended && !b->call && (b->state == DOCKER_STARTING || b->state == DOCKER_UP))
        call_own(b, "GET", "/json", DOCKER_ASK_MS, on_ended);
}

static void on_stream_end(void *arg, const char *why)
{
    struct docker_berth *b = arg;
    char text[DOCKER_WHY_MAX];

    b->stream = NULL; /* frees itself */
    b->ended = 1;
    if (b->state == DOCKER_ATTACHING) {
        snprintf(text, sizeof(text), "cannot attach to the browser's container: %.200s",
                 why ? why : "the Docker Engine closed the connection");
        fail(b, text);
    }
    ask_how_it_ended(b);
}

static void on_stream_data(void *arg, const char *data, size_t len)
{
    struct docker_berth *b = arg;

    process_output_feed(&b->output, data, len);
}

/* ---- starting ---- */

/* A call of a start has been answered. 0 to go on; else the berth has moved elsewhere. */
static int answered(struct docker_berth *b, const struct docker_reply *reply, enum docker_state_of_berth in)
{
    b->call = NULL;
    if (b->state == DOCKER_STOPPING)
        look_if_clean(b);
    if (b->state != in)
        return -1;
    if (!*reply->why)
        return 0;
    fail(b, reply->why);
    return -1;
}

static void on_inspected(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;
    struct docker_state s;

    if (answered(b, reply, DOCKER_STARTING) != 0)
        return;
    if (docker_body_read_state(reply->json, &s) == 0 && s.running && s.pid > 0) {
        if (docker_cgroup_find(&b->cgroup, s.pid) == 0)
            log_warn("no_container_cgroup", "berth=%d pid=%d", b->index, s.pid);
        if (b->active)
            docker_cgroup_set_active(&b->cgroup, 1);
    }
    b->started = 1;
    check_up(b);
    ask_how_it_ended(b);
}

static void on_started(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    if (answered(b, reply, DOCKER_STARTING) != 0)
        return;
    b->timings.spawn_ms = clock_mono_ms() - b->began;
    call_own(b, "GET", "/json", DOCKER_ASK_MS, on_inspected);
}

static void on_attached(void *arg)
{
    struct docker_berth *b = arg;

    if (b->state != DOCKER_ATTACHING)
        return;
    set_step(b, DOCKER_STARTING);
    call_own(b, "POST", "/start", DOCKER_SLOW_MS, on_started);
}

static void attach(struct docker_berth *b)
{
    struct driver *d = b->driver;
    struct docker_stream_events events = {on_attached, on_stream_data, on_stream_end, b};
    char *path = mem_printf("/v%s/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1",
                            docker_engine_version(d->engine), b->name),
         why[DOCKER_WHY_MAX];

    process_output_init(&b->output, d->loop, -1, b->index);
    b->stream = docker_stream_new(d->loop, d->socket_path, path, &events);
    free(path);
    if (b->stream) {
        set_step(b, DOCKER_ATTACHING);
        return;
    }
    snprintf(why, sizeof(why), "cannot attach to the browser's container: %s", strerror(errno));
    fail(b, why);
}

static void on_cleared(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    (void)reply; /* the name is free now, or creating says why not */
    b->call = NULL;
    if (b->state == DOCKER_STOPPING)
        look_if_clean(b);
    else if (b->state == DOCKER_CREATING)
        create(b);
}

static void on_created(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    b->creating = 0;
    /* Something of ours that was not removed has the name. */
    if (reply->status == 409 && !b->cleared && b->state == DOCKER_CREATING) {
        b->call = NULL;
        b->cleared = 1;
        call_own(b, "DELETE", "?force=true&v=true", DOCKER_SLOW_MS, on_cleared);
        return;
    }
    if (answered(b, reply, DOCKER_CREATING) == 0)
        attach(b);
}

struct docker_container docker_container_of(const struct docker_berth *b)
{
    const struct driver *d = b->driver;

    return (struct docker_container){d->image, d->worker_id, b->index, d->uid_base + b->index, &d->can};
}

static void create(struct docker_berth *b)
{
    struct docker_container c = docker_container_of(b);
    const char *browser = b->profile->browser ? b->profile->browser : BROWSER;
    char **flags = process_flags(browser, b->profile, DOCKER_CDP_PORT, 1), **argv, *body, *what;
    size_t count = 0;

    while (flags[count])
        count++;
    argv = mem_alloc((count + 2) * sizeof(*argv));
    argv[0] = (char *)browser;
    memcpy(argv + 1, flags, count * sizeof(*argv));
    body = docker_body_browser(&c, b->profile, b->holder, argv, docker_assets_text[0]);
    what = mem_printf("create?name=%s", b->name);
    b->made = b->creating = 1;
    set_step(b, DOCKER_CREATING);
    call(b, "POST", what, body, DOCKER_SLOW_MS, on_created);
    free(what);
    free(body);
    free(argv);
    free(flags);
}

static void on_policy(void *arg, int result)
{
    struct docker_berth *b = arg;

    b->network_pending = 0;
    if (b->state == DOCKER_STOPPING) {
        look_if_clean(b);
    } else if (b->state == DOCKER_NETWORK) {
        b->timings.network_ms = clock_mono_ms() - b->began;
        if (result == 0)
            create(b);
        else
            fail(b, "the berth's egress rules could not be set");
    }
}

static void docker_start(struct driver *d, int berth, const struct profile *profile)
{
    struct docker_berth *b = &d->berths[berth];
    char why[DOCKER_WHY_MAX];
    int ready;

    assert(b->state == DOCKER_IDLE);
    b->profile = profile;
    b->began = clock_mono_ms();
    b->made = b->cleared = b->started = b->ended = b->active = 0;
    b->ws_path[0] = '\0';
    memset(&b->timings, 0, sizeof(b->timings));
    memset(&b->cgroup, 0, sizeof(b->cgroup));
    ready = net_pool_take(d->net, berth, profile, on_policy, b, why, sizeof(why));
    b->timings.network_ms = clock_mono_ms() - b->began;
    if (ready < 0) {
        fail(b, why);
    } else if (ready == 0) {
        b->network_pending = 1;
        set_step(b, DOCKER_NETWORK);
    } else {
        create(b);
    }
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
    set_state(b, DOCKER_IDLE, -1);
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
    set_state(b, DOCKER_STOPPING, reply->status ? LOOK_AGAIN_S : TRY_AGAIN_S);
}

static void on_removed(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    b->call = NULL;
    if (!*reply->why || reply->status == 404) {
        call_own(b, "GET", "/json", DOCKER_ASK_MS, on_looked);
        return;
    }
    /* 409: its removal is already under way. */
    warn_if_late(b, reply->why);
    set_state(b, DOCKER_STOPPING, reply->status == 409 ? LOOK_AGAIN_S : TRY_AGAIN_S);
}

/* Has the container removed, until it is; says on_clean then. Never from inside a stream's callback. */
static void look_if_clean(struct docker_berth *b)
{
    if (b->call || b->network_pending)
        return; /* their callbacks come here again */
    if (!b->made) {
        become_clean(b);
        return;
    }
    set_state(b, DOCKER_STOPPING, -1);
    call_own(b, "DELETE", "?force=true&v=true", DOCKER_SLOW_MS, on_removed);
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
    set_state(b, DOCKER_STOPPING, 0);
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
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(DOCKER_CDP_PORT)};
    int fd, saved;

    if (d->berths[berth].state != DOCKER_UP) {
        errno = ECONNREFUSED;
        return -1;
    }
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = net_pool_socket(d->net, berth, SOCK_STREAM);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
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
    b->output.on_listening = on_listening;
    b->output.on_no_devtools = on_no_devtools;
    b->output.arg = b;
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
