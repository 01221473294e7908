/* docker_start.c: a container from its creation to its end: create → attach → start → inspect, and the
 * browser says that it listens. The attached stream is how the end of a container is heard of at once, and
 * its being open is what keeps the container alive: it ends with this worker, however that ends. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../profile.h"
#include "docker.h"
#include "process_flags.h"

#define BROWSER "/usr/lib/chromium/chromium-headless-shell" /* in the image */

extern const char *const docker_assets_text[]; /* compose/browser-seccomp.json */

static void create(struct docker_berth *b);

/* ---- the browser's life ---- */

static void check_up(struct docker_berth *b)
{
    struct driver *d = b->driver;

    if (b->state != DOCKER_STARTING || !b->started || !b->ws_path[0])
        return;
    docker_set_state(b, DOCKER_UP, -1);
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
        docker_fail(b, "the browser could not open its debugging port");
}

void docker_output_init(struct docker_berth *b)
{
    b->output.on_listening = on_listening;
    b->output.on_no_devtools = on_no_devtools;
    b->output.arg = b;
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
        docker_look_if_clean(b);
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
    docker_fail(b, why);
}

static void ask_how_it_ended(struct docker_berth *b)
{
    if (b->ended && !b->call && (b->state == DOCKER_STARTING || b->state == DOCKER_UP))
        docker_call_own(b, "GET", "/json", DOCKER_ASK_MS, on_ended);
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
        docker_fail(b, text);
    }
    ask_how_it_ended(b);
}

static void on_stream_data(void *arg, const char *data, size_t len)
{
    struct docker_berth *b = arg;

    process_output_feed(&b->output, data, len);
}

/* ---- starting ---- */

/* Whether the berth's network is still held. Its holder ends when the engine does (and is not made anew by
 * it), and the network cannot be given to another one: then no start can succeed until the driver is opened
 * again. */
static void on_holder(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;
    struct driver *d = b->driver;
    struct docker_state s;
    char why[DOCKER_WHY_MAX];

    b->call = NULL;
    if (b->state == DOCKER_STOPPING) {
        docker_look_if_clean(b);
        return;
    }
    docker_fail(b, b->why);
    if (d->lost ||
        (reply->status != 404 && (*reply->why || docker_body_read_state(reply->json, &s) != 0 || s.running)))
        return;
    d->lost = 1;
    snprintf(why, sizeof(why), "the container %s, which holds a berth's network, is gone: %s", b->holder,
             "was the Docker Engine restarted?");
    d->events.on_lost(d->events.arg, why);
}

/* The engine refused a step of a start, for b->why: the berth fails, once it is known whether more is wrong.
 */
static void ask_for_holder(struct docker_berth *b)
{
    char *what = mem_printf("%s/json", b->holder);

    docker_call(b, "GET", what, NULL, DOCKER_ASK_MS, on_holder);
    free(what);
}

/* A call of a start has been answered. 0 to go on; else the berth has moved elsewhere. */
static int answered(struct docker_berth *b, const struct docker_reply *reply, enum docker_state_of_berth in)
{
    b->call = NULL;
    if (b->state == DOCKER_STOPPING)
        docker_look_if_clean(b);
    if (b->state != in)
        return -1;
    if (!*reply->why)
        return 0;
    if (reply->status >= 400) {
        snprintf(b->why, sizeof(b->why), "%s", reply->why);
        ask_for_holder(b);
    } else {
        docker_fail(b, reply->why);
    }
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
    docker_call_own(b, "GET", "/json", DOCKER_ASK_MS, on_inspected);
}

static void on_attached(void *arg)
{
    struct docker_berth *b = arg;

    if (b->state != DOCKER_ATTACHING)
        return;
    docker_set_step(b, DOCKER_STARTING);
    docker_call_own(b, "POST", "/start", DOCKER_SLOW_MS, on_started);
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
        docker_set_step(b, DOCKER_ATTACHING);
        return;
    }
    snprintf(why, sizeof(why), "cannot attach to the browser's container: %s", strerror(errno));
    docker_fail(b, why);
}

static void on_cleared(void *arg, const struct docker_reply *reply)
{
    struct docker_berth *b = arg;

    (void)reply; /* the name is free now, or creating says why not */
    b->call = NULL;
    if (b->state == DOCKER_STOPPING)
        docker_look_if_clean(b);
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
        docker_call_own(b, "DELETE", "?force=true&v=true", DOCKER_SLOW_MS, on_cleared);
        return;
    }
    if (answered(b, reply, DOCKER_CREATING) == 0)
        attach(b);
}

struct docker_container docker_container_of(const struct docker_berth *b)
{
    const struct driver *d = b->driver;

    return (struct docker_container){d->image, d->worker_id, b->index, d->uid_base + b->index,
                                     &d->can,  &d->disks};
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
    docker_set_step(b, DOCKER_CREATING);
    docker_call(b, "POST", what, body, DOCKER_SLOW_MS, on_created);
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
        docker_look_if_clean(b);
    } else if (b->state == DOCKER_NETWORK) {
        b->timings.network_ms = clock_mono_ms() - b->began;
        if (result == 0)
            create(b);
        else
            docker_fail(b, "the berth's egress rules could not be set");
    }
}

void docker_start(struct driver *d, int berth, const struct profile *profile)
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
        docker_fail(b, why);
    } else if (ready == 0) {
        b->network_pending = 1;
        docker_set_step(b, DOCKER_NETWORK);
    } else {
        create(b);
    }
}
