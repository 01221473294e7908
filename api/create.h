/* create.h: sessions come to be here: POST /v1/sessions, and the session of one connection (relay_cdp.h). */
#ifndef BERTH_CREATE_H
#define BERTH_CREATE_H
#include "call.h"
#include "session_view.h"

/* POST /v1/sessions. */
void create_on_post(struct call *c);
/* Creates a session from this JSON body (checked like that of POST) and calls on_running when it runs,
 * instead of answering 201. Everything else is answered here. The session is still the call's: on_running
 * keeps it, or releases it. */
void create_for_connection(struct call *c, const char *body,
                           void (*on_running)(struct call *c, const struct session *s));

#endif
