/* docker_open.c: opening and closing the docker driver: the engine and its image, what an earlier worker of
 * this id left, a container for each berth that holds its network namespace, the networks. Blocking, on an
 * event loop of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../host_lock.h"
#include "../isolation.h"
#include "berth_cgroup.h"
#include "docker.h"
#include "process_probe.h"

#define REMOVE_ROUNDS 100
#define ROUND_S       0.05
#define LIST_MAX      50 /* containers asked for at once: keeps the reply small */

/* ---- the engine ---- */

static void reduced(char *isolation, unsigned len, const char *word)
{
    isolation_reduced(isolation, len, word, "this Docker Engine cannot do it on this machine");
}

/* The disk under what containers read and write, if a profile limits its rates. */
static void check_disks(struct driver *d, const struct driver_config *c, const cJSON *info, char *isolation,
                        unsigned len)
{
    const cJSON *root = cJSON_GetObjectItemCaseSensitive(info, "DockerRootDir");

    if (!berth_disks_wanted(c, "docker"))
        return;
    if (cJSON_IsString(root))
        disk_devices_add(&d->disks, root->valuestring);
    if (!d->can.disk_rates)
        reduced(isolation, len, "no-disk-limit");
    else if (!d->disks.count)
        isolation_reduced(isolation, len, "no-disk-limit", "no disk under the engine's folder");
    else
        log_info("disk_limited", "device=%u:%u node=%s", d->disks.items[0].major, d->disks.items[0].minor,
                 d->disks.items[0].node);
}

static int check_engine(struct driver *d, const struct driver_config *c, char *isolation, unsigned len,
                        char *err, unsigned errlen)
{
    char why[DOCKER_WHY_MAX];
    cJSON *info = NULL;
    int status;

    if (docker_engine_negotiate(d->waiting, err, errlen) != 0)
        return -1;
    docker_engine_set_version(d->engine, docker_engine_version(d->waiting));
    status = docker_engine_wait(d->waiting, "GET", "/info", NULL, DOCKER_ASK_MS, &info, why);
    if (status != 200 || !info) {
        snprintf(err, errlen, "the Docker Engine does not say what it can: %s", why);
        cJSON_Delete(info);
        return -1;
    }
    docker_body_read_info(info, &d->can);
    check_disks(d, c, info, isolation, len);
    cJSON_Delete(info);
    if (d->can.rootless) {
        snprintf(err, errlen, "the Docker Engine at %s is a rootless one: its networks are out of reach",
                 d->socket_path);
        return -1;
    }
    if (!d->can.memory)
        reduced(isolation, len, "no-memory-limit");
    else if (!d->can.swap)
        reduced(isolation, len, "no-swap-limit");
    if (!d->can.pids)
        reduced(isolation, len, "no-pids-limit");
    if (!d->can.cpu_quota)
        reduced(isolation, len, "no-cpu-limit");
    if (!d->can.seccomp)
        reduced(isolation, len, "no-seccomp");
    return 0;
}

static int check_image(struct driver *d, char *err, unsigned errlen)
{
    char why[DOCKER_WHY_MAX], *path = mem_printf("/images/%s/json", d->image);
    int status = docker_engine_wait(d->waiting, "GET", path, NULL, DOCKER_ASK_MS, NULL, why);

    free(path);
    if (status == 200)
        return 0;
    if (status == 404)
        snprintf(err, errlen,
                 "the Docker Engine has no image %s: build it with scripts/browser-image, or name another "
                 "one with BERTH_DOCKER_IMAGE",
                 d->image);
    else
        snprintf(err, errlen, "cannot look for the image %s: %s", d->image, why);
    return -1;
}

/* Names that go into a path as they are. */
static int is_image_name(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= 200 && s[0] != '/' && !strstr(s, "..") &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") == len;
}

/* ---- containers of this worker ---- */

static int remove_container(struct driver *d, const char *name, char why[DOCKER_WHY_MAX])
{
    char *path = mem_printf("/containers/%s?force=true&v=true", name);
    int status = docker_engine_wait(d->waiting, "DELETE", path, NULL, DOCKER_SLOW_MS, NULL, why);

    free(path);
    return status == 204 || status == 404 ? 0 : -1;
}

/* Removes every container with this worker's label, browsers before those whose network they use. 0, or -1
 * with a sentence. */
static int remove_all(struct driver *d, int *removed, char *err, unsigned errlen)
{
    char *path = mem_printf("/containers/json?all=true&limit=%d&filters=%%7B%%22label%%22%%3A%%5B%%22" //
                            DOCKER_LABEL_WORKER "%%3D%s%%22%%5D%%7D",
                            LIST_MAX, d->worker_id),
         why[DOCKER_WHY_MAX] = "";
    int result = -1, left = 1;

    for (int round = 0; round < REMOVE_ROUNDS && left; round++) {
        cJSON *list = NULL, *item;

        if (round > 1)
            ev_sleep(ROUND_S); /* the engine is at it: a removal under way is refused another time */

        if (docker_engine_wait(d->waiting, "GET", path, NULL, DOCKER_ASK_MS, &list, why) != 200 ||
            !cJSON_IsArray(list)) {
            cJSON_Delete(list);
            goto cleanup;
        }
        left = cJSON_GetArraySize(list);
        cJSON_ArrayForEach(item, list)
        {
            const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "Id");

            if (cJSON_IsString(id) &&
                strspn(id->valuestring, "0123456789abcdef") == strlen(id->valuestring) &&
                remove_container(d, id->valuestring, why) == 0)
                ++*removed;
        }
        cJSON_Delete(list);
    }
    result = left ? -1 : 0;
cleanup:
    if (result != 0)
        snprintf(err, errlen, "cannot remove the containers that a worker %s has left: %s", d->worker_id,
                 why);
    free(path);
    return result;
}

struct attaching {
    struct driver *driver;
    struct docker_berth *berth;
    char *why;
};

static void on_attached(void *arg)
{
    ev_break(((struct attaching *)arg)->driver->waiting_loop, EVBREAK_ALL);
}

static void on_data(void *arg, const char *data, size_t len)
{
    (void)arg, (void)data, (void)len;
}

static void on_end(void *arg, const char *why)
{
    struct attaching *a = arg;

    a->berth->holding = NULL; /* frees itself */
    snprintf(a->why, DOCKER_WHY_MAX, "%s", why ? why : "the Docker Engine closed the connection");
    ev_break(a->driver->waiting_loop, EVBREAK_ALL);
}

/* Opens the holder's standard input. Its loop does not run afterwards: nothing comes over it, and the holder
 * only needs it to be open. */
static int hold(struct driver *d, struct docker_berth *b, char why[DOCKER_WHY_MAX])
{
    struct attaching a = {d, b, why};
    struct docker_stream_events events = {on_attached, on_data, on_end, &a};
    char *path = mem_printf("/v%s/containers/%s/attach?stream=1&stdin=1&stdout=1",
                            docker_engine_version(d->waiting), b->holder);

    b->holding = docker_stream_new(d->waiting_loop, d->socket_path, path, &events);
    free(path);
    if (!b->holding) {
        snprintf(why, DOCKER_WHY_MAX, "%s", strerror(errno));
        return -1;
    }
    ev_run(d->waiting_loop, 0);
    if (!b->holding)
        return -1;
    docker_stream_pause(b->holding);
    return 0;
}

/* The container that holds the berth's network: its first process, or -1 with a sentence. */
static int make_holder(struct driver *d, struct docker_berth *b, char *err, unsigned errlen)
{
    struct docker_container c = docker_container_of(b);
    struct docker_state state = {0};
    char *body = docker_body_holder(&c), *create = mem_printf("/containers/create?name=%s", b->holder),
         *start = mem_printf("/containers/%s/start", b->holder),
         *look = mem_printf("/containers/%s/json", b->holder), why[DOCKER_WHY_MAX] = "";
    cJSON *json = NULL;
    int pid = -1;

    if (docker_engine_wait(d->waiting, "POST", create, body, DOCKER_SLOW_MS, NULL, why) == 201 &&
        hold(d, b, why) == 0 &&
        docker_engine_wait(d->waiting, "POST", start, NULL, DOCKER_SLOW_MS, NULL, why) == 204 &&
        docker_engine_wait(d->waiting, "GET", look, NULL, DOCKER_ASK_MS, &json, why) == 200 &&
        docker_body_read_state(json, &state) == 0 && state.running && state.pid > 0)
        pid = state.pid;
    else
        snprintf(err, errlen, "cannot start the container %s, which holds a berth's network: %s", b->holder,
                 *why ? why : "it ended at once");
    cJSON_Delete(json);
    free(look);
    free(start);
    free(create);
    free(body);
    return pid;
}

static int open_networks(struct driver *d, const struct driver_config *c, char *isolation, unsigned len,
                         char *err, unsigned errlen)
{
    int *holders = mem_alloc((size_t)c->berths * sizeof(*holders)), result = -1;
    struct net_pool_config config = {
        .loop = c->loop,
        .worker_id = c->worker_id,
        .berths = c->berths,
        .settings = c->settings,
        .cdp_port = DOCKER_CDP_PORT,
        .isolation = isolation,
        .isolation_len = len,
        .holders = holders,
    };

    for (int i = 0; i < c->berths; i++) {
        holders[i] = make_holder(d, &d->berths[i], err, errlen);
        if (holders[i] < 0)
            goto cleanup;
    }
    d->net = net_pool_new(&config, err, errlen);
    result = d->net ? 0 : -1;
cleanup:
    free(holders);
    return result;
}

/* ---- open, close ---- */

static struct driver *driver_new(const struct driver_config *config, const struct driver_events *events)
{
    struct driver *d = mem_alloc(sizeof(*d));

    d->loop = config->loop;
    d->events = *events;
    d->socket_path = config->settings->docker_socket;
    d->image = config->settings->docker_image;
    d->worker_id = mem_strdup(config->worker_id);
    d->uid_base = config->settings->uid_base;
    d->lock = -1;
    d->engine = docker_engine_new(d->loop, d->socket_path);
    d->waiting_loop = ev_loop_new(EVFLAG_AUTO);
    d->waiting = docker_engine_new(d->waiting_loop, d->socket_path);
    d->count = config->berths;
    d->berths = mem_alloc((size_t)d->count * sizeof(*d->berths));
    for (int i = 0; i < d->count; i++)
        docker_berth_init(&d->berths[i], d, i);
    return d;
}

struct driver *docker_open(const struct driver_config *config, const struct driver_events *events,
                           char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    struct driver *d;
    int removed = 0;

    if (!ev_is_default_loop(config->loop)) {
        snprintf(err, errlen, "the docker driver needs libev's default loop");
        return NULL;
    }
    if (!process_is_privileged()) {
        snprintf(err, errlen, "the docker driver needs root: it makes the networks of its containers itself");
        return NULL;
    }
    if (!is_image_name(config->settings->docker_image)) {
        snprintf(err, errlen, "BERTH_DOCKER_IMAGE: %.80s is no name of an image",
                 config->settings->docker_image);
        return NULL;
    }
    d = driver_new(config, events);
    *isolation = '\0';
    d->lock = host_lock_take_worker(config->worker_id, err, errlen);
    if (d->lock < 0 || check_engine(d, config, isolation, isolation_len, err, errlen) != 0 ||
        check_image(d, err, errlen) != 0 || remove_all(d, &removed, err, errlen) != 0)
        goto fail;
    if (removed)
        log_warn("containers_left_over", "count=%d worker=%s", removed, d->worker_id);
    if (open_networks(d, config, isolation, isolation_len, err, errlen) != 0)
        goto fail;
    if (!*isolation)
        snprintf(isolation, isolation_len, "full");
    log_info("driver_open", "driver=docker berths=%d isolation=%s api=%s image=%s", d->count, isolation,
             docker_engine_version(d->engine), d->image);
    return d;
fail:
    docker_close(d);
    return NULL;
}

void docker_close(struct driver *d)
{
    char err[DOCKER_WHY_MAX + 100];
    int removed = 0;

    for (int i = 0; i < d->count; i++)
        docker_berth_end(&d->berths[i]);
    if (d->net)
        net_pool_free(d->net);
    /* An engine that does not answer was complained about already; the next worker of this id cleans up. */
    if (*docker_engine_version(d->waiting) && d->lock >= 0 && remove_all(d, &removed, err, sizeof(err)) != 0)
        log_error("containers_left", "why=%s", err);
    docker_engine_free(d->engine);
    docker_engine_free(d->waiting);
    ev_loop_destroy(d->waiting_loop);
    if (d->lock >= 0)
        close(d->lock);
    free(d->berths);
    free(d->worker_id);
    free(d);
}
