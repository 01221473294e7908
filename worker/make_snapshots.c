/* make_snapshots.c: see make_snapshots.h. */
#include "make_snapshots.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

struct making {
    struct ev_loop *loop;
    int waiting, failed;
};

static void on_prepare(void *arg, const struct profile *profile, enum driver_readiness readiness,
                       const char *text)
{
    struct making *m = arg;

    if (readiness == DRIVER_PREPARING)
        return;
    if (readiness == DRIVER_READY) {
        printf("profile=%s %s\n", profile->name, text);
        fflush(stdout);
    } else {
        fprintf(stderr, "berth-worker: profile %s: %s\n", profile->name, text);
        m->failed = 1;
    }
    if (--m->waiting == 0)
        ev_break(m->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct making *m = w->data;

    (void)revents;
    fprintf(stderr, "berth-worker: %s before all snapshots were made\n", strsignal(w->signum));
    m->failed = 1;
    ev_break(loop, EVBREAK_ALL);
}

static int has(const struct profile *p, const char *driver)
{
    return strcmp(p->driver, driver) == 0;
}

/* With each of the profiles that this driver runs. */
static void prepare(struct making *m, const struct profile_set *profiles, const struct driver_ops *ops,
                    struct driver *d)
{
    for (size_t i = 0; i < profiles->count; i++) {
        if (!has(&profiles->items[i], ops->name))
            continue;
        m->waiting++;
        ops->prepare(d, &profiles->items[i]);
    }
}

int make_snapshots(struct ev_loop *loop, const struct settings *s, const struct profile_set *profiles,
                   const char *worker_id)
{
    struct making m = {.loop = loop};
    struct driver_events events = {.on_prepare = on_prepare, .arg = &m};
    struct driver_config config = {.loop = loop, .settings = s, .worker_id = worker_id, .profiles = profiles};
    const struct driver_ops *ops[PROFILE_MAX];
    struct driver *drivers[PROFILE_MAX];
    char isolation[64], err[512] = "";
    ev_signal signals[2];
    int count = 0;

    for (size_t i = 0; i < profiles->count; i++) {
        const struct driver_ops *found = driver_find(profiles->items[i].driver);
        int known = 0;

        for (int k = 0; k < count; k++)
            known |= ops[k] == found;
        if (known || (found && !found->prepare))
            continue;
        drivers[count] =
            found ? found->open(&config, &events, isolation, sizeof(isolation), err, sizeof(err)) : NULL;
        if (!drivers[count]) {
            fprintf(stderr, "berth-worker: profile %s: %s\n", profiles->items[i].name,
                    found ? err : "there is no such driver");
            m.failed = 1;
            break;
        }
        ops[count++] = found;
    }
    for (int i = 0; i < 2; i++) {
        ev_signal_init(&signals[i], on_signal, i ? SIGINT : SIGTERM);
        signals[i].data = &m;
        ev_signal_start(loop, &signals[i]);
    }
    for (int i = 0; i < count && !m.failed; i++)
        prepare(&m, profiles, ops[i], drivers[i]);
    if (!m.failed && m.waiting == 0) {
        fprintf(stderr, "berth-worker: no profile needs a snapshot\n");
        m.failed = 1;
    } else if (!m.failed) {
        ev_run(loop, 0);
    }
    while (count-- > 0)
        ops[count]->close(drivers[count]);
    for (int i = 0; i < 2; i++)
        ev_signal_stop(loop, &signals[i]);
    return m.failed;
}
