/* pages.c: see pages.h. Files of api/assets are part of the binary. */
#include "pages.h"

#include <string.h>

#include "fleet.h"
#include "metrics.h"
#include "relay_cdp.h"

#define METRICS_MAX_AGE_MS 2000

extern const char *const api_assets_text[];
extern const char *const api_assets_name[];

/* In alphabetical order, as the build embeds them. */
enum asset { ASSET_DASHBOARD, ASSET_OPENAPI };

static void send_asset(struct call *c, enum asset a, const char *type)
{
    const char *text = api_assets_text[a];

    http_add_header(c->x, "Cache-Control", "no-cache");
    call_reply_text(c, 200, type, text, strlen(text));
}

void pages_on_openapi(struct call *c)
{
    send_asset(c, ASSET_OPENAPI, "application/json");
}

void pages_on_root(struct call *c)
{
    if (http_is_upgrade(c->x)) {
        relay_cdp_on_connect(c);
        return;
    }
    http_add_header(
        c->x, "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        "frame-ancestors 'none'");
    http_add_header(c->x, "X-Content-Type-Options", "nosniff");
    send_asset(c, ASSET_DASHBOARD, "text/html; charset=utf-8");
}

void pages_on_healthz(struct call *c)
{
    struct buf json = {0};

    buf_adds(&json, "{\"status\":\"ok\"}");
    call_reply(c, 200, &json);
}

void pages_on_readyz(struct call *c)
{
    struct buf json = {0};

    if (c->api->draining) {
        call_error(c, ERR_shutting_down, NULL, NULL);
        return;
    }
    if (!redis_is_up(c->api->redis)) {
        call_error(c, ERR_redis_unavailable, NULL, NULL);
        return;
    }
    buf_adds(&json, "{\"status\":\"ready\"}");
    call_reply(c, 200, &json);
}

static void set_gauge(struct metrics *m, enum metrics_gauge g, int value)
{
    metrics_gauge(m, g, value - metrics_gauge_value(m, g));
}

/* Without Redis the process' own figures are still worth having. */
static void on_fleet(void *arg, const struct fleet_state *s)
{
    struct call *c = arg;
    struct metrics *m = c->api->metrics;
    struct buf text = {0};

    if (c->x) {
        set_gauge(m, METRICS_CREATES_IN_LINE, c->api->creates.waiting);
        set_gauge(m, METRICS_CREATES_WITH_REDIS, c->api->creates.inside);
        metrics_print(c->api->metrics, redis_is_up(c->api->redis), http_server_connections(c->api->server),
                      &text);
        if (s)
            fleet_print(s, &text);
        call_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.len);
        buf_cleanup(&text);
    }
    call_drop(c);
}

void pages_on_metrics(struct call *c)
{
    call_hold(c);
    if (redis_is_up(c->api->redis))
        fleet_read(c->api->fleet, METRICS_MAX_AGE_MS, on_fleet, c);
    else
        on_fleet(c, NULL);
}
