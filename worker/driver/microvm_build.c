/* microvm_build.c: one snapshot being built: a template boots in a namespace and cgroup of its own, until its
 * guest says that it has settled; then it is saved, and its folder gets its name. One at a time per host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../background.h"
#include "microvm.h"

#define LOCK_LOOK_S   0.25
#define KVM_LIMIT_S   30.0 /* a step of the guest: booted, settled */
#define TCG_LIMIT_S   300.0
#define KVM_BOOT_S    10.0     /* it takes half a second where it works, and is tried where it does not */
#define LOCK_LIMIT_MS 700000.0 /* another's template, under TCG on a busy host */
#define FINISH_MS     5000
#define CLEAN_LOOK_S  0.02
#define TEMPLATE_MAC  "02:be:27:00:00:02"

struct microvm_build {
    struct driver *driver;
    struct microvm_snapshot *snap;
    struct vmm *vmm;
    struct guest_link link;
    struct background *background; /* while it is being stored */
    ev_timer timer;                /* waiting for the lock; limit; waiting for the cgroup */
    int lock, has_cgroup;
    int launched, booted;
    int saving, done; /* the guest has settled; its state is in the folder */
    double began, step_began;
    char folder[400];
    char why[MICROVM_WHY_MAX]; /* not empty: it failed */
};

static void look(struct microvm_build *b);

static void arm(struct microvm_build *b, double seconds)
{
    ev_timer_stop(b->driver->loop, &b->timer);
    ev_now_update(b->driver->loop);
    ev_timer_set(&b->timer, seconds, 0);
    ev_timer_start(b->driver->loop, &b->timer);
}

/* How long the guest may be without progress. */
static double step_limit(const struct microvm_build *b)
{
    int kvm = strcmp(b->snap->machine.accel, "kvm") == 0;

    if (!b->booted)
        return kvm ? KVM_BOOT_S : TCG_LIMIT_S;
    return (kvm ? KVM_LIMIT_S : TCG_LIMIT_S) + GUEST_QUIET_MS / 1000.0;
}

/* A step is over; ms is what it took. */
static void progress(struct microvm_build *b, const char *step)
{
    double now = clock_mono_ms();

    log_info("snapshot_build", "snapshot=%s step=%s ms=%.0f total_ms=%.0f", b->snap->snapshot.key, step,
             now - b->step_began, now - b->began);
    b->step_began = now;
}

static void build_free(struct microvm_build *b)
{
    ev_timer_stop(b->driver->loop, &b->timer);
    guest_link_close(&b->link);
    if (b->folder[0])
        snapshot_discard(b->folder);
    if (b->lock >= 0)
        close(b->lock);
    b->driver->build = NULL;
    free(b);
}

/* One that is too big for the disk's share stays, but it is said. */
static void prune(const struct microvm_build *b)
{
    long limit = b->driver->settings->snapshot_disk_mb, left;

    left = snapshot_prune(b->driver->settings->state, limit, b->snap->snapshot.key);
    if (limit > 0 && left > limit)
        log_warn("snapshots_over_limit", "mb=%ld limit_mb=%ld hint=%s", left, limit,
                 "BERTH_SNAPSHOT_DISK_MB is less than the snapshots in use take");
}

static void publish(struct microvm_build *b)
{
    struct microvm_snapshot *s = b->snap;
    char why[MICROVM_WHY_MAX];

    if (!b->why[0] && snapshot_publish(&s->snapshot, b->folder, b->why, sizeof(b->why)) == 0) {
        log_info("snapshot_built", "snapshot=%s accel=%s memory_mb=%d ms=%.0f", s->snapshot.key,
                 s->machine.accel, s->machine.memory_mb, clock_mono_ms() - b->began);
        prune(b);
        b->folder[0] = '\0';
        if (snapshot_find(&s->snapshot, why, sizeof(why)) == 1) {
            build_free(b);
            microvm_snapshot_load(s);
            return;
        }
        snprintf(b->why, sizeof(b->why), "it was built, but %.300s", why);
    }
    snprintf(why, sizeof(why), "%s", b->why);
    build_free(b);
    microvm_snapshot_failed(s, why);
}

/* In another thread: the disk may take seconds. */
static void complete(void *arg)
{
    struct microvm_build *b = arg;
    char why[MICROVM_WHY_MAX];

    if (snapshot_complete(&b->snap->snapshot, b->folder, why, sizeof(why)) != 0)
        snprintf(b->why, sizeof(b->why), "%s", why);
}

static void on_complete(void *arg)
{
    struct microvm_build *b = arg;

    b->background = NULL;
    progress(b, "store");
    publish(b);
}

/* Everything of the template is gone: stores and publishes it, or tells why not. */
static void conclude(struct microvm_build *b)
{
    if (b->why[0] && b->launched && !b->done)
        microvm_accel_failed(b->driver, b->snap->machine.accel, b->booted, b->why);
    if (!b->why[0]) {
        b->background = background_start(b->driver->loop, complete, on_complete, b);
        if (b->background)
            return;
        snprintf(b->why, sizeof(b->why), "no thread to store it: %s", strerror(errno));
    }
    publish(b);
}

static void look_if_gone(struct microvm_build *b)
{
    struct driver *d = b->driver;

    if (b->vmm)
        return;
    if (b->has_cgroup && cgroup_remove(d->cgroups, d->count) != 0) {
        cgroup_kill(d->cgroups, d->count);
        arm(b, CLEAN_LOOK_S);
        return;
    }
    b->has_cgroup = 0;
    conclude(b);
}

static void fail(struct microvm_build *b, const char *why)
{
    if (!b->why[0])
        snprintf(b->why, sizeof(b->why), "%.400s", why);
    guest_link_close(&b->link);
    if (b->vmm)
        b->driver->ops->kill(b->vmm);
    else
        arm(b, 0);
}

/* ---- the guest ---- */

static void on_message(void *arg, const struct guest_message *m)
{
    struct microvm_build *b = arg;
    const char *why = guest_message_get(m, "why"), *quiet = guest_message_get(m, "quiet");
    char text[300];

    if (strcmp(m->word, GUEST_BOOTED) == 0) {
        progress(b, "boot");
        b->booted = 1;
        arm(b, step_limit(b));
    } else if (strcmp(m->word, GUEST_SETTLED) == 0 && !b->saving) {
        progress(b, "settle");
        log_info("template_settled", "snapshot=%s quiet=%s", b->snap->snapshot.key, quiet ? quiet : "");
        b->saving = 1;
        b->driver->ops->save(b->vmm);
    } else {
        snprintf(text, sizeof(text), "the template's guest says %.40s: %.200s", m->word, why ? why : "");
        fail(b, text);
    }
}

static void on_link_close(void *arg, const char *why)
{
    struct microvm_build *b = arg;

    if (why)
        fail(b, why);
    else if (b->vmm && !b->saving) /* its last words say more; and it lets go of the port to be saved */
        b->driver->ops->kill(b->vmm);
}

static void on_step(void *arg, enum vmm_step step, const char *error)
{
    struct microvm_build *b = arg;
    char text[300];

    if (b->why[0])
        return;
    if (error) {
        snprintf(text, sizeof(text), "the template: %s: %.200s", vmm_step_name(step), error);
        fail(b, text);
    } else if (step == VMM_SPAWN) {
        b->driver->ops->boot(b->vmm);
    } else if (step == VMM_SAVE) {
        b->done = 1;
        progress(b, "save");
        guest_link_close(&b->link);
        b->driver->ops->kill(b->vmm);
    }
}

static void on_exit_(void *arg, const char *why)
{
    struct microvm_build *b = arg;
    char text[MICROVM_WHY_MAX];

    b->vmm = NULL;
    if (!b->done && !b->why[0]) {
        snprintf(text, sizeof(text), "the template ended: %.400s", why);
        fail(b, text);
    }
    arm(b, 0);
}

/* ---- the course ---- */

static int spawn(struct microvm_build *b, int net_ns, int tap, int memory)
{
    struct driver *d = b->driver;
    struct vmm_events events = {on_step, on_exit_, b};
    int cgroups[CGROUP_PLACES_MAX], count, fd;
    struct vmm_spec spec = {
        .kind = VMM_TEMPLATE,
        .machine = b->snap->machine,
        .place = {.net_ns = net_ns, .tap = tap, .mac = TEMPLATE_MAC, .uid = d->uid_base + d->count},
        .folder = b->folder,
        .memory = memory,
    };

    b->has_cgroup = d->cgroups != NULL;
    count = microvm_cgroup(d, d->count, NULL, &b->snap->machine, cgroups, b->why, sizeof(b->why));
    if (count < 0)
        return -1;
    spec.place.cgroups = cgroups;
    spec.place.cgroup_count = count;
    b->vmm = d->ops->spawn(d->host, &spec, &events, b->why, sizeof(b->why));
    while (count > 0)
        close(cgroups[--count]);
    if (!b->vmm)
        return -1;
    b->launched = 1;
    fd = d->ops->control(b->vmm);
    if (fd >= 0)
        guest_link_open(&b->link, d->loop, fd);
    return 0;
}

static void launch(struct microvm_build *b)
{
    struct driver *d = b->driver;
    int net_ns = -1, tap = -1,
        memory = snapshot_memory_file(&b->snap->snapshot, b->folder, d->uid_base + d->count);

    log_info("snapshot_build", "snapshot=%s step=begin accel=%s memory_mb=%d vcpus=%d", b->snap->snapshot.key,
             b->snap->machine.accel, b->snap->machine.memory_mb, b->snap->machine.vcpus);
    b->step_began = clock_mono_ms();
    if (memory < 0 || net_tap_alone(&d->tap, &net_ns, &tap) != 0)
        snprintf(b->why, sizeof(b->why), "cannot prepare a template: %s", strerror(errno));
    else if (spawn(b, net_ns, tap, memory) == 0)
        arm(b, step_limit(b));
    if (memory >= 0)
        close(memory);
    if (tap >= 0)
        close(tap);
    if (net_ns >= 0)
        close(net_ns);
    if (!b->vmm)
        fail(b, b->why);
}

/* The lock, and only then a look at whether its last holder has built what is wanted here: what is not there
 * now nobody else builds. */
static void look(struct microvm_build *b)
{
    struct microvm_snapshot *s = b->snap;
    char why[MICROVM_WHY_MAX], missing[MICROVM_WHY_MAX], folder[400];
    int locked = snapshot_begin(&s->snapshot, folder, &b->lock, why, sizeof(why)) == 0, error = errno;

    if (locked)
        strcpy(b->folder, folder);
    if (snapshot_find(&s->snapshot, missing, sizeof(missing)) == 1) {
        build_free(b);
        microvm_snapshot_load(s);
    } else if (locked) {
        launch(b);
    } else if (error == EWOULDBLOCK && clock_mono_ms() - b->began < LOCK_LIMIT_MS) {
        arm(b, LOCK_LOOK_S);
    } else {
        if (error == EWOULDBLOCK)
            snprintf(why, sizeof(why), "another worker of this host has been building snapshots for %.0f s",
                     (clock_mono_ms() - b->began) / 1000.0);
        fail(b, why);
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct microvm_build *b = w->data;
    char text[300];

    (void)loop;
    (void)revents;
    if (b->vmm) {
        snprintf(text, sizeof(text), "the template did not %s in %.0f s: %.200s",
                 b->saving   ? "get saved"
                 : b->booted ? "settle"
                             : "boot",
                 step_limit(b), b->driver->ops->said(b->vmm));
        fail(b, text);
    } else if (b->why[0] || b->done) {
        look_if_gone(b);
    } else {
        look(b);
    }
}

void microvm_build_start(struct microvm_snapshot *s)
{
    struct microvm_build *b = mem_alloc(sizeof(*b));

    b->driver = s->driver;
    b->driver->build = b;
    b->snap = s;
    b->lock = b->link.fd = -1;
    b->link.on_message = on_message;
    b->link.on_close = on_link_close;
    b->link.arg = b;
    b->began = clock_mono_ms();
    ev_init(&b->timer, on_timer);
    b->timer.data = b;
    arm(b, 0);
}

void microvm_build_end(struct driver *d)
{
    struct microvm_build *b = d->build;

    if (!b)
        return;
    if (b->background)
        background_finish(b->background);
    if (b->vmm && d->ops->finish(b->vmm, FINISH_MS) != 0)
        log_error("template_left_running", "snapshot=%s", b->snap->snapshot.key);
    b->vmm = NULL;
    for (int i = 0; b->has_cgroup && cgroup_remove(d->cgroups, d->count) != 0 && i < 200; i++) {
        cgroup_kill(d->cgroups, d->count);
        usleep(10000);
    }
    build_free(b);
}
