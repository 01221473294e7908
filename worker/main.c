/* main.c: berth-worker. Reads the settings, makes the worker (with the sim driver perhaps many), runs the
 * loop, and turns signals into the end. Owns the loop, the commands' connection, the load sampler and the
 * list of workers. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../shared/keys.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "make_snapshots.h"
#include "worker.h"

#define COMMAND_LIMIT_MS 3000

struct process {
    struct ev_loop *loop;
    struct settings settings;
    struct profile_set profiles;
    struct load load;
    struct redis_address *address;
    struct redis *redis;
    struct worker **workers;
    int worker_count, ended, status;
    ev_signal term, interrupt, hangup;
};

/* The host's name, as far as a worker id may have its characters. */
static void default_id(char out[KEYS_ID_MAX + 1])
{
    memset(out, 0, KEYS_ID_MAX + 1);
    if (gethostname(out, KEYS_ID_MAX) != 0 || !out[0])
        strcpy(out, "worker");
    out[KEYS_ID_MAX] = '\0';
    for (char *p = out; *p; p++) {
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '-')
            *p = '_';
    }
}

/* The id of worker i of n in this process: with several, a number follows. -1: not a legal id. */
static int make_id(const struct settings *s, int i, int n, char out[KEYS_ID_MAX + 1])
{
    char base[KEYS_ID_MAX + 1];
    int len;

    default_id(base);
    if (n > 1)
        len = snprintf(out, KEYS_ID_MAX + 1, "%s-%d", s->worker_id[0] ? s->worker_id : base, i + 1);
    else
        len = snprintf(out, KEYS_ID_MAX + 1, "%s", s->worker_id[0] ? s->worker_id : base);
    return len <= KEYS_ID_MAX && keys_is_name(out) ? 0 : -1;
}

/* Every berth and client needs a few descriptors. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- events ---- */

static void on_redis_state(void *arg, int up)
{
    struct process *p = arg;

    for (int i = 0; i < p->worker_count; i++)
        worker_on_redis(p->workers[i], up);
}

static void on_worker_end(void *arg, struct worker *w, int status)
{
    struct process *p = arg;

    (void)w;
    p->ended++;
    if (status > p->status) {
        p->status = status;
        /* One of several that was replaced: the process is not what its operator thinks it is. */
        for (int i = 0; i < p->worker_count; i++)
            shutdown_signal(p->workers[i]);
    }
    if (p->ended == p->worker_count)
        ev_break(p->loop, EVBREAK_ALL);
}

static void on_signal_end(struct ev_loop *loop, ev_signal *signal, int revents)
{
    struct process *p = signal->data;

    (void)loop;
    (void)revents;
    log_info("signal", "name=%s", strsignal(signal->signum));
    for (int i = 0; i < p->worker_count; i++)
        shutdown_signal(p->workers[i]);
}

static void on_signal_hangup(struct ev_loop *loop, ev_signal *signal, int revents)
{
    (void)loop;
    (void)signal;
    (void)revents;
    log_warn("signal_ignored", "name=%s hint=%s", "SIGHUP",
             "profiles are read at the start only; restart the worker");
}

static void watch_signal(struct process *p, ev_signal *watcher, int signum,
                         void (*on_signal)(struct ev_loop *, ev_signal *, int))
{
    ev_signal_init(watcher, on_signal, signum);
    watcher->data = p;
    ev_signal_start(p->loop, watcher);
}

/* ---- start and end ---- */

static void open_workers(struct process *p)
{
    int n = (int)p->settings.sim_workers;
    char id[KEYS_ID_MAX + 1], err[512] = "";
    struct worker_config config = {
        .loop = p->loop,
        .settings = &p->settings,
        .profiles = &p->profiles,
        .load = &p->load,
        .redis = p->redis,
        .address = p->address,
        .id = id,
        .no_gateway = n > 1,
        .on_end = on_worker_end,
        .arg = p,
    };

    for (size_t i = 0; n > 1 && i < p->profiles.count; i++) {
        if (strcmp(p->profiles.items[i].driver, "sim") != 0)
            log_fatal("bad_setting", "name=%s value=%d hint=%s", "BERTH_SIM_WORKERS", n,
                      "only for the sim driver");
    }
    p->workers = mem_alloc((size_t)n * sizeof(*p->workers));
    for (int i = 0; i < n; i++) {
        if (make_id(&p->settings, i, n, id) != 0)
            log_fatal("bad_setting", "name=%s value=%s hint=%s", "BERTH_WORKER_ID", p->settings.worker_id,
                      "1 to 64 characters of A-Za-z0-9._-");
        p->workers[i] = worker_new(&config, err, sizeof(err));
        if (!p->workers[i])
            log_fatal("cannot_start", "worker=%s why=%s", id, err);
        p->worker_count++;
    }
    if (n > 1)
        log_info("listening", "what=%s port=%d workers=%d", "nothing: a simulated fleet has no gateway", 0,
                 n);
}

static void read_settings(struct process *p)
{
    char err[512] = "";

    if (settings_load(&p->settings, SETTINGS_WORKER, err, sizeof(err)) != 0)
        log_fatal("bad_setting", "why=%s", err);
    (void)log_init("berth-worker", p->settings.log_level, p->settings.log_format);
    if (profile_set_load(&p->profiles, &p->settings, err, sizeof(err)) != 0)
        log_fatal("bad_profiles", "why=%s", err);
    p->address = redis_address_parse(p->settings.redis_url, err, sizeof(err));
    if (!p->address)
        log_fatal("bad_setting", "name=%s why=%s", "BERTH_REDIS_URL", err);
}

static void finish(struct process *p)
{
    /* First the connection: its callbacks still find the workers. */
    redis_free(p->redis);
    for (int i = 0; i < p->worker_count; i++)
        worker_free(p->workers[i]);
    free(p->workers);
    load_cleanup(&p->load);
    ev_signal_stop(p->loop, &p->term);
    ev_signal_stop(p->loop, &p->interrupt);
    ev_signal_stop(p->loop, &p->hangup);
    redis_address_free(p->address);
    profile_set_cleanup(&p->profiles);
    ev_loop_destroy(p->loop);
}

/* Like a worker of its own: the berths' users, networks and cgroups of one that runs are left alone. */
static int only_make_snapshots(struct process *p)
{
    char id[KEYS_ID_MAX + 1], own[KEYS_ID_MAX + 1];
    int status;

    if (make_id(&p->settings, 0, 1, id) != 0)
        log_fatal("bad_setting", "name=%s value=%s hint=%s", "BERTH_WORKER_ID", p->settings.worker_id,
                  "1 to 64 characters of A-Za-z0-9._-");
    snprintf(own, sizeof(own), "%.54s-snapshots", id);
    p->settings.uid_base += p->settings.berths;
    status = make_snapshots(p->loop, &p->settings, &p->profiles, own);
    redis_address_free(p->address);
    profile_set_cleanup(&p->profiles);
    ev_loop_destroy(p->loop);
    return status;
}

int main(int argc, char **argv)
{
    struct process p = {0};
    int snapshots = argc == 2 && strcmp(argv[1], "--make-snapshots") == 0;

    if (argc > 1 && !snapshots) {
        if (strcmp(argv[1], "--help") == 0)
            settings_help(SETTINGS_WORKER);
        else if (strcmp(argv[1], "--version") == 0)
            printf("berth-worker %s\n", BERTH_VERSION);
        else
            fprintf(stderr, "berth-worker: settings come from the environment; see berth-worker --help; the "
                            "only other word is --make-snapshots\n");
        return strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0 ? 0 : 2;
    }
    (void)log_init("berth-worker", "info", "text");
    read_settings(&p);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    p.loop = ev_default_loop(EVFLAG_AUTO);
    if (!p.loop)
        log_fatal("cannot_start", "why=%s", "no event loop");
    if (snapshots)
        return only_make_snapshots(&p);
    watch_signal(&p, &p.term, SIGTERM, on_signal_end);
    watch_signal(&p, &p.interrupt, SIGINT, on_signal_end);
    watch_signal(&p, &p.hangup, SIGHUP, on_signal_hangup);
    load_init(&p.load, p.loop, &p.settings);
    p.redis = redis_new(p.loop, p.address, p.settings.cell, "commands", COMMAND_LIMIT_MS, on_redis_state, &p);
    open_workers(&p);
    ev_run(p.loop, 0);
    finish(&p);
    log_info("stopped", "status=%d", p.status);
    return p.status;
}
