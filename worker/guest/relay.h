/* relay.h: the guest's relay of CDP: what connects to a listening socket is joined with a connection to the
 * browser, bytes both ways, each direction with a bounded buffer (a slow reader stops its writer) and an end
 * of its own (half-close). Single thread, edge-triggered: an idle relay costs nothing. */
#ifndef BERTH_GUEST_RELAY_H
#define BERTH_GUEST_RELAY_H
#include <netinet/in.h>

#include "loop.h"

#define RELAY_PAIRS_MAX   256   /* more wait in the listening socket's queue */
#define RELAY_BUFFER_SIZE 65536 /* a direction's; allocated while it holds something */

struct relay_pair;

struct relay {
    struct loop *loop;
    struct watch listener;
    struct sockaddr_in target;
    struct in_addr peer; /* set before relay_init: who alone is let in; 0.0.0.0: anybody */
    int pairs;
    struct relay_pair *list; /* all of them */
};

/* listener: a listening, non-blocking socket; the relay's from now on. Takes the loop's on_idle. 0, or -1
 * with errno (and the listener is the caller's still). */
int relay_init(struct relay *r, struct loop *loop, int listener, struct sockaddr_in target)
    __attribute__((warn_unused_result));
void relay_cleanup(struct relay *r); /* closes every connection and the listener */

#endif
