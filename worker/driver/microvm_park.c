/* microvm_park.c: guests that nobody uses may stand still, and get less CPU time; waking them tells the time.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "microvm.h"

void microvm_wake(struct microvm_berth *b)
{
    struct timespec now;
    char line[64];
    int len;

    if (!b->paused || !b->vmm)
        return;
    b->paused = 0;
    /* Before it runs: the first thing it reads. */
    clock_gettime(CLOCK_REALTIME, &now);
    len =
        snprintf(line, sizeof(line), GUEST_CLOCK " time_ns=%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    guest_link_send(&b->link, line, (size_t)len);
    b->driver->ops->resume(b->vmm);
}

void microvm_set_active(struct driver *d, int berth, int active)
{
    struct microvm_berth *b = &d->berths[berth];

    b->active = active;
    if (active) {
        b->parked = 0;
        microvm_wake(b);
    }
    /* While it is restored it keeps the share that load() gave it. */
    if (b->has_cgroup && b->state != MICROVM_LOADING && b->state != MICROVM_ASKING)
        cgroup_set_active(d->cgroups, berth, active);
}

void microvm_park(struct driver *d, int berth)
{
    struct microvm_berth *b = &d->berths[berth];

    if (strcmp(d->settings->vm_warm, "paused") != 0 || b->state != MICROVM_UP || !b->vmm || b->paused ||
        (d->ops->can_pause && !d->ops->can_pause(d->host)))
        return;
    b->parked = b->paused = 1;
    d->ops->pause(b->vmm);
}
