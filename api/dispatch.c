/* dispatch.c: the table of routes, and what every request goes through before its handler. */
#include "dispatch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../shared/log.h"
#include "call.h"
#include "create.h"
#include "hosts.h"
#include "local.h"
#include "metrics.h"
#include "pages.h"
#include "relay_cdp.h"
#include "session_debug.h"
#include "session_list.h"
#include "sessions.h"

/* SCOPE_NONE: the handler looks for itself, or anybody may. */
static const struct route routes[] = {
    {HTTP_METHOD_POST, "/v1/sessions", SCOPE_CREATE, create_on_post},
    {HTTP_METHOD_GET, "/v1/sessions", SCOPE_READ, session_list_on_get},
    {HTTP_METHOD_GET, "/v1/sessions/:id", SCOPE_READ, sessions_on_get},
    {HTTP_METHOD_DELETE, "/v1/sessions/:id", SCOPE_CREATE, sessions_on_delete},
    {HTTP_METHOD_POST, "/v1/sessions/:id", SCOPE_CREATE, sessions_on_update},
    {HTTP_METHOD_GET, "/v1/sessions/:id/cdp", SCOPE_NONE, relay_cdp_on_session},
    {HTTP_METHOD_GET, "/v1/sessions/:id/events", SCOPE_READ, sessions_on_events},
    {HTTP_METHOD_GET, "/v1/sessions/:id/metrics", SCOPE_READ, sessions_on_metrics},
    {HTTP_METHOD_GET, "/v1/sessions/:id/debug", SCOPE_CREATE, session_debug_on_get},
    {HTTP_METHOD_GET, "/v1/hosts", SCOPE_READ, hosts_on_list},
    {HTTP_METHOD_POST, "/v1/hosts/:id/drain", SCOPE_ADMIN, hosts_on_drain},
    {HTTP_METHOD_POST, "/v1/hosts/:id/undrain", SCOPE_ADMIN, hosts_on_undrain},
    {HTTP_METHOD_GET, "/v1/stats", SCOPE_READ, hosts_on_stats},
    {HTTP_METHOD_GET, "/v1/health", SCOPE_READ, hosts_on_health},
    {HTTP_METHOD_GET, "/v1/audit", SCOPE_ADMIN, hosts_on_audit},
    {HTTP_METHOD_GET, "/metrics", SCOPE_READ, pages_on_metrics},
    {HTTP_METHOD_GET, "/healthz", SCOPE_NONE, pages_on_healthz},
    {HTTP_METHOD_GET, "/readyz", SCOPE_NONE, pages_on_readyz},
    {HTTP_METHOD_GET, "/openapi.json", SCOPE_NONE, pages_on_openapi},
    {HTTP_METHOD_GET, "/connect", SCOPE_NONE, relay_cdp_on_connect},
    {HTTP_METHOD_GET, "/", SCOPE_NONE, pages_on_root},
};
#define ROUTES (sizeof(routes) / sizeof(*routes))

/* The key a client presents, wherever it put it; NULL if it has none. */
static const char *presented_key(struct http_exchange *x)
{
    const char *v = http_header(x, "Authorization");

    if (v && !strncasecmp(v, "Bearer ", 7)) {
        v += 7;
        return v + strspn(v, " ");
    }
    v = http_header(x, "X-BB-API-Key");
    if (!v)
        v = http_header(x, "X-BaseLayer-API-Key");
    return v ? v : http_query(x, "apiKey");
}

/* What BaseLayer's and Browserbase's clients know and this service has not. To say so beats a 404 that could
 * also mean an unknown session. */
static const struct route absent[] = {
    {HTTP_METHOD_GET, "/v1/sessions/:id/logs", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/sessions/:id/artifacts", SCOPE_NONE, NULL},
    {HTTP_METHOD_POST, "/v1/sessions/:id/activity", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/sessions/:id/recording", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/sessions/:id/recording/downloads", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/sessions/:id/replays", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/sessions/:id/downloads", SCOPE_NONE, NULL},
    {HTTP_METHOD_POST, "/v1/sessions/:id/uploads", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/contexts", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/contexts/:id", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/extensions", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/extensions/:id", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/projects", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/projects/:id", SCOPE_NONE, NULL},
    {HTTP_METHOD_GET, "/v1/projects/:id/usage", SCOPE_NONE, NULL},
};

static void refuse_path(struct http_exchange *x)
{
    struct router_match match;

    if (router_find(absent, sizeof(absent) / sizeof(*absent), http_method(x), http_path(x), &match) ==
        ERR_not_found) {
        http_reply_error(x, ERR_not_found, "there is no such path; /openapi.json lists those there are",
                         NULL);
        return;
    }
    http_add_header(x, "X-Should-Retry", "false"); /* Browserbase's SDK tries a 5xx again otherwise */
    http_reply_error(x, ERR_not_implemented, "Berth does not have this part of the API", NULL);
}

static void refuse_method(struct http_exchange *x, const struct router_match *match)
{
    char allow[64], message[128];

    router_allow(match->methods, allow, sizeof(allow));
    http_add_header(x, "Allow", allow);
    if (http_method(x) == HTTP_METHOD_OPTIONS) {
        http_reply(x, 204, NULL, "", 0);
        return;
    }
    snprintf(message, sizeof(message), "this path does not know %s, but %s", http_method_name(x), allow);
    http_reply_error(x, ERR_method_not_allowed, message, NULL);
}

static void refuse_key(struct http_exchange *x, enum err e, const char *key, enum scope need)
{
    static const char *const scopes[] = {
        [SCOPE_NONE] = "", [SCOPE_READ] = "read", [SCOPE_CREATE] = "create", [SCOPE_ADMIN] = "admin"};
    char message[128];

    if (e == ERR_forbidden) {
        snprintf(message, sizeof(message), "the API key lacks the scope %s", scopes[need]);
        http_reply_error(x, e, message, NULL);
        return;
    }
    http_add_header(x, "WWW-Authenticate", "Bearer");
    http_reply_error(x, e,
                     key && *key ? "the API key is not known"
                                 : "an API key is needed: Authorization: Bearer KEY, X-BB-API-Key, "
                                   "X-BaseLayer-API-Key or ?apiKey=",
                     NULL);
}

/* An API without keys trusts whoever reaches it, so it has to be sure that this is no web page of the user's
 * own browser. */
static int is_trusted(struct api *api, struct http_exchange *x)
{
    if (!auth_is_open(api->auth))
        return 1;
    return local_is_host(http_header(x, "Host"), api->settings.public_url) &&
           local_is_origin(http_header(x, "Origin"), api->settings.public_url);
}

void dispatch_on_request(void *arg, struct http_exchange *x)
{
    struct api *api = arg;
    struct router_match match;
    struct principal who;
    const char *key;
    enum err e = router_find(routes, ROUTES, http_method(x), http_path(x), &match);

    if (e == ERR_method_not_allowed) {
        refuse_method(x, &match);
        return;
    }
    if (e) {
        refuse_path(x);
        return;
    }
    if (!is_trusted(api, x)) {
        http_reply_error(
            x, ERR_forbidden,
            "without API keys only local names and pages are served; see BERTH_API_KEYS and BERTH_PUBLIC_URL",
            NULL);
        return;
    }
    key = presented_key(x);
    e = auth_check(api->auth, key, match.route->scope, &who);
    if (e) {
        refuse_key(x, e, key, match.route->scope);
        return;
    }
    match.route->handler(call_new(api, x, &match, &who));
}

void dispatch_on_done(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms)
{
    struct api *api = arg;
    struct router_match match;
    const char *path = http_path(x), *pattern = "other";

    if (path && router_find(routes, ROUTES, http_method(x), path, &match) == ERR_ok)
        pattern = match.route->pattern;
    metrics_request(api->metrics, pattern, http_method_name(x), status, ms);
    log_debug("request", "method=%s path=%s status=%d bytes=%zu ms=%.3f peer=%s request=%s",
              http_method_name(x), path ? path : "", status, bytes, ms, http_peer(x), http_request_id(x));
}
