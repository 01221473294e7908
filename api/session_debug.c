/* session_debug.c: asks the gateway for the browser's pages (/json/list); a gateway that does not answer in
 * time only means that the list is empty. */
#include "session_debug.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/fetch.h"
#include "../shared/json.h"
#include "../shared/mem.h"
#include "links.h"
#include "session_view.h"

#define PAGES_WITHIN_MS 2000

struct debug {
    struct buf http; /* http://gateway/s/<secret> */
    struct buf ws;
};

static void free_debug(void *data)
{
    struct debug *d = data;

    buf_cleanup(&d->http);
    buf_cleanup(&d->ws);
    free(d);
}

static const char *text_of(const cJSON *page, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(page, name);

    return cJSON_IsString(v) ? v->valuestring : "";
}

static void add_pages(struct buf *b, const cJSON *list)
{
    const cJSON *page;
    const char *url;
    int n = 0;

    cJSON_ArrayForEach(page, list)
    {
        if (strcmp(text_of(page, "type"), "page"))
            continue;
        url = text_of(page, "devtoolsFrontendUrl");
        buf_adds(b, n++ ? ",{\"id\":" : "{\"id\":");
        buf_add_json_string(b, text_of(page, "id"));
        buf_add_json_member(b, "title", text_of(page, "title"));
        buf_add_json_member(b, "url", text_of(page, "url"));
        buf_add_json_member(b, "faviconUrl", text_of(page, "faviconUrl"));
        buf_add_json_member(b, "debuggerUrl", url);
        buf_add_json_member(b, "debuggerFullscreenUrl", url);
        buf_add_json_member(b, "webSocketDebuggerUrl", text_of(page, "webSocketDebuggerUrl"));
        buf_adds(b, "}");
    }
}

static void on_pages(void *arg, int status, const char *body, size_t len)
{
    struct call *c = arg;
    struct debug *d = c->data;
    struct buf json = {0};
    char err[96];
    cJSON *list = status == 200 ? json_parse(body, len, err, sizeof(err)) : NULL;

    if (c->x) {
        buf_adds(&json, "{\"debuggerUrl\":");
        buf_add_json_string(&json, d->http.data);
        buf_add_json_member(&json, "debuggerFullscreenUrl", d->http.data);
        buf_add_json_member(&json, "wsUrl", d->ws.data);
        buf_adds(&json, ",\"pages\":[");
        if (cJSON_IsArray(list))
            add_pages(&json, list);
        buf_adds(&json, "]}");
        call_reply(c, 200, &json);
    }
    cJSON_Delete(list);
    call_drop(c);
}

static void on_debug_get(struct call *c, const redisReply *reply)
{
    struct debug *d = mem_alloc(sizeof(*d));
    struct buf base = {0}, url = {0};
    enum err e = redis_code(reply);
    struct session_view view;
    struct session s;

    c->data = d;
    c->free_data = free_debug;
    session_read(redis_array(reply, 2), &s);
    if (!e && !session_is(&s, "running"))
        e = session_is(&s, "queued") || session_is(&s, "starting") ? ERR_not_running : ERR_session_ended;
    if (e) {
        call_error(c, e, NULL, NULL);
        return;
    }
    links_view(c, &base, &view);
    session_add_connect_url(&d->ws, &s, &view);
    session_add_gateway_http(&d->http, &s);
    buf_cleanup(&base);
    buf_addf(&url, "%s/json/list", d->http.data ? d->http.data : "");
    call_hold(c);
    fetch_get(c->api->fetch, url.data, PAGES_WITHIN_MS, on_pages, c);
    buf_cleanup(&url);
}

void session_debug_on_get(struct call *c)
{
    if (!keys_is_session(c->id, c->api->settings.cell))
        call_error(c, ERR_not_found, NULL, NULL);
    else
        CALL_SCRIPT(c, on_debug_get, SCRIPT_get, c->id, auth_reach(&c->who));
}
