/* microvm_end.c: a berth's way from its guest to clean: on_clean is said once process and cgroup are gone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "berth_cgroup.h"
#include "microvm.h"

#define LOOK_AGAIN_S  0.01
#define WARN_EVERY_MS 2000.0
#define END_MS        5000

void microvm_kill(struct microvm_berth *b)
{
    if (b->vmm)
        b->driver->ops->kill(b->vmm);
}

void microvm_on_gone(struct microvm_berth *b, const char *why)
{
    char text[MICROVM_WHY_MAX];
    long kills;

    microvm_stop_asking(b);
    if (b->state == MICROVM_STOPPING) {
        microvm_look_if_clean(b);
    } else if (b->state == MICROVM_IDLE) {
        b->began = clock_mono_ms();
        b->warnings = 0;
        microvm_look_if_clean(b);
    } else if (b->state == MICROVM_SPAWNING && b->replacing) {
        b->replacing = 0;
        microvm_launch(b);
    } else if (b->state != MICROVM_DOWN) {
        kills = b->has_cgroup ? cgroup_oom_kills(b->driver->cgroups, b->index) : 0;
        snprintf(text, sizeof(text), "the microVM ended%s: %.400s", kills ? ", out of memory" : "", why);
        microvm_fail(b, text);
    }
}

/* Says on_clean once everything of the berth is gone; else sees to it that it goes, and looks again soon. */
void microvm_look_if_clean(struct microvm_berth *b)
{
    struct driver *d = b->driver;
    int stopping = b->state == MICROVM_STOPPING;

    if (!stopping && b->vmm)
        return; /* one that waits */
    if (b->vmm || b->network_pending) {
        microvm_set_state(b, b->state, LOOK_AGAIN_S * 10); /* their own events come first */
    } else if (b->has_cgroup && cgroup_remove(d->cgroups, b->index) != 0) {
        cgroup_kill(d->cgroups, b->index);
        microvm_set_state(b, b->state, LOOK_AGAIN_S);
    } else {
        b->has_cgroup = 0;
        if (stopping)
            net_pool_reset(d->net, b->index);
        microvm_set_state(b, MICROVM_IDLE, -1);
        if (stopping) {
            log_debug("berth_clean", "berth=%d ms=%.1f", b->index, clock_mono_ms() - b->began);
            d->events.on_clean(d->events.arg, b->index);
        }
        microvm_ready_soon(d);
        return;
    }
    if (clock_mono_ms() - b->began > (b->warnings + 1) * WARN_EVERY_MS) {
        b->warnings++;
        log_warn("berth_not_clean", "berth=%d seconds=%.1f process=%d error=%s", b->index,
                 (clock_mono_ms() - b->began) / 1000.0, b->vmm ? (int)d->ops->pid(b->vmm) : 0,
                 b->vmm ? "alive" : strerror(errno));
    }
    microvm_kill(b);
}

void microvm_stop(struct driver *d, int berth)
{
    struct microvm_berth *b = &d->berths[berth];

    if (b->state == MICROVM_STOPPING)
        return;
    if (b->state == MICROVM_SNAPSHOT && !d->closing)
        log_warn("start_ended", "berth=%d ms=%.0f why=%s", berth, clock_mono_ms() - b->began,
                 "the start was given up while its snapshot was being built; the build goes on");
    b->began = clock_mono_ms();
    b->warnings = 0;
    b->unreported = 0;
    microvm_stop_asking(b);
    microvm_kill(b);
    /* With a process its end is the next event; without one the timer is. */
    microvm_set_state(b, MICROVM_STOPPING, b->vmm ? LOOK_AGAIN_S * 100 : 0);
}

void microvm_berth_end(struct microvm_berth *b)
{
    struct driver *d = b->driver;

    microvm_stop_asking(b);
    guest_link_close(&b->link);
    if (b->vmm && d->ops->finish(b->vmm, END_MS) != 0)
        log_error("berth_left_running", "berth=%d", b->index);
    b->vmm = NULL;
    if (b->has_cgroup)
        berth_cgroup_end(d->cgroups, b->index);
    ev_timer_stop(d->loop, &b->timer);
    ev_timer_stop(d->loop, &b->prefetch);
}
