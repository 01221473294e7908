/* prepare.c: see prepare.h. */
#include "prepare.h"

#include "../shared/log.h"
#include "worker.h"

static void set(struct worker *w, const struct profile *p, int pending)
{
    unsigned bit = 1U << (p - w->profiles->items), before = w->prepare.pending;

    w->prepare.pending = pending ? before | bit : before & ~bit;
    if (!w->prepare.pending != !before)
        control_check(w); /* Redis learns it at once */
    if (w->prepare.pending != before)
        pool_kick(w);
}

void prepare_begin(struct worker *w)
{
    for (size_t i = 0; i < w->profiles->count; i++) {
        const struct profile *p = &w->profiles->items[i];
        struct worker_driver *d = worker_driver(w, p);

        if (!d->ops->prepare)
            continue;
        w->prepare.pending |= 1U << i;
        d->ops->prepare(d->driver, p);
    }
}

void prepare_on_change(struct worker *w, const struct profile *p, enum driver_readiness readiness,
                       const char *text)
{
    if (readiness == DRIVER_READY)
        log_info("prepared", "worker=%s profile=%s what=%s", w->id, p->name, text);
    else if (readiness == DRIVER_PREPARING)
        log_info("preparing", "worker=%s profile=%s why=%s", w->id, p->name, text);
    else
        log_warn("not_prepared", "worker=%s profile=%s why=%s", w->id, p->name, text);
    set(w, p, readiness == DRIVER_PREPARING);
}
