/* wait.c: a hash table of entries, one per session waited for.
 *
 * A look is one `get`. A hint that comes while a look is under way asks for another one, since the look may
 * have read the state before the change. Callbacks may add and remove waiters: `next` of an entry is the
 * waiter that the running round comes to next. */
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/keys.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "metrics.h"

#define LOOK_EVERY  5.0 /* seconds, for a lost hint */
#define LOOK_AGAIN  0.5 /* while Redis is away */
#define FIRST_SLOTS 64

struct entry {
    struct waits *waits;
    struct entry *chain;
    char session[KEYS_SESSION_MAX];
    struct waiter *first, *next;
    int waiters;
    int in_force;
    int looking; /* a get is under way: the entry stays until its reply */
    int again;
    int in_round;
    double began_ms;
    ev_timer timer;
};

struct waiter {
    struct entry *entry;
    struct waiter *prev, *next;
    int skips_starting;
    wait_look_fn *cb;
    void *arg;
};

struct waits {
    struct api *api;
    struct entry **slots;
    size_t size, used; /* size: a power of two */
};

static size_t slot_of(const struct waits *w, const char *session)
{
    size_t h = 1469598103934665603u;

    for (; *session; session++)
        h = (h ^ (unsigned char)*session) * 1099511628211u;
    return (h ^ h >> 29) & (w->size - 1);
}

struct waits *waits_new(struct api *api)
{
    struct waits *w = mem_alloc(sizeof(*w));

    w->api = api;
    w->size = FIRST_SLOTS;
    w->slots = mem_alloc(w->size * sizeof(*w->slots));
    return w;
}

/* Waiters themselves belong to calls, which are gone by then. */
void waits_free(struct waits *w)
{
    size_t i;

    if (!w)
        return;
    for (i = 0; i < w->size; i++)
        while (w->slots[i]) {
            struct entry *e = w->slots[i];

            w->slots[i] = e->chain;
            ev_timer_stop(w->api->loop, &e->timer);
            free(e);
        }
    free(w->slots);
    free(w);
}

static struct entry *find(const struct waits *w, const char *session)
{
    struct entry *e = w->slots[slot_of(w, session)];

    while (e && strcmp(e->session, session))
        e = e->chain;
    return e;
}

static void grow(struct waits *w)
{
    struct entry **old = w->slots, *e;
    size_t old_size = w->size, i, at;

    w->size *= 2;
    w->slots = mem_alloc(w->size * sizeof(*w->slots));
    for (i = 0; i < old_size; i++)
        while ((e = old[i])) {
            old[i] = e->chain;
            at = slot_of(w, e->session);
            e->chain = w->slots[at];
            w->slots[at] = e;
        }
    free(old);
}

/* ---- looking ---- */

static void end_if_unused(struct entry *e)
{
    struct waits *w = e->waits;
    struct entry **at = &w->slots[slot_of(w, e->session)];
    char channel[KEYS_MAX];

    if (e->first || e->looking || e->in_round)
        return;
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    w->used--;
    ev_timer_stop(w->api->loop, &e->timer);
    redis_sub_remove(w->api->sub, keys_changed(channel, w->api->settings.cell, e->session));
    free(e);
}

static void arm(struct entry *e, double seconds)
{
    ev_timer_stop(e->waits->api->loop, &e->timer);
    ev_timer_set(&e->timer, seconds * (0.8 + 0.4 * random_unit()), 0);
    ev_timer_start(e->waits->api->loop, &e->timer);
}

static void look(struct entry *e);

static void on_look_reply(void *arg, const redisReply *reply)
{
    struct entry *e = arg;
    struct waiter *one;

    e->looking = 0;
    metrics_redis(e->waits->api->metrics, clock_mono_ms() - e->began_ms);
    e->in_round = 1;
    for (one = e->first; one; one = e->next) {
        e->next = one->next;
        one->cb(one->arg, reply);
    }
    e->next = NULL;
    e->in_round = 0;
    if (e->first && e->again && reply)
        look(e);
    else if (e->first)
        arm(e, reply ? LOOK_EVERY : LOOK_AGAIN);
    end_if_unused(e);
}

static void look(struct entry *e)
{
    if (e->looking || e->in_round) {
        e->again = 1;
        return;
    }
    e->again = 0;
    e->looking = 1;
    e->began_ms = clock_mono_ms();
    ev_timer_stop(e->waits->api->loop, &e->timer);
    redis_script(e->waits->api->redis, on_look_reply, e, SCRIPT_get, e->session, "", NULL);
}

static void on_timer_look(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    look(t->data);
}

/* The session will be heard of again when it has started, or has not. */
static int all_skip_starting(const struct entry *e)
{
    for (const struct waiter *one = e->first; one; one = one->next)
        if (!one->skips_starting)
            return 0;
    return 1;
}

void waits_hint(struct waits *w, const char *channel, const char *state)
{
    const char *session = strrchr(channel, ':');
    struct entry *e = session ? find(w, session + 1) : NULL;

    if (!e)
        return;
    e->in_force = 1;
    if (!state || strcmp(state, "starting") || !all_skip_starting(e))
        look(e);
}

void waits_kick(struct waits *w)
{
    struct entry *e;
    size_t i;

    for (i = 0; i < w->size; i++)
        for (e = w->slots[i]; e; e = e->chain)
            look(e);
}

/* ---- waiters ---- */

static struct entry *entry_new(struct waits *w, const char *session)
{
    struct entry *e = mem_alloc(sizeof(*e));
    char channel[KEYS_MAX];
    size_t at;

    if (w->used >= w->size)
        grow(w);
    at = slot_of(w, session);
    e->waits = w;
    e->chain = w->slots[at];
    strncpy(e->session, session, sizeof(e->session) - 1);
    w->slots[at] = e;
    w->used++;
    ev_timer_init(&e->timer, on_timer_look, 0, 0);
    e->timer.data = e;
    arm(e, LOOK_EVERY);
    redis_sub_add(w->api->sub, keys_changed(channel, w->api->settings.cell, session));
    return e;
}

struct waiter *wait_add(struct waits *w, const char *session, wait_look_fn *cb, void *arg)
{
    struct entry *e = find(w, session);
    struct waiter *one = mem_alloc(sizeof(*one));

    if (!e)
        e = entry_new(w, session);
    one->entry = e;
    one->cb = cb;
    one->arg = arg;
    one->next = e->first;
    if (one->next)
        one->next->prev = one;
    e->first = one;
    e->waiters++;
    if (e->in_force)
        look(e);
    return one;
}

void wait_skip_starting(struct waiter *one)
{
    one->skips_starting = 1;
}

void wait_remove(struct waiter *one)
{
    struct entry *e = one->entry;

    if (e->next == one)
        e->next = one->next;
    if (one->prev)
        one->prev->next = one->next;
    else
        e->first = one->next;
    if (one->next)
        one->next->prev = one->prev;
    e->waiters--;
    free(one);
    end_if_unused(e);
}

int wait_count(const struct waits *w, const char *session)
{
    const struct entry *e = find(w, session);

    return e ? e->waiters : 0;
}
