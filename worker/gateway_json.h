/* gateway_json.h: makes the addresses in the browser's /json answers lead to the gateway. */
#ifndef BERTH_GATEWAY_JSON_H
#define BERTH_GATEWAY_JSON_H
#include <stddef.h>

#include "../shared/buf.h"
#include "../shared/errors.h"

/* json: what /json/version, /json/list or /json/new answered: an object or an array of them. base:
 * "ws://host:port/s/<secret>", or wss. webSocketDebuggerUrl becomes base + "/devtools/…", and so does the ws=
 * of devtoolsFrontendUrl. Appended to out. Returns 0, or -1 if json is none. */
int gateway_json_rewrite(const char *json, size_t len, const char *base, struct buf *out) MUST_USE;

#endif
