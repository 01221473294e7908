/* session_list.h: GET /v1/sessions: an array, newest first within each state, in pages. */
#ifndef BERTH_SESSION_LIST_H
#define BERTH_SESSION_LIST_H
#include "call.h"

/* ?limit=1…1000 ?cursor ?projectId (administrators) and what session_filter.h knows. The next page's cursor
 * is in X-Next-Cursor and Link: rel="next"; a page may be short, even empty, where a filter finds little:
 * follow the cursor. */
void session_list_on_get(struct call *c);

#endif
