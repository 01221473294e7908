/* microvm_cdp.c: the way to a guest's browser: connections to its CDP port, and its WebSocket path. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../../shared/json.h"
#include "../cdp_http.h"
#include "dial.h"
#include "microvm.h"

#define ASK_LIMIT_MS   10000
#define WS_PATH_PREFIX "/devtools/browser/"

int microvm_connect(struct driver *d, int berth)
{
    struct microvm_berth *b = &d->berths[berth];

    if (b->state != MICROVM_UP && b->state != MICROVM_ASKING) {
        errno = ECONNREFUSED;
        return -1;
    }
    microvm_wake(b);
    return dial(net_pool_socket(d->net, berth, SOCK_STREAM), d->image.address, d->image.cdp_port);
}

/* ---- its path ---- */

void microvm_stop_asking(struct microvm_berth *b)
{
    if (b->asking)
        cdp_http_cancel(b->asking);
    b->asking = NULL;
}

/* "ws://…/devtools/browser/<id>" of /json/version. 0, or -1. */
static int take_ws_path(const struct buf *body, char out[MICROVM_WS_PATH_MAX])
{
    char err[160];
    cJSON *json = json_parse(body->data ? body->data : "", body->len, err, sizeof(err));
    const char *url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "webSocketDebuggerUrl"));
    const char *path = url ? strstr(url, WS_PATH_PREFIX) : NULL;
    int ok = path && strlen(path) < MICROVM_WS_PATH_MAX &&
             strspn(path + sizeof(WS_PATH_PREFIX) - 1, "0123456789abcdefABCDEF-") ==
                 strlen(path) - sizeof(WS_PATH_PREFIX) + 1;

    if (ok)
        strcpy(out, path);
    cJSON_Delete(json);
    return ok ? 0 : -1;
}

static void on_version(void *arg, const struct cdp_http_reply *reply, const char *why)
{
    struct microvm_berth *b = arg;
    char text[MICROVM_WHY_MAX];

    b->asking = NULL;
    if (reply && take_ws_path(reply->body, b->ws_path) == 0) {
        if (microvm_machine_is_current(b))
            strcpy(b->snap->ws_path, b->ws_path);
        b->timings.ready_ms += microvm_step_ms(b);
        microvm_up(b);
        return;
    }
    snprintf(text, sizeof(text), "the browser in the microVM does not say its address: %.200s",
             why ? why : "");
    microvm_fail(b, text);
}

/* All clones of a snapshot have the same browser, so it is asked once. */
void microvm_ask(struct microvm_berth *b)
{
    struct buf request = {0};
    int fd;

    microvm_set_state(b, MICROVM_ASKING, microvm_time_left(b));
    fd = microvm_connect(b->driver, b->index);
    if (fd < 0) {
        microvm_fail(b, "the microVM's CDP port cannot be reached");
        return;
    }
    buf_adds(&request, "GET /json/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    b->asking = cdp_http_start(b->driver->loop, fd, &request, ASK_LIMIT_MS, on_version, b);
    buf_cleanup(&request);
}
