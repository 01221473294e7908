/* warmup.c: see warmup.h. Owns a CDP connection for a few hundred milliseconds.
 *
 * The page is written into the about:blank that is there (Page.setDocumentContent) instead of being navigated
 * to: a data: URL would bind the renderer to its own site, and the client's first goto would then wait for a
 * new process. Measured, that costs more than no warm-up at all; so does anything else that makes the tab
 * commit a real site. Reading the (empty) cookie store starts the network service, the other thing a first
 * goto waits for.
 *
 * Before that a second tab goes to a port where nobody listens, and is closed: all that a navigation needs up
 * to its connection has run once then, in the browser and in its network service, and nothing was reached. */
#include "warmup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"
#include "cdp_client.h"
#include "warmup_page.h"

#define ID_MAX  64
#define NOWHERE "http://127.0.0.1:2/" /* not one of the ports that browsers refuse by themselves */

struct warmup {
    struct ev_loop *loop;
    struct cdp_client *client;
    ev_timer limit;
    const struct step *step; /* the one whose answer is awaited */
    int blank;               /* Page.navigate was answered: its load event is awaited */
    int closed;              /* the second tab is gone */
    int closing;             /* closing it was answered: that it is gone is awaited */
    char target[ID_MAX], session[ID_MAX], frame[ID_MAX];
    char visit[ID_MAX];  /* the second tab's target */
    char loader[ID_MAX]; /* of the document asked for */
    char loaded[ID_MAX]; /* of the document that has loaded last */
    void (*on_done)(void *arg, int result, const char *why);
    void *arg;
};

/* One call and what its answer is good for. take returns 0 to go on, -1 if the answer lacks something, 1 to
 * wait for an event. */
struct step {
    const char *method;
    cJSON *(*params)(const struct warmup *w);
    int (*take)(struct warmup *w, const cJSON *result);
};

static int copy_id(char out[ID_MAX], const cJSON *object, const char *name)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    if (!value || strlen(value) >= ID_MAX)
        return -1;
    strcpy(out, value);
    return 0;
}

/* ---- steps ---- */

static int take_targets(struct warmup *w, const cJSON *result)
{
    const cJSON *info;

    cJSON_ArrayForEach(info, cJSON_GetObjectItemCaseSensitive(result, "targetInfos"))
    {
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(info, "type"));
        if (type && !strcmp(type, "page") && !w->target[0] && copy_id(w->target, info, "targetId"))
            return -1;
    }
    return 0;
}

static cJSON *params_visit(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    (void)w;
    cJSON_AddStringToObject(params, "url", "about:blank");
    cJSON_AddBoolToObject(params, "background", 1);
    return params;
}

static int take_visit(struct warmup *w, const cJSON *result)
{
    return copy_id(w->visit, result, "targetId");
}

static cJSON *params_attach_visit(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    cJSON_AddStringToObject(params, "targetId", w->visit);
    cJSON_AddBoolToObject(params, "flatten", 1);
    return params;
}

static cJSON *params_nowhere(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    (void)w;
    cJSON_AddStringToObject(params, "url", NOWHERE);
    return params;
}

static cJSON *params_close(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    cJSON_AddStringToObject(params, "targetId", w->visit);
    return params;
}

static int take_close(struct warmup *w, const cJSON *result)
{
    (void)result;
    w->closing = !w->closed;
    return w->closing;
}

static cJSON *params_create(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    (void)w;
    cJSON_AddStringToObject(params, "url", "about:blank");
    return params;
}

static int take_target(struct warmup *w, const cJSON *result)
{
    return copy_id(w->target, result, "targetId");
}

static cJSON *params_attach(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    cJSON_AddStringToObject(params, "targetId", w->target);
    cJSON_AddBoolToObject(params, "flatten", 1);
    return params;
}

static int take_session(struct warmup *w, const cJSON *result)
{
    return copy_id(w->session, result, "sessionId");
}

static cJSON *params_lifecycle(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    (void)w;
    cJSON_AddBoolToObject(params, "enabled", 1);
    return params;
}

static int take_frame(struct warmup *w, const cJSON *result)
{
    const cJSON *tree = cJSON_GetObjectItemCaseSensitive(result, "frameTree");

    return copy_id(w->frame, cJSON_GetObjectItemCaseSensitive(tree, "frame"), "id");
}

static cJSON *params_content(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    cJSON_AddStringToObject(params, "frameId", w->frame);
    cJSON_AddStringToObject(params, "html", warmup_page);
    return params;
}

/* The second frame begins after the first was produced. */
static cJSON *params_frame(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    (void)w;
    cJSON_AddStringToObject(params, "expression",
                            "new Promise(r=>requestAnimationFrame(()=>requestAnimationFrame(()=>r(1))))");
    cJSON_AddBoolToObject(params, "awaitPromise", 1);
    return params;
}

static cJSON *params_blank(const struct warmup *w)
{
    return params_create(w);
}

static int take_blank(struct warmup *w, const cJSON *result)
{
    if (copy_id(w->loader, result, "loaderId"))
        return -1;
    w->blank = strcmp(w->loaded, w->loader) != 0;
    return w->blank;
}

static cJSON *params_detach(const struct warmup *w)
{
    cJSON *params = cJSON_CreateObject();

    cJSON_AddStringToObject(params, "sessionId", w->session);
    return params;
}

static const struct step steps[] = {
    {"Target.getTargets", NULL, take_targets},
    {"Target.createTarget", params_visit, take_visit},
    {"Target.attachToTarget", params_attach_visit, take_session},
    {"Page.navigate", params_nowhere, NULL}, /* answered when it has failed */
    {"Target.closeTarget", params_close, take_close},
    {"Target.createTarget", params_create, take_target}, /* only if there is none */
    {"Target.attachToTarget", params_attach, take_session},
    {"Storage.getCookies", NULL, NULL},
    {"Page.enable", NULL, NULL},
    {"Page.setLifecycleEventsEnabled", params_lifecycle, NULL},
    {"Page.getFrameTree", NULL, take_frame},
    {"Page.setDocumentContent", params_content, NULL},
    {"Runtime.evaluate", params_frame, NULL},
    {"Page.navigate", params_blank, take_blank},
    {"Page.resetNavigationHistory", NULL, NULL},
    {"Target.detachFromTarget", params_detach, NULL},
    {0},
};

/* ---- the course ---- */

static void warmup_finish(struct warmup *w, int result, const char *why)
{
    cdp_client_free(w->client);
    ev_timer_stop(w->loop, &w->limit);
    w->on_done(w->arg, result, why);
    free(w);
}

static void on_step_reply(void *arg, const cJSON *result, const char *error);

static void step_begin(struct warmup *w, const struct step *step)
{
    /* The browser's own calls go to the browser, the page's to the page. */
    int in_page = !strncmp(step->method ? step->method : "", "Page.", 5) ||
                  !strncmp(step->method ? step->method : "", "Runtime.", 8);

    w->step = step;
    if (step->method)
        cdp_client_call(w->client, in_page ? w->session : NULL, step->method,
                        step->params ? step->params(w) : NULL, on_step_reply, w);
    else
        warmup_finish(w, 0, NULL);
}

static void step_next(struct warmup *w)
{
    const struct step *next = w->step + 1;

    if (next->take == take_target && w->target[0])
        next++;
    step_begin(w, next);
}

static void on_step_reply(void *arg, const cJSON *result, const char *error)
{
    struct warmup *w = arg;
    char why[160];
    int taken;

    if (error) {
        snprintf(why, sizeof(why), "warm-up: %s: %s", w->step->method, error);
        warmup_finish(w, -1, why);
        return;
    }
    taken = w->step->take ? w->step->take(w, result) : 0;
    if (taken < 0) {
        snprintf(why, sizeof(why), "warm-up: %s: the answer lacks something", w->step->method);
        warmup_finish(w, -1, why);
    } else if (taken == 0) {
        step_next(w);
    }
}

static void on_client_open(void *arg)
{
    step_begin(arg, steps);
}

static void on_detached(struct warmup *w, const cJSON *params)
{
    char session[ID_MAX];

    if (copy_id(session, params, "sessionId") || strcmp(session, w->session))
        return;
    w->closed = 1;
    if (w->closing) {
        w->closing = 0;
        step_next(w);
    }
}

static void on_client_event(void *arg, const char *session, const char *method, const cJSON *params)
{
    struct warmup *w = arg;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(params, "name"));

    if (!*session && !strcmp(method, "Target.detachedFromTarget")) {
        on_detached(w, params);
        return;
    }
    if (strcmp(session, w->session) || strcmp(method, "Page.lifecycleEvent") || !name || strcmp(name, "load"))
        return;
    if (copy_id(w->loaded, params, "loaderId") == 0 && w->blank && !strcmp(w->loaded, w->loader)) {
        w->blank = 0;
        step_next(w);
    }
}

/* Calls that waited have been answered with the reason already, which ended the warm-up; here, none did. */
static void on_client_close(void *arg, const char *why)
{
    char text[160];

    snprintf(text, sizeof(text), "warm-up: %s", why);
    warmup_finish(arg, -1, text);
}

static void on_limit_timer(struct ev_loop *loop, ev_timer *t, int events)
{
    struct warmup *w = t->data;
    char why[160];

    (void)loop, (void)events;
    snprintf(why, sizeof(why), "warm-up: no answer to %s in time",
             w->step ? w->step->method : "the handshake");
    warmup_finish(w, -1, why);
}

struct warmup *warmup_start(struct ev_loop *loop, int fd, const char *ws_path, int limit_ms,
                            void (*on_done)(void *arg, int result, const char *why), void *arg)
{
    struct warmup *w = mem_alloc(sizeof(*w));
    struct cdp_client_events events = {on_client_open, on_client_event, on_client_close, w};

    w->loop = loop;
    w->on_done = on_done;
    w->arg = arg;
    w->client = cdp_client_new(loop, fd, ws_path, limit_ms, &events);
    ev_timer_init(&w->limit, on_limit_timer, limit_ms / 1000.0, 0.);
    w->limit.data = w;
    ev_now_update(loop);
    ev_timer_start(loop, &w->limit);
    return w;
}

void warmup_cancel(struct warmup *w)
{
    cdp_client_free(w->client);
    ev_timer_stop(w->loop, &w->limit);
    free(w);
}
