/* session_debug.h: GET /v1/sessions/:id/debug: Browserbase's live URLs, from the worker's gateway. */
#ifndef BERTH_SESSION_DEBUG_H
#define BERTH_SESSION_DEBUG_H
#include "call.h"

void session_debug_on_get(struct call *c);

#endif
