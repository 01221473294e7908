/* microvm_snapshot.c: the snapshots a driver uses, one for each size of machine: found or built, loaded into
 * RAM a piece at a time, given up where their clones do not come up. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/buf.h"
#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "microvm.h"

#define IDENTITY_VERSION 1
#define LOAD_PAUSE_S     0.0005 /* between two pieces: others get their turn */
#define REFUSALS_MAX     3      /* of what was found on disk, one after the other */

static int vcpus_of(const struct profile *p)
{
    int n = (int)ceil(p->cpus);

    return n < 1 ? 1 : n > MICROVM_VCPUS_MAX ? MICROVM_VCPUS_MAX : n;
}

/* All that clones and template have to agree in. */
static char *identity_of(struct driver *d, const struct vmm_machine *m)
{
    struct buf out = {0};

    buf_addf(&out, "berth %d\nimage %s\naccel %s\nmemory %d\nvcpus %d\n", IDENTITY_VERSION, d->image.key,
             m->accel, m->memory_mb, m->vcpus);
    d->ops->identify(d->host, m, &out);
    return buf_take(&out);
}

static void on_piece(struct ev_loop *loop, ev_timer *w, int revents);

struct microvm_snapshot *microvm_snapshot_of(struct driver *d, const struct profile *p, char *why, size_t len)
{
    struct vmm_machine m = {&d->image, p->memory_mb, vcpus_of(p), d->accel, d->huge_pages};
    struct microvm_snapshot *s;

    if (p->browser || (p->args && p->args[0])) {
        snprintf(why, len, "profile %s: browser and args are the image's in a microVM", p->name);
        return NULL;
    }
    for (int i = 0; i < d->snapshot_count; i++) {
        s = d->snapshots[i];
        if (s->machine.memory_mb == m.memory_mb && s->machine.vcpus == m.vcpus &&
            strcmp(s->machine.accel, m.accel) == 0)
            return s;
    }
    if (d->snapshot_count == MICROVM_SNAPSHOTS_MAX) {
        snprintf(why, len, "too many different sizes of microVMs");
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->driver = d;
    s->machine = m;
    snapshot_init(&s->snapshot, d->settings->state, identity_of(d, &m), m.memory_mb);
    s->snapshot.by_file = d->ops->maps_file;
    s->snapshot.huge_pages = m.huge_pages;
    ev_init(&s->timer, on_piece);
    s->timer.data = s;
    d->snapshots[d->snapshot_count++] = s;
    return s;
}

/* ---- finding ---- */

void microvm_snapshot_want(struct microvm_snapshot *s)
{
    struct driver *d = s->driver;
    char why[MICROVM_WHY_MAX];
    int found;

    if (s->state != MICROVM_SNAPSHOT_NONE)
        return;
    found = snapshot_find(&s->snapshot, why, sizeof(why));
    s->began = clock_mono_ms();
    if (found == 1) {
        microvm_snapshot_load(s);
        return;
    }
    if (found < 0)
        log_warn("snapshot_refused", "snapshot=%s why=%s", s->snapshot.key, why);
    else
        log_info("snapshot_missing", "snapshot=%s why=%s", s->snapshot.key, why);
    if (d->build)
        return; /* its end looks again */
    s->state = MICROVM_SNAPSHOT_BUILDING;
    microvm_build_start(s);
}

/* Those that could not be built because another was. */
static void want_waiting(struct driver *d)
{
    for (int i = 0; i < d->count && !d->build && !d->closing; i++) {
        struct microvm_berth *b = &d->berths[i];

        if (b->state == MICROVM_SNAPSHOT && b->snap)
            microvm_snapshot_want(b->snap);
    }
}

static void tell_failed(struct microvm_snapshot *s, const char *why)
{
    char text[MICROVM_WHY_MAX];

    snprintf(text, sizeof(text), "no snapshot: %.400s", why);
    s->state = MICROVM_SNAPSHOT_NONE;
    log_error("snapshot_failed", "snapshot=%s why=%s", s->snapshot.key, why);
    microvm_prepare_on_snapshot(s->driver, s, why);
    microvm_on_snapshot(s->driver, s, text);
    want_waiting(s->driver);
}

void microvm_snapshot_failed(struct microvm_snapshot *s, const char *why)
{
    struct driver *d = s->driver;

    if (strcmp(s->machine.accel, d->accel) != 0) {
        s->state = MICROVM_SNAPSHOT_NONE;
        microvm_prepare_on_snapshot(d, s, NULL);
        microvm_on_snapshot(d, s, why);
        want_waiting(d);
        return;
    }
    tell_failed(s, why);
}

/* ---- loading ---- */

static void take_working_set(struct microvm_snapshot *s)
{
    char path[500];

    if (s->machine.huge_pages)
        return; /* a few hundred faults in all */
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_WORKING_SET, s->snapshot.folder);
    s->set_known = working_set_load(&s->set, path, s->machine.memory_mb) == 0;
    if (!s->set_known && errno == EINVAL)
        log_warn("working_set_refused", "path=%s", path);
}

static void on_piece(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct microvm_snapshot *s = w->data;
    char why[200];
    int more = snapshot_load(&s->snapshot, why, sizeof(why));

    (void)loop;
    (void)revents;
    if (more > 0) {
        ev_timer_set(&s->timer, LOAD_PAUSE_S, 0);
        ev_timer_start(s->driver->loop, &s->timer);
        return;
    }
    if (more == -2 && ++s->refusals < REFUSALS_MAX) {
        log_warn("snapshot_refused", "snapshot=%s why=%s", s->snapshot.key, why);
        snapshot_remove(&s->snapshot);
        s->state = MICROVM_SNAPSHOT_NONE;
        microvm_snapshot_want(s);
        return;
    }
    if (more < 0) {
        tell_failed(s, why);
        return;
    }
    s->refusals = 0;
    take_working_set(s);
    s->state = MICROVM_SNAPSHOT_READY;
    log_info("snapshot_ready", "snapshot=%s accel=%s working_set_pages=%u ms=%.0f", s->snapshot.key,
             s->machine.accel, s->set.pages, clock_mono_ms() - s->began);
    s->took = clock_mono_ms() - s->began;
    microvm_prepare_on_snapshot(s->driver, s, NULL);
    microvm_on_snapshot(s->driver, s, NULL);
    want_waiting(s->driver);
    microvm_ready_soon(s->driver);
}

void microvm_snapshot_load(struct microvm_snapshot *s)
{
    s->state = MICROVM_SNAPSHOT_LOADING;
    ev_timer_set(&s->timer, 0, 0);
    ev_timer_start(s->driver->loop, &s->timer);
}

/* ---- giving up ---- */

static void give_up(struct microvm_snapshot *s)
{
    struct driver *d = s->driver;

    snapshot_release(&s->snapshot);
    working_set_cleanup(&s->set);
    s->set_known = s->failures = 0;
    s->ws_path[0] = '\0';
    s->generation++;
    s->state = MICROVM_SNAPSHOT_NONE;
    microvm_prepare_on_snapshot(d, s, NULL);
    /* What waits maps the old one. */
    for (int i = 0; i < d->count; i++) {
        struct microvm_berth *b = &d->berths[i];

        if (b->made_from != s || !b->vmm || b->loaded)
            continue;
        b->replacing = b->state == MICROVM_SPAWNING;
        d->ops->kill(b->vmm);
    }
}

int microvm_snapshot_verify(struct microvm_snapshot *s)
{
    char why[MICROVM_WHY_MAX];

    if (s->state != MICROVM_SNAPSHOT_READY || snapshot_is_current(&s->snapshot, why, sizeof(why)))
        return 1;
    log_warn("snapshot_lost", "snapshot=%s why=%s", s->snapshot.key, why);
    give_up(s);
    return 0;
}

void microvm_snapshot_refuse(struct microvm_snapshot *s, const char *why)
{
    if (s->state != MICROVM_SNAPSHOT_READY)
        return;
    log_warn("snapshot_refused", "snapshot=%s why=%s", s->snapshot.key, why);
    snapshot_remove(&s->snapshot);
    give_up(s);
}

void microvm_snapshots_free(struct driver *d)
{
    for (int i = 0; i < d->snapshot_count; i++) {
        struct microvm_snapshot *s = d->snapshots[i];

        ev_timer_stop(d->loop, &s->timer);
        snapshot_cleanup(&s->snapshot);
        working_set_cleanup(&s->set);
        free(s);
    }
    d->snapshot_count = 0;
}
