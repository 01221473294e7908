/* vsock_link.h: the host's end of a port in a guest, as Firecracker offers it: a unix socket that is told
 * "CONNECT <port>\n", says "OK <its own port>\n" once the guest has accepted, and is the connection from then
 * on; or is closed, when nobody in the guest listens yet.
 *
 * Its other end is an ordinary socket that may be written to at any time: what was written goes to the guest
 * when the guest is there. When the connection ends, that socket ends. */
#ifndef BERTH_VSOCK_LINK_H
#define BERTH_VSOCK_LINK_H
#include <ev.h>
#include <stddef.h>

#include "../shared/errors.h"

struct vsock_link;

/* local: one half of a pair, non-blocking; the link's from now on, closed by vsock_link_free at the latest.
 */
struct vsock_link *vsock_link_new(struct ev_loop *loop, int local, unsigned port);
/* The machine runs: connects, again and again until the guest accepts. open: a new non-blocking socket to the
 * monitor, or -1 with errno. Once. */
void vsock_link_start(struct vsock_link *l, int (*open)(void *arg), void *arg);
void vsock_link_free(struct vsock_link *l); /* may be NULL */

/* The monitor's answer, so far. 1: it is there, used bytes long; 0: more is to come; -1: it is no answer.
 * Apart for tests. */
int vsock_link_parse(const char *data, size_t len, size_t *used);

#endif
