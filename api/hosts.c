/* hosts.c: see hosts.h. */
#include "hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/json.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "fleet.h"

#define AUDIT_FINDINGS_MAX 1000

/* ---- hosts ---- */

static void add_text(struct buf *b, const char *name, const char *text)
{
    buf_add_json_member(b, name, text && *text ? text : NULL);
}

static void add_time(struct buf *b, const char *name, long long ms)
{
    char text[32];

    if (!ms)
        return;
    clock_iso8601(ms, text);
    add_text(b, name, text);
}

static void add_names(struct buf *b, const char *list)
{
    const char *at = list ? list : "";
    char name[KEYS_ID_MAX + 1];
    int n = 0;

    buf_adds(b, ",\"profiles\":[");
    while (*at) {
        size_t len = strcspn(at, ",");

        snprintf(name, sizeof(name), "%.*s", (int)len, at);
        if (n++)
            buf_adds(b, ",");
        buf_add_json_string(b, name);
        at += len;
        at += *at == ',';
    }
    buf_adds(b, "]");
}

/* A worker's own description, as it is if it is JSON. */
static void add_info(struct buf *b, const char *info)
{
    char err[96];
    cJSON *v = info && *info ? json_parse(info, strlen(info), err, sizeof(err)) : NULL;

    if (v)
        buf_addf(b, ",\"info\":%s", info);
    cJSON_Delete(v);
}

static void add_worker(struct buf *b, const struct fleet_worker *w)
{
    int i;

    buf_adds(b, "{\"id\":");
    buf_add_json_string(b, w->id);
    add_text(b, "hostId", w->id);
    add_text(b, "status", fleet_worker_status(w));
    add_text(b, "state", w->state);
    add_text(b, "driver", w->driver);
    add_text(b, "gateway", w->gateway);
    add_names(b, w->profiles);
    buf_addf(b, ",\"epoch\":%lld,\"capacity\":%lld,\"activeSessions\":%lld,\"berths\":{", w->epoch,
             w->capacity, w->berths[FLEET_TAKEN]);
    for (i = 0; i < FLEET_BERTHS; i++)
        buf_addf(b, "%s\"%s\":%lld", i ? "," : "", fleet_berth_names[i], w->berths[i]);
    buf_addf(b, "},\"pressure\":%s,\"cpuPercent\":%g,\"memPercent\":%g,\"load\":%g,\"crashes\":%lld",
             w->pressure ? "true" : "false", w->cpu, w->mem, w->load, w->crashes);
    add_time(b, "registeredAt", w->registered);
    add_time(b, "seenAt", w->seen);
    add_time(b, "leaseExpiresAt", w->lease);
    add_info(b, w->info);
    buf_adds(b, "}");
}

/* What every reader of the fleet begins with: 1 if the call can be answered. */
static int can_answer(struct call *c, const struct fleet_state *s)
{
    if (c->x && !s)
        call_error(c, ERR_redis_unavailable, NULL, NULL);
    return c->x && s;
}

static void on_hosts(void *arg, const struct fleet_state *s)
{
    struct call *c = arg;
    struct buf json = {0};
    size_t i;

    if (can_answer(c, s)) {
        buf_adds(&json, "{\"hosts\":[");
        for (i = 0; i < s->workers_n; i++) {
            if (i)
                buf_adds(&json, ",");
            add_worker(&json, &s->workers[i]);
        }
        buf_adds(&json, "]}");
        call_reply(c, 200, &json);
    }
    call_drop(c);
}

void hosts_on_list(struct call *c)
{
    call_hold(c);
    fleet_read(c->api->fleet, 0, on_hosts, c);
}

/* ---- stats and health ---- */

static void add_berths(struct buf *b, const struct fleet_state *s)
{
    long long capacity = 0;
    size_t i;

    for (i = 0; i < s->workers_n; i++)
        capacity += s->workers[i].capacity;
    buf_addf(b, "\"berths\":{\"capacity\":%lld", capacity);
    for (i = 0; i < FLEET_BERTHS; i++)
        buf_addf(b, ",\"%s\":%lld", fleet_berth_names[i], fleet_berths(s, (enum fleet_berth)i));
    buf_adds(b, "}");
}

static void add_workers(struct buf *b, const struct fleet_state *s)
{
    int ready = 0, draining = 0, lost = 0, pressed = 0;
    size_t i;

    for (i = 0; i < s->workers_n; i++) {
        int is_ready = !strcmp(s->workers[i].state, "ready"),
            is_draining = !strcmp(s->workers[i].state, "draining");

        ready += is_ready;
        draining += is_draining;
        lost += !is_ready && !is_draining;
        pressed += is_ready && s->workers[i].pressure;
    }
    buf_addf(b, "\"workers\":{\"ready\":%d,\"draining\":%d,\"lost\":%d,\"pressed\":%d}", ready, draining,
             lost, pressed);
}

static void on_stats(void *arg, const struct fleet_state *s)
{
    struct call *c = arg;
    const char *project;
    struct buf json = {0};
    size_t i;

    if (can_answer(c, s)) {
        project = auth_has(&c->who, SCOPE_ADMIN) ? NULL : c->who.project;
        buf_adds(&json, "{\"sessions\":{");
        for (i = 0; i < FLEET_SESSIONS; i++)
            buf_addf(&json, "%s\"%s\":%lld", i ? "," : "", fleet_session_names[i],
                     fleet_sessions(s, (enum fleet_session)i, project));
        buf_adds(&json, "},");
        add_berths(&json, s);
        buf_adds(&json, ",");
        add_workers(&json, s);
        buf_adds(&json, ",\"profiles\":[");
        for (i = 0; i < s->profiles_n; i++)
            buf_addf(&json, "%s{\"profile\":\"%s\",\"queued\":%lld,\"warm\":%lld}", i ? "," : "",
                     s->profiles[i].name, s->profiles[i].queued, s->profiles[i].warm);
        buf_adds(&json, "]}");
        call_reply(c, 200, &json);
    }
    call_drop(c);
}

void hosts_on_stats(struct call *c)
{
    call_hold(c);
    fleet_read(c->api->fleet, 0, on_stats, c);
}

static void on_health(void *arg, const struct fleet_state *s)
{
    struct call *c = arg;
    struct buf json = {0};
    size_t i;
    int ready = 0;

    if (can_answer(c, s)) {
        for (i = 0; i < s->workers_n; i++)
            ready += !strcmp(s->workers[i].state, "ready");
        buf_addf(&json, "{\"status\":\"%s\",\"version\":\"%s\",\"redis\":\"up\",\"workers\":%d}",
                 c->api->draining ? "draining"
                 : ready          ? "ok"
                                  : "degraded",
                 BERTH_VERSION, ready);
        call_reply(c, 200, &json);
    }
    call_drop(c);
}

void hosts_on_health(struct call *c)
{
    call_hold(c);
    fleet_read(c->api->fleet, 1000, on_health, c);
}

/* ---- drain ---- */

static void on_drained(struct call *c, const redisReply *reply)
{
    enum err e = redis_code(reply);
    struct buf json = {0};
    const char *state;

    if (e) {
        call_error(c, e, NULL, NULL);
        return;
    }
    state = redis_str(reply, 1);
    log_info("worker_state_asked", "worker=%s state=%s left=%lld request=%s", c->id, state ? state : "",
             redis_int(reply, 2, 0), http_request_id(c->x));
    buf_addf(&json, "{\"id\":\"%s\",\"hostId\":\"%s\",\"state\":", c->id, c->id);
    buf_add_json_string(&json, state);
    buf_addf(&json, ",\"left\":%lld}", redis_int(reply, 2, 0));
    call_reply(c, 200, &json);
}

static void ask_drain(struct call *c, const char *action)
{
    if (!keys_is_name(c->id)) {
        call_error(c, ERR_unknown_worker, NULL, NULL);
        return;
    }
    CALL_SCRIPT(c, on_drained, SCRIPT_drain, c->id, action, "", c->api->settings.placement);
}

void hosts_on_drain(struct call *c)
{
    ask_drain(c, "drain");
}

void hosts_on_undrain(struct call *c)
{
    ask_drain(c, "undrain");
}

/* ---- audit ---- */

struct audit {
    struct buf findings;
    long long found, checked;
    char cursor[300];
};

static void free_audit(void *data)
{
    buf_cleanup(&((struct audit *)data)->findings);
    free(data);
}

/* A finding is a text, or a list of texts (what is wrong, then the keys). */
static void add_finding(struct buf *b, const redisReply *f)
{
    size_t i;

    if (f->type != REDIS_REPLY_ARRAY) {
        buf_add_json_string(b, f->str ? f->str : "");
        return;
    }
    buf_adds(b, "[");
    for (i = 0; i < f->elements; i++) {
        if (i)
            buf_adds(b, ",");
        buf_add_json_string(b, f->element[i]->str ? f->element[i]->str : "");
    }
    buf_adds(b, "]");
}

static void on_audit(struct call *c, const redisReply *reply)
{
    struct audit *a = c->data;
    enum err e = redis_code(reply);
    const redisReply *list;
    struct buf json = {0};
    const char *next;
    size_t i;

    if (e) {
        call_error(c, e, NULL, NULL);
        return;
    }
    next = redis_str(reply, 1);
    snprintf(a->cursor, sizeof(a->cursor), "%s", next ? next : "0");
    a->checked += redis_int(reply, 2, 0);
    list = redis_array(reply, 3);
    for (i = 0; list && i < list->elements; i++) {
        if (a->found++ >= AUDIT_FINDINGS_MAX)
            continue;
        if (a->found > 1)
            buf_adds(&a->findings, ",");
        add_finding(&a->findings, list->element[i]);
    }
    if (strcmp(a->cursor, "0")) {
        CALL_SCRIPT(c, on_audit, SCRIPT_audit, a->cursor, "100");
        return;
    }
    buf_addf(&json, "{\"checked\":%lld,\"found\":%lld,\"findings\":[%s]}", a->checked, a->found,
             a->findings.data ? a->findings.data : "");
    call_reply(c, 200, &json);
}

void hosts_on_audit(struct call *c)
{
    c->data = mem_alloc(sizeof(struct audit));
    c->free_data = free_audit;
    CALL_SCRIPT(c, on_audit, SCRIPT_audit, "0", "100");
}
