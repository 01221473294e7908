/* relay_cdp.h: CDP through the API, for fleets where only the load balancer is public, and sessions that live
 * as long as one connection. The client's WebSocket upgrade is passed on to the worker's gateway; after its
 * 101 bytes go both ways. */
#ifndef BERTH_RELAY_CDP_H
#define BERTH_RELAY_CDP_H
#include "call.h"

/* GET /v1/sessions/:id/cdp: with an API key that may create, or ?token=<the session's secret>. */
void relay_cdp_on_session(struct call *c);
/* GET / and /connect as WebSockets:
 * ?apiKey=…&timeoutSec=…&timeout=<ms>&idleTimeoutSec=…&profile=…&keepAlive=…&projectId=… */
void relay_cdp_on_connect(struct call *c);
/* Closes all connections; sessions that live with theirs are released. */
void relay_cdp_close_all(struct api *api);

#endif
