/* gate.c: see gate.h. */
#include "gate.h"

#include <assert.h>

void gate_init(struct gate *g, int width)
{
    *g = (struct gate){.width = width};
    g->end = &g->first;
}

static void unlink_place(struct gate *g, struct gate_place *p)
{
    assert(p->link);
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    else
        g->end = p->link;
    p->next = NULL;
    p->link = NULL;
    g->waiting--;
}

/* on_turn may leave the gate again at once, which ends up here: one loop for all, or a long line would go
 * deep. */
static void let_in(struct gate *g)
{
    if (g->letting_in)
        return;
    g->letting_in = 1;
    while (g->first && g->inside < g->width && !g->held) {
        struct gate_place *p = g->first;

        unlink_place(g, p);
        p->inside = 1;
        g->inside++;
        p->on_turn(p->arg);
    }
    g->letting_in = 0;
}

void gate_enter(struct gate *g, struct gate_place *p, void (*on_turn)(void *arg), void *arg)
{
    p->on_turn = on_turn;
    p->arg = arg;
    p->inside = 0;
    p->next = NULL;
    p->link = g->end;
    *g->end = p;
    g->end = &p->next;
    g->waiting++;
    let_in(g);
}

void gate_leave(struct gate *g, struct gate_place *p)
{
    if (p->inside) {
        p->inside = 0;
        g->inside--;
    } else if (p->link) {
        unlink_place(g, p);
    } else {
        return;
    }
    let_in(g);
}

void gate_hold(struct gate *g, int held)
{
    g->held = held;
    let_in(g);
}

void gate_close(struct gate *g)
{
    g->width = 0;
}
