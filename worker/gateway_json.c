/* gateway_json.c: see gateway_json.h. */
#include "gateway_json.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"

/* "ws://localhost:9222/devtools/page/X" → base + "/devtools/page/X" */
static void socket_url(cJSON *object, const char *base)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "webSocketDebuggerUrl");
    const char *value = cJSON_GetStringValue(item);
    const char *path = value ? strstr(value, "/devtools/") : NULL;
    char *url;

    if (!path)
        return;
    url = mem_printf("%s%s", base, path);
    if (!cJSON_SetValuestring(item, url))
        cJSON_DeleteItemFromObjectCaseSensitive(object, "webSocketDebuggerUrl");
    free(url);
}

/* "https://somewhere/inspector.html?ws=localhost:9222/devtools/page/X" → the same page with ws= (wss= where
 * the gateway has TLS) and the gateway's address; a path alone is the browser's own copy of the page, which
 * is behind the gateway too. */
static void frontend_url(cJSON *object, const char *base)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "devtoolsFrontendUrl");
    const char *value = cJSON_GetStringValue(item);
    const char *query = value ? strstr(value, "ws=") : NULL;
    const char *path = query ? strstr(query, "/devtools/") : NULL;
    const char *address = strstr(base, "://");
    int tls = !strncmp(base, "wss:", 4);
    char *url;

    if (!path || !address)
        return;
    address += 3;
    if (value[0] == '/')
        url = mem_printf("%s://%s%.*s%s=%s%s", tls ? "https" : "http", address, (int)(query - value), value,
                         tls ? "wss" : "ws", address, path);
    else
        url = mem_printf("%.*s%s=%s%s", (int)(query - value), value, tls ? "wss" : "ws", address, path);
    if (!cJSON_SetValuestring(item, url))
        cJSON_DeleteItemFromObjectCaseSensitive(object, "devtoolsFrontendUrl");
    free(url);
}

int gateway_json_rewrite(const char *json, size_t len, const char *base, struct buf *out)
{
    /* Not json_parse: titles and URLs in it are the pages' own, and an odd one must not hide the others. */
    cJSON *root = cJSON_ParseWithLength(json, len);
    cJSON *object;
    char *text;

    if (cJSON_IsObject(root)) {
        socket_url(root, base);
        frontend_url(root, base);
    } else if (cJSON_IsArray(root)) {
        cJSON_ArrayForEach(object, root)
        {
            socket_url(object, base);
            frontend_url(object, base);
        }
    } else {
        cJSON_Delete(root);
        return -1;
    }
    text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text)
        return -1;
    buf_adds(out, text);
    buf_adds(out, "\n");
    free(text);
    return 0;
}
