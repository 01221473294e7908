/* microvm_ready.c: processes that wait for a snapshot ahead of demand; and the pages that guests touch:
 * recorded from the first clone, mapped into those that wait while nobody does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "microvm.h"

#define READY_S    0.02
#define RETRY_MS   5000.0
#define PREFETCH_S 0.0005

/* ---- the working set ---- */

static void on_prefetch(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct microvm_berth *b = w->data;
    int more;

    (void)revents;
    if (!b->vmm || b->loaded || !microvm_machine_is_current(b) || !b->made_from->set_known)
        return;
    more = working_set_map(&b->made_from->set, &b->walk);
    if (more < 0)
        log_debug("prefetch_failed", "berth=%d error=%s", b->index, strerror(errno));
    if (more > 0) {
        ev_timer_set(&b->prefetch, PREFETCH_S, 0);
        ev_timer_start(loop, &b->prefetch);
    }
}

void microvm_prefetch(struct microvm_berth *b)
{
    struct driver *d = b->driver;

    ev_timer_stop(d->loop, &b->prefetch);
    if (strcmp(d->settings->vm_prefetch, "on") != 0 || !b->made_from->set_known ||
        working_set_find(d->ops->pid(b->vmm), b->made_from->snapshot.memory, &b->walk) != 0)
        return;
    ev_set_cb(&b->prefetch, on_prefetch);
    b->prefetch.data = b;
    ev_timer_set(&b->prefetch, 0, 0);
    ev_timer_start(d->loop, &b->prefetch);
}

void microvm_record(struct microvm_berth *b)
{
    struct driver *d = b->driver;
    struct microvm_snapshot *s = b->snap;
    struct working_set_walk walk;
    struct working_set set;
    char path[500];

    if (s->set_known || s->machine.huge_pages || !microvm_machine_is_current(b) ||
        !snapshot_is_current(&s->snapshot, path, sizeof(path)) ||
        working_set_find(d->ops->pid(b->vmm), s->snapshot.memory, &walk) != 0 ||
        working_set_record(&walk, s->machine.memory_mb, &set) != 0)
        return;
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_WORKING_SET, s->snapshot.folder);
    if (working_set_save(&set, path) != 0)
        log_warn("working_set_not_saved", "path=%s error=%s", path, strerror(errno));
    s->set = set;
    s->set_known = 1;
    log_info("working_set", "snapshot=%s pages=%u ranges=%zu", s->snapshot.key, set.pages, set.count);
}

/* ---- waiting processes ---- */

static int waiting_machines(const struct driver *d)
{
    int n = 0;

    for (int i = 0; i < d->count; i++)
        n += d->berths[i].state == MICROVM_IDLE && d->berths[i].vmm;
    return n;
}

/* A look that is due earlier stays. */
static void look_in(struct driver *d, double seconds)
{
    if (ev_is_active(&d->ready_timer) && ev_timer_remaining(d->loop, &d->ready_timer) <= seconds)
        return;
    ev_timer_stop(d->loop, &d->ready_timer);
    ev_timer_set(&d->ready_timer, seconds, 0);
    ev_timer_start(d->loop, &d->ready_timer);
}

/* One process more, if one is wanted; its being there asks for the next. */
static void on_ready_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct driver *d = w->data;
    struct microvm_snapshot *s;
    double now = clock_mono_ms(), wait_ms = RETRY_MS + 1;
    char why[MICROVM_WHY_MAX];

    (void)loop;
    (void)revents;
    if (d->closing || !d->last || waiting_machines(d) >= d->settings->vm_ready)
        return;
    s = microvm_snapshot_of(d, d->last, why, sizeof(why));
    if (s && !microvm_snapshot_verify(s))
        microvm_snapshot_want(s);
    if (!s || s->state != MICROVM_SNAPSHOT_READY)
        return;
    for (int i = 0; i < d->count; i++) {
        struct microvm_berth *b = &d->berths[i];

        if (b->state != MICROVM_IDLE || b->vmm || b->has_cgroup)
            continue;
        if (b->retry_after > now) {
            wait_ms = b->retry_after - now < wait_ms ? b->retry_after - now : wait_ms;
            continue;
        }
        b->profile = d->last;
        b->snap = s;
        b->active = 0;
        if (microvm_machine_spawn(b, why, sizeof(why)) != 0) {
            log_warn("microvm_not_waiting", "berth=%d why=%s", b->index, why);
            b->began = now;
            b->warnings = 0;
            b->retry_after = now + RETRY_MS;
            microvm_look_if_clean(b);
        }
        return;
    }
    if (wait_ms <= RETRY_MS)
        look_in(d, wait_ms / 1000.0);
}

void microvm_ready_soon(struct driver *d)
{
    if (!d->closing)
        look_in(d, READY_S);
}

void microvm_ready_init(struct driver *d)
{
    ev_init(&d->ready_timer, on_ready_timer);
    d->ready_timer.data = d;
}
