/* docker_engine.c: see docker_engine.h. The URL's host is only a name: curl connects to the socket. */
#include "docker_engine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shared/fetch.h"
#include "../../shared/mem.h"

#define WANTED     1041 /* the API of Docker 20.10, which all later ones speak too: major * 1000 + minor */
#define OLDEST     1040
#define ASK_MS     5000
#define TEXT_MAX   240
#define URL_FORMAT "http://docker%s%s%s"

struct docker_engine {
    struct ev_loop *loop;
    struct fetch *fetch;
    char *socket_path;
    char version[16]; /* "" before it is chosen */
    struct docker_call *calls;
};

struct docker_call {
    struct docker_engine *engine;
    struct docker_call *prev, *next;
    struct fetch_job *job;
    docker_reply_cb *cb;
    void *arg;
};

/* ---- words ---- */

/* The first line of text, what is not printable replaced. */
static void add_line(char *out, size_t outlen, const char *text, size_t len)
{
    size_t used = strlen(out), end = used + TEXT_MAX < outlen - 1 ? used + TEXT_MAX : outlen - 1;

    for (size_t i = 0; i < len && text[i] != '\n' && used < end; i++)
        out[used++] = isprint((unsigned char)text[i]) ? text[i] : '?';
    out[used] = '\0';
}

void docker_engine_describe(int status, const char *body, size_t len, char out[DOCKER_WHY_MAX])
{
    char err[80];
    cJSON *json = json_parse(body, len, err, sizeof(err));
    const cJSON *message = cJSON_GetObjectItemCaseSensitive(json, "message");
    size_t begun;

    begun = (size_t)snprintf(out, DOCKER_WHY_MAX, "Docker Engine (%d): ", status);
    if (cJSON_IsString(message))
        add_line(out, DOCKER_WHY_MAX, message->valuestring, strlen(message->valuestring));
    else if (!json)
        add_line(out, DOCKER_WHY_MAX, body, len);
    if (strlen(out) == begun)
        snprintf(out + begun, DOCKER_WHY_MAX - begun, "it did not say why");
    cJSON_Delete(json);
}

/* "1.41" as 1041; -1 if it is no version. */
static int number_of(const char *version)
{
    int major, minor, used = 0;

    if (sscanf(version, "%3d.%3d%n", &major, &minor, &used) != 2 || version[used] || major < 0 || minor < 0)
        return -1;
    return major * 1000 + minor;
}

int docker_engine_choose(const char *oldest, const char *newest, char out[16])
{
    int low = number_of(oldest), high = number_of(newest), chosen = WANTED;

    if (high < OLDEST || low > high)
        return -1;
    if (chosen > high)
        chosen = high;
    if (chosen < low)
        chosen = low;
    snprintf(out, 16, "%d.%d", chosen / 1000, chosen % 1000);
    return 0;
}

/* ---- calls ---- */

static void unlink_call(struct docker_call *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->engine->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

static void on_reply(void *arg, int status, const char *body, size_t len, const char *why)
{
    struct docker_call *c = arg;
    char text[DOCKER_WHY_MAX] = "", err[80];
    cJSON *json = NULL;
    struct docker_reply reply = {.status = status, .why = text};

    if (status == 0)
        snprintf(text, sizeof(text), "no reply from the Docker Engine at %.100s: %.120s",
                 c->engine->socket_path, why);
    else if (status >= 400)
        docker_engine_describe(status, body, len, text);
    else
        json = json_parse(body, len, err, sizeof(err));
    reply.json = json;
    unlink_call(c);
    c->cb(c->arg, &reply);
    cJSON_Delete(json);
    free(c);
}

struct docker_call *docker_engine_call(struct docker_engine *e, const char *method, const char *path,
                                       const char *json, long limit_ms, docker_reply_cb *cb, void *arg)
{
    struct docker_call *c = mem_alloc(sizeof(*c));
    char *url = mem_printf(URL_FORMAT, *e->version ? "/v" : "", e->version, path);
    struct fetch_request request = {
        .method = method, .url = url, .unix_socket = e->socket_path, .json = json, .timeout_ms = limit_ms};

    c->engine = e;
    c->cb = cb;
    c->arg = arg;
    c->next = e->calls;
    if (c->next)
        c->next->prev = c;
    e->calls = c;
    c->job = fetch_start(e->fetch, &request, on_reply, c);
    free(url);
    return c;
}

void docker_call_cancel(struct docker_call *c)
{
    fetch_cancel(c->job);
    unlink_call(c);
    free(c);
}

struct docker_engine *docker_engine_new(struct ev_loop *loop, const char *socket_path)
{
    struct docker_engine *e = mem_alloc(sizeof(*e));

    e->loop = loop;
    e->fetch = fetch_new(loop);
    e->socket_path = mem_strdup(socket_path);
    return e;
}

void docker_engine_free(struct docker_engine *e)
{
    if (!e)
        return;
    while (e->calls)
        docker_call_cancel(e->calls);
    fetch_free(e->fetch);
    free(e->socket_path);
    free(e);
}

void docker_engine_set_version(struct docker_engine *e, const char *version)
{
    snprintf(e->version, sizeof(e->version), "%s", version);
}

const char *docker_engine_version(const struct docker_engine *e)
{
    return e->version;
}

/* ---- blocking ---- */

struct waiting {
    struct ev_loop *loop;
    int status;
    cJSON *json;
    char *why;
};

static void on_waited(void *arg, const struct docker_reply *reply)
{
    struct waiting *w = arg;

    w->status = reply->status;
    w->json = reply->json ? cJSON_Duplicate(reply->json, 1) : NULL;
    snprintf(w->why, DOCKER_WHY_MAX, "%s", reply->why);
    ev_break(w->loop, EVBREAK_ALL);
}

int docker_engine_wait(struct docker_engine *e, const char *method, const char *path, const char *json,
                       long limit_ms, cJSON **out, char why[DOCKER_WHY_MAX])
{
    struct waiting w = {.loop = e->loop, .why = why};

    docker_engine_call(e, method, path, json, limit_ms, on_waited, &w);
    ev_run(e->loop, 0);
    if (out)
        *out = w.json;
    else
        cJSON_Delete(w.json);
    return w.status;
}

int docker_engine_negotiate(struct docker_engine *e, char *err, size_t errlen)
{
    char why[DOCKER_WHY_MAX], version[16];
    cJSON *json = NULL;
    int status = docker_engine_wait(e, "GET", "/version", NULL, ASK_MS, &json, why), result = -1;
    const cJSON *newest = cJSON_GetObjectItemCaseSensitive(json, "ApiVersion"),
                *oldest = cJSON_GetObjectItemCaseSensitive(json, "MinAPIVersion");

    if (status == 0 || status >= 400)
        snprintf(err, errlen, "%s: start dockerd, or say with BERTH_DOCKER_SOCKET where it listens", why);
    else if (!cJSON_IsString(newest))
        snprintf(err, errlen, "what listens at %s is no Docker Engine", e->socket_path);
    else if (docker_engine_choose(cJSON_IsString(oldest) ? oldest->valuestring : newest->valuestring,
                                  newest->valuestring, version) != 0)
        snprintf(err, errlen, "this Docker Engine is too old (API %.20s): 19.03 or later is needed",
                 newest->valuestring);
    else
        result = 0;
    if (result == 0)
        docker_engine_set_version(e, version);
    cJSON_Delete(json);
    return result;
}
