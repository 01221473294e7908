/* microvm_prepare.c: the snapshots of profiles, made before the first start asks for them, one after the
 * other; and word of it, also when one is lost later and has to be made anew. */
#include <stdio.h>
#include <string.h>

#include "microvm.h"

#define BLOCK 512 /* of st_blocks */

static void look_soon(struct driver *d)
{
    if (d->closing || ev_is_active(&d->prepare_timer))
        return;
    ev_timer_set(&d->prepare_timer, 0, 0);
    ev_timer_start(d->loop, &d->prepare_timer);
}

static void tell(struct driver *d, struct microvm_preparation *p, enum driver_readiness readiness,
                 const char *text)
{
    if (p->told == (int)readiness)
        return;
    p->told = (int)readiness;
    d->events.on_prepare(d->events.arg, p->profile, readiness, text);
}

/* Where it is, and what it takes on the disk. */
static void describe(const struct microvm_snapshot *s, char *out, size_t len)
{
    long long bytes = 0;

    for (int i = 0; i < s->snapshot.record.count; i++)
        bytes += (long long)s->snapshot.stats[i].st_blocks * BLOCK;
    snprintf(out, len, "snapshot=%s folder=%s mb=%lld ms=%.0f", s->snapshot.key, s->snapshot.folder,
             bytes / 1048576, s->took);
}

static void look_at(struct driver *d, struct microvm_preparation *p)
{
    char text[MICROVM_WHY_MAX] = "";
    struct microvm_snapshot *s = microvm_snapshot_of(d, p->profile, text, sizeof(text));

    if (!s) {
        tell(d, p, DRIVER_UNPREPARED, text);
        return;
    }
    if (s->state == MICROVM_SNAPSHOT_NONE && !p->failed[0])
        microvm_snapshot_want(s);
    if (s->state == MICROVM_SNAPSHOT_READY) {
        p->failed[0] = '\0';
        describe(s, text, sizeof(text));
        tell(d, p, DRIVER_READY, text);
    } else if (p->failed[0]) {
        tell(d, p, DRIVER_UNPREPARED, p->failed);
    } else {
        tell(d, p, DRIVER_PREPARING, "its snapshot is being made");
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct driver *d = w->data;

    (void)loop;
    (void)revents;
    for (int i = 0; i < d->preparation_count; i++)
        look_at(d, &d->preparations[i]);
}

void microvm_prepare(struct driver *d, const struct profile *profile)
{
    struct microvm_preparation *p = &d->preparations[d->preparation_count++];

    p->profile = profile;
    p->told = -1;
    if (!d->last)
        d->last = profile;
    look_soon(d);
}

void microvm_prepare_on_snapshot(struct driver *d, const struct microvm_snapshot *s, const char *why)
{
    char text[MICROVM_WHY_MAX];

    for (int i = 0; why && i < d->preparation_count; i++) {
        struct microvm_preparation *p = &d->preparations[i];

        if (microvm_snapshot_of(d, p->profile, text, sizeof(text)) == s)
            snprintf(p->failed, sizeof(p->failed), "%s", why);
    }
    look_soon(d);
}

void microvm_prepare_init(struct driver *d)
{
    ev_init(&d->prepare_timer, on_timer);
    d->prepare_timer.data = d;
}
