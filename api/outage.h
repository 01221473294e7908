/* outage.h: creates outlive an outage of Redis for a while. Those that were with it or in line for it when it
 * was lost stand in the gate's line (gate.h) until it is back; when that takes too long they get their turn
 * all the same, and see that it is away.
 *
 * A create whose answer was lost asks again for the same session: Redis knows it by its id if the first try
 * was carried out, also one that arrives after the second (lua/admit.lua). */
#ifndef BERTH_OUTAGE_H
#define BERTH_OUTAGE_H
#include <ev.h>

#include "gate.h"

struct outage {
    struct ev_loop *loop;
    struct gate *gate;
    ev_timer timer;
};

/* ms: how long the line may be held. loop and gate are borrowed. */
void outage_init(struct outage *o, struct ev_loop *loop, struct gate *gate, double ms);
/* Redis is lost, and this is its first sign or a later one of the same outage. */
void outage_begin(struct outage *o);
/* Redis is back: those in line have their turns now. */
void outage_end(struct outage *o);
void outage_cleanup(struct outage *o);

#endif
