/* gate.h: so many creates are with Redis at a time; those that come on top wait here, first come first
 * served.
 *
 * Without it an API that is offered more than Redis can do sends all of it there, and every release waits
 * behind all the creates: berths come back late, the warm pool runs dry, and each create takes the long way
 * (a queue, a start, one or two looks) that costs Redis half as much again. What waits here costs nothing,
 * and goes without a trace when its client hangs up. */
#ifndef BERTH_GATE_H
#define BERTH_GATE_H
#include <stddef.h>

/* One create's place; embedded, zero before gate_enter. */
struct gate_place {
    struct gate_place *next, **link;
    int inside;
    void (*on_turn)(void *arg);
    void *arg;
};

struct gate {
    int width, inside;
    struct gate_place *first, **end; /* the line */
    int waiting;
    int letting_in;
    int held;
};

void gate_init(struct gate *g, int width);
/* Calls on_turn when there is room: now, or from some gate_leave. */
void gate_enter(struct gate *g, struct gate_place *p, void (*on_turn)(void *arg), void *arg);
/* Out of the gate or of the line; nothing if it is in neither. The next ones get their turn. */
void gate_leave(struct gate *g, struct gate_place *p);
/* Held: nobody gets a turn until it is let go (0), when those in line do. */
void gate_hold(struct gate *g, int held);
/* Nobody gets a turn any more. */
void gate_close(struct gate *g);

#endif
