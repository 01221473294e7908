/* microvm_park.c: guests that nobody uses may stand still, and get less CPU time; waking them tells the time.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "microvm.h"

/* Before it runs: the first thing it reads. */
static void tell_time(struct microvm_berth *b)
{
    struct timespec now;
    char line[64];
    int len;

    clock_gettime(CLOCK_REALTIME, &now);
    len =
        snprintf(line, sizeof(line), GUEST_CLOCK " time_ns=%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    guest_link_send(&b->link, line, (size_t)len);
}

/* Towards what is wanted: a step at a time (vmm.h). */
static void turn(struct microvm_berth *b)
{
    if (!b->vmm || b->turning || b->stands == b->paused)
        return;
    b->turning = 1;
    if (b->paused) {
        b->driver->ops->pause(b->vmm);
    } else {
        tell_time(b);
        b->driver->ops->resume(b->vmm);
    }
}

void microvm_on_turned(struct microvm_berth *b, int stands)
{
    b->turning = 0;
    b->stands = stands;
    turn(b);
}

void microvm_wake(struct microvm_berth *b)
{
    b->paused = 0;
    turn(b);
}

void microvm_set_active(struct driver *d, int berth, int active)
{
    struct microvm_berth *b = &d->berths[berth];

    b->active = active;
    if (active)
        microvm_wake(b);
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
    b->paused = 1;
    turn(b);
}
