/* relay.h: bytes both ways between two non-blocking sockets, with bounded buffers (a slow reader stops its
 * writer), for the API's CDP relay. The gateway's own relay (worker/gateway_relay.h) also follows WebSocket
 * frames. */
#ifndef BERTH_RELAY_H
#define BERTH_RELAY_H
#include <ev.h>

#include "buf.h"

struct relay;
/* a and b become the relay's. early_a (may be NULL) is data already read from a: it goes to b first; early_b
 * likewise. on_end is called once, when either side has closed or failed and what could be delivered was
 * delivered. The relay frees itself after on_end has returned. */
struct relay *relay_new(struct ev_loop *loop, int a, int b, struct buf *early_a, struct buf *early_b,
                        void (*on_end)(void *arg), void *arg);
void relay_close(struct relay *r); /* ends it now; on_end is called */

#endif
