/* pages.h: handlers of what is not the API proper: health, metrics, the description, the dashboard. */
#ifndef BERTH_PAGES_H
#define BERTH_PAGES_H
#include "call.h"

void pages_on_healthz(struct call *c); /* 200 as long as the process serves */
void pages_on_readyz(struct call *c);  /* 503 without Redis, or while draining */
void pages_on_metrics(struct call *c);
void pages_on_openapi(struct call *c);
void pages_on_root(struct call *c); /* the dashboard; as a WebSocket: a session of its own (relay_cdp.h) */

#endif
