/* session_view.c: see session_view.h. Replies are written straight into a buffer: this is on the path of
 * every create. */
#include "session_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/json.h"

void session_read(const redisReply *flat, struct session *out)
{
    size_t i;

    memset(out, 0, sizeof(*out));
#define F(name) out->name = "";
    SESSION_TEXTS(F)
#undef F
    if (!flat || flat->type != REDIS_REPLY_ARRAY)
        return;
    for (i = 0; i + 1 < flat->elements; i += 2) {
        const char *field = flat->element[i]->str, *value = flat->element[i + 1]->str;
        size_t len = flat->element[i]->len;

        if (!field || !value)
            continue;
#define F(name)                                                                                              \
    if (len == sizeof(#name) - 1 && !memcmp(field, #name, sizeof(#name) - 1)) {                              \
        out->name = value;                                                                                   \
        continue;                                                                                            \
    }
        SESSION_TEXTS(F)
#undef F
#define F(name)                                                                                              \
    if (len == sizeof(#name) - 1 && !memcmp(field, #name, sizeof(#name) - 1)) {                              \
        out->name = strtoll(value, NULL, 10);                                                                \
        continue;                                                                                            \
    }
        SESSION_NUMBERS(F)
#undef F
    }
}

int session_is(const struct session *s, const char *state)
{
    return !strcmp(s->state, state);
}

const char *session_status(const struct session *s)
{
    static const struct {
        const char *reason, *status;
    } ends[] = {
        {"timeout", "TIMED_OUT"},     {"idle", "TIMED_OUT"},     {"queue_timeout", "TIMED_OUT"},
        {"browser_crashed", "ERROR"}, {"start_failed", "ERROR"}, {"worker_lost", "ERROR"},
    };
    size_t i;

    if (session_is(s, "queued") || session_is(s, "starting"))
        return "PENDING";
    if (session_is(s, "running"))
        return "RUNNING";
    for (i = 0; i < sizeof(ends) / sizeof(*ends); i++)
        if (!strcmp(ends[i].reason, s->reason))
            return ends[i].status;
    return "COMPLETED";
}

const char *session_start(const struct session *s)
{
    if (s->queued)
        return "queued";
    return *s->warm == '1' ? "warm" : "cold";
}

/* ---- pieces ---- */

static void add_text(struct buf *b, const char *name, const char *text)
{
    buf_add_json_member(b, name, *text ? text : NULL);
}

static void add_name(struct buf *b, const char *name)
{
    buf_add(b, ",\"", 2);
    buf_adds(b, name);
    buf_add(b, "\":", 2);
}

static void add_number(struct buf *b, const char *name, double v)
{
    add_name(b, name);
    if (fabs(v) < 1e15 && floor(v) >= v)
        buf_add_int(b, (long long)v);
    else
        buf_addf(b, "%.15g", v);
}

static void add_time(struct buf *b, const char *name, long long ms)
{
    char text[32];

    add_name(b, name);
    if (!ms) {
        buf_add(b, "null", 4);
        return;
    }
    clock_iso8601(ms, text);
    buf_add(b, "\"", 1);
    buf_adds(b, text);
    buf_add(b, "\"", 1);
}

static long long latest(const struct session *s)
{
    const long long times[] = {s->queued, s->starting, s->running, s->ending, s->ended};
    long long at = s->created;
    size_t i;

    for (i = 0; i < sizeof(times) / sizeof(*times); i++)
        if (times[i] > at)
            at = times[i];
    return at;
}

static void add_secret_path(struct buf *out, const char *gateway, const char *secret)
{
    buf_adds(out, gateway);
    buf_add(out, "/s/", 3);
    buf_adds(out, secret);
}

void session_add_gateway_http(struct buf *out, const struct session *s)
{
    const char *rest = strstr(s->gateway, "://");

    if (!rest)
        return;
    buf_adds(out, strncmp(s->gateway, "wss:", 4) ? "http" : "https");
    add_secret_path(out, rest, s->secret);
}

void session_add_connect_url(struct buf *out, const struct session *s, const struct session_view *v)
{
    if (!session_is(s, "running") || !*s->secret)
        return;
    if (v->relay)
        buf_addf(out, "%s/v1/sessions/%s/cdp?token=%s", v->relay, s->id, s->secret);
    else
        add_secret_path(out, s->gateway, s->secret);
}

static void add_urls(struct buf *b, const struct session *s, const struct session_view *v)
{
    static const char *const names[] = {"connectUrl", "cdpUrl", "playwrightUrl", "puppeteerUrl"};
    struct buf url = {0}, http = {0};
    size_t i;

    session_add_connect_url(&url, s, v);
    if (url.len) {
        for (i = 0; i < sizeof(names) / sizeof(*names); i++)
            add_text(b, names[i], url.data);
        if (!v->relay)
            session_add_gateway_http(&http, s);
        add_text(b, "debugHttpUrl", http.len ? http.data : "");
        buf_adds(b, ",\"seleniumRemoteUrl\":\"\",\"signingKey\":\"\"");
    }
    buf_cleanup(&url);
    buf_cleanup(&http);
}

/* What create wrote: members that go into the reply as they are. */
static void add_meta(struct buf *b, const struct session *s)
{
    size_t len = strlen(s->meta);

    if (len > 2 && s->meta[0] == '{' && s->meta[len - 1] == '}') {
        buf_adds(b, ",");
        buf_add(b, s->meta + 1, len - 2);
    }
}

/* A worker wrote it, so it is looked at before it becomes part of a reply. */
static void add_timings(struct buf *b, const struct session *s)
{
    char err[96];
    cJSON *v = *s->timings ? json_parse(s->timings, strlen(s->timings), err, sizeof(err)) : NULL;

    if (cJSON_IsObject(v)) {
        buf_adds(b, ",\"launchTimings\":");
        buf_adds(b, s->timings);
    }
    cJSON_Delete(v);
}

void session_add_json(struct buf *b, const struct session *s, const struct session_view *v)
{
    buf_reserve(b, 2048);
    buf_adds(b, "{\"id\":");
    buf_add_json_string(b, s->id);
    add_text(b, "sessionId", s->id);
    add_text(b, "status", session_status(s));
    add_text(b, "state", s->state);
    add_text(b, "reason", s->reason);
    if (*s->message)
        add_text(b, "message", s->message);
    if (v->position > 0)
        add_number(b, "queuePosition", (double)v->position);
    add_text(b, "projectId", s->project);
    add_text(b, "profile", s->profile);
    add_text(b, "runtimeProfile", s->profile);
    add_text(b, "hostId", s->worker);
    add_text(b, "worker", s->worker);
    if (v->secrets)
        add_urls(b, s, v);
    buf_adds(b, *s->keep_alive == '1' ? ",\"keepAlive\":true" : ",\"keepAlive\":false");
    add_number(b, "timeoutSec", (double)s->timeout_ms / 1000.0);
    add_number(b, "idleTimeoutSec", (double)s->idle_ms / 1000.0);
    add_time(b, "createdAt", s->created);
    add_time(b, "updatedAt", latest(s));
    add_time(b, "startedAt", s->running);
    if (s->ended)
        add_time(b, "endedAt", s->ended);
    add_time(b, "expiresAt", s->expires);
    buf_adds(b, ",\"proxyBytes\":0");
    add_meta(b, s);
    add_timings(b, s);
    if (v->more) {
        buf_adds(b, ",");
        buf_adds(b, v->more);
    }
    buf_adds(b, "}");
}

/* ---- events ---- */

void session_add_events(struct buf *out, const struct session *s)
{
    const struct {
        const char *state;
        long long at;
    } seen[] = {
        {"queued", s->queued}, {"starting", s->starting}, {"running", s->running},
        {"ending", s->ending}, {"ended", s->ended},
    };
    int n = 0;
    size_t i;

    buf_adds(out, "[");
    for (i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
        if (!seen[i].at)
            continue;
        buf_addf(out, "%s{\"state\":\"%s\"", n++ ? "," : "", seen[i].state);
        add_time(out, "at", seen[i].at);
        add_text(out, "reason", i >= 3 ? s->reason : "");
        buf_adds(out, "}");
    }
    buf_adds(out, "]");
}
