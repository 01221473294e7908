/* links.h: the URLs of this API as a client sees them. */
#ifndef BERTH_LINKS_H
#define BERTH_LINKS_H
#include "call.h"
#include "session_view.h"

/* "ws://host:port" or "wss://…" without a trailing slash: BERTH_PUBLIC_URL, else the request's Host and
 * X-Forwarded-Proto. */
void links_add_ws_base(struct buf *out, const struct call *c);
/* What this call's client may see of a session. base holds the text that the view points to; the caller
 * cleans it up. */
void links_view(const struct call *c, struct buf *base, struct session_view *out);
/* Host and port of a gateway's URL ("ws://10.0.0.5:3001"): 0, or -1 where it is not one to which plain TCP
 * leads. */
int links_gateway_address(const char *gateway, char *host, size_t n, int *port) MUST_USE;

#endif
