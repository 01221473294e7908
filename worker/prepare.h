/* prepare.h: which profiles' drivers are still making what starts need (a microVM's snapshot). Meanwhile this
 * worker asks for no cold starts, of any profile, and makes no warm browsers of these; sessions wait in the
 * queue, where their wait counts as such, or go to other workers. */
#ifndef BERTH_PREPARE_H
#define BERTH_PREPARE_H
#include "driver.h"

struct worker;

struct prepare {
    unsigned pending; /* a bit for each profile */
};

/* Asks the drivers, once they are open. */
void prepare_begin(struct worker *w);
void prepare_on_change(struct worker *w, const struct profile *p, enum driver_readiness readiness,
                       const char *text);
/* 1: starts of this profile would wait. */
static inline int prepare_is_pending(const struct prepare *p, int profile)
{
    return p->pending >> profile & 1U;
}

#endif
