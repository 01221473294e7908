/* sessions.h: handlers of single sessions under /v1/sessions/:id. */
#ifndef BERTH_SESSIONS_H
#define BERTH_SESSIONS_H
#include "call.h"

void sessions_on_get(struct call *c);    /* with ?wait=S&state=seen: a long poll */
void sessions_on_delete(struct call *c); /* 204 */
void sessions_on_update(struct call *c); /* {"status":"REQUEST_RELEASE"}: 200 with the session */
void sessions_on_events(struct call *c);
void sessions_on_metrics(struct call *c); /* how long each part of its life took */

#endif
