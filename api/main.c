/* main.c: berth-api: start-up, signals, the loop, the end; and the sessions that are given up on the way.
 * Owns the loop and all that struct api points to. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../shared/fetch.h"
#include "../shared/log.h"
#include "../shared/random.h"
#include "api.h"
#include "auth.h"
#include "call.h"
#include "dispatch.h"
#include "drain.h"
#include "fleet.h"
#include "metrics.h"
#include "relay_cdp.h"
#include "sweeper.h"
#include "wait.h"

#define CREATES_AT_ONCE 16 /* with Redis; it does one after the other anyway (gate.h) */
#define HEAD_BYTES      16384
#define TARGET_BYTES    8192
#define WRITE_MS        30000

struct program {
    struct api api;
    struct redis_address *address;
    struct drain *drain;
    ev_signal term, interrupt, hangup;
};

/* ---- sessions that nobody waits for any more ---- */

static void on_settled(void *arg, const redisReply *reply)
{
    struct api *api = arg;

    api->settling--;
    if (redis_code(reply) != ERR_ok)
        log_debug("settle_answered", "code=%s", err_name(redis_code(reply)));
}

void api_cancel(struct api *api, const char *session, const char *project)
{
    api->settling++;
    log_info("session_cancelled", "session=%s", session);
    redis_script_retry(api->redis, 0, on_settled, api, SCRIPT_cancel, session, project, NULL);
}

void api_release(struct api *api, const char *session, const char *reason)
{
    api->settling++;
    log_info("session_released", "session=%s reason=%s", session, reason);
    redis_script_retry(api->redis, 0, on_settled, api, SCRIPT_release, session, "", reason, "", "", NULL);
}

/* ---- events ---- */

static void on_redis_state(void *arg, int up)
{
    struct api *api = arg;

    if (up)
        outage_end(&api->outage);
    else
        outage_begin(&api->outage);
    waits_kick(api->waits);
}

static void on_channel(void *arg, const char *channel, const char *message)
{
    struct api *api = arg;

    waits_hint(api->waits, channel, message);
}

static void on_signal_end(struct ev_loop *loop, ev_signal *w, int events)
{
    (void)loop;
    (void)events;
    drain_begin(w->data);
}

static void on_signal_reload(struct ev_loop *loop, ev_signal *w, int events)
{
    struct api *api = w->data;
    char err[512];

    (void)loop;
    (void)events;
    if (auth_reload(api->auth, err, sizeof(err)))
        log_error("keys_kept", "error=%s", err);
    else
        log_info("keys_read", "keys=%zu", auth_count(api->auth));
}

/* ---- start and end ---- */

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static struct http_server *serve(struct api *api, char *err, size_t errlen)
{
    const struct settings *set = &api->settings;
    struct http_server_config config = {
        .limits = {.head_bytes = HEAD_BYTES,
                   .target_bytes = TARGET_BYTES,
                   .body_bytes = (size_t)set->body_limit,
                   .request_ms = (int)set->request_timeout,
                   .idle_ms = (int)set->keepalive_timeout,
                   .write_ms = WRITE_MS,
                   .connections = (int)set->connections},
        .on_request = dispatch_on_request,
        .on_done = dispatch_on_done,
        .arg = api,
    };

    return http_server_new(api->loop, set->listen, &config, err, errlen);
}

static void watch_signals(struct program *p)
{
    ev_signal_init(&p->term, on_signal_end, SIGTERM);
    ev_signal_init(&p->interrupt, on_signal_end, SIGINT);
    ev_signal_init(&p->hangup, on_signal_reload, SIGHUP);
    p->term.data = p->interrupt.data = p->drain;
    p->hangup.data = &p->api;
    ev_signal_start(p->api.loop, &p->term);
    ev_signal_start(p->api.loop, &p->interrupt);
    ev_signal_start(p->api.loop, &p->hangup);
    signal(SIGPIPE, SIG_IGN);
}

/* 0, or -1 with the reason in err. */
static int start(struct program *p, char *err, size_t errlen)
{
    struct api *api = &p->api;
    const struct settings *set = &api->settings;

    api->auth = auth_new(set->api_keys, err, errlen);
    if (!api->auth)
        return -1;
    if (auth_is_open(api->auth) && !http_listen_is_loopback(set->listen)) {
        snprintf(
            err, errlen,
            "BERTH_LISTEN=%s: without API keys (BERTH_API_KEYS) the API serves on a loopback address only",
            set->listen);
        return -1;
    }
    p->address = redis_address_parse(set->redis_url, err, errlen);
    if (!p->address)
        return -1;
    api->loop = ev_default_loop(EVFLAG_AUTO);
    api->metrics = metrics_new();
    api->waits = waits_new(api);
    api->fleet = fleet_new(api);
    gate_init(&api->creates, CREATES_AT_ONCE);
    outage_init(&api->outage, api->loop, &api->creates, (double)set->redis_outage);
    api->fetch = fetch_new(api->loop);
    p->drain = drain_new(api);
    api->server = serve(api, err, errlen);
    if (!api->server)
        return -1;
    api->redis =
        redis_new(api->loop, p->address, set->cell, "api", API_REDIS_TIMEOUT_MS, on_redis_state, api);
    api->sub = redis_sub_new(api->loop, p->address, set->cell, on_channel, api);
    api->sweeper = sweeper_new(api);
    watch_signals(p);
    return 0;
}

/* Also after a start that failed half way. Clients first, since their calls hold the rest. */
static void stop(struct program *p)
{
    struct api *api = &p->api;

    gate_close(&api->creates);
    outage_cleanup(&api->outage);
    http_server_free(api->server);
    relay_cdp_close_all(api);
    fetch_free(api->fetch);
    if (api->redis)
        redis_free(api->redis);
    call_end_all(api);
    sweeper_free(api->sweeper);
    if (api->sub)
        redis_sub_free(api->sub);
    waits_free(api->waits);
    fleet_free(api->fleet);
    drain_free(p->drain);
    metrics_free(api->metrics);
    auth_free(api->auth);
    if (p->address)
        redis_address_free(p->address);
    if (api->loop)
        ev_loop_destroy(api->loop);
}

static int hash_key(void)
{
    char line[4096], digest[65];

    if (!fgets(line, sizeof(line), stdin)) {
        fprintf(stderr, "berth-api: --hash-key reads the key from standard input\n");
        return 1;
    }
    line[strcspn(line, "\r\n")] = '\0';
    if (!*line) {
        fprintf(stderr, "berth-api: the key is empty\n");
        return 1;
    }
    random_sha256_hex(line, strlen(line), digest);
    printf("sha256:%s\n", digest);
    return 0;
}

/* Options that do something else than serve: the exit status, or -1: serve. */
static int other_errand(int argc, char **argv)
{
    if (argc < 2)
        return -1;
    if (argc == 2 && !strcmp(argv[1], "--hash-key"))
        return hash_key();
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("berth-api %s\n", BERTH_VERSION);
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        printf("berth-api: serves Berth's HTTP API. Settings come from the environment:\n\n");
        settings_help(SETTINGS_API);
        printf("\n--hash-key  reads an API key from standard input and prints its hash for the file of keys\n"
               "--version   prints the version\n");
        return 0;
    }
    fprintf(stderr, "berth-api: unknown option %s; see --help\n", argv[1]);
    return 2;
}

int main(int argc, char **argv)
{
    static struct program p;
    char err[512];
    int errand = other_errand(argc, argv);

    if (errand >= 0)
        return errand;
    if (settings_load(&p.api.settings, SETTINGS_API, err, sizeof(err))) {
        fprintf(stderr, "berth-api: %s\n", err);
        return 1;
    }
    (void)log_init("berth-api", p.api.settings.log_level, p.api.settings.log_format);
    raise_file_limit();
    if (start(&p, err, sizeof(err))) {
        log_error("start_failed", "error=%s", err);
        stop(&p);
        return 1;
    }
    log_info("listening", "address=%s port=%d keys=%zu redis=%s cell=%s version=%s", p.api.settings.listen,
             http_server_port(p.api.server), auth_count(p.api.auth), redis_address_text(p.address),
             p.api.settings.cell, BERTH_VERSION);
    ev_run(p.api.loop, 0);
    log_info("stopped", "draining=%d", p.api.draining);
    stop(&p);
    return 0;
}
