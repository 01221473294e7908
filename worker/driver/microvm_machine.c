/* microvm_machine.c: the machine monitor's process of a berth: spawned, on demand or ahead of it, given the
 * snapshot and the guest's identity. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "../../shared/clock.h"
#include "../../shared/log.h"
#include "../../shared/random.h"
#include "microvm.h"

#define ENTROPY       128
#define RETRY_MS      5000.0
#define TEMPLATE_PIDS 128

/* ---- cgroup ---- */

int microvm_cgroup(struct driver *d, int index, const struct profile *p, const struct vmm_machine *m,
                   int fds[CGROUP_PLACES_MAX], char *why, size_t len)
{
    struct cgroup_limits limits = {.memory_mb = m->memory_mb + d->ops->overhead_mb(d->host, m),
                                   .pids = p ? MICROVM_PIDS : TEMPLATE_PIDS,
                                   .cpus = p ? p->cpus : m->vcpus};
    int count;

    if (!d->cgroups)
        return 0;
    if (p)
        limits.disk = p->disk;
    if (cgroup_create(d->cgroups, index, &limits, why, len) != 0)
        return -1;
    count = cgroup_open(d->cgroups, index, fds);
    if (count < 0)
        snprintf(why, len, "cannot open the cgroup: %s", strerror(errno));
    return count;
}

/* ---- events ---- */

static void on_step(void *arg, enum vmm_step step, const char *error)
{
    struct microvm_berth *b = arg;
    char why[MICROVM_WHY_MAX];

    if (error) {
        snprintf(why, sizeof(why), "the microVM: %s: %.300s", vmm_step_name(step), error);
        if (b->state == MICROVM_IDLE || b->state == MICROVM_STOPPING)
            b->driver->ops->kill(b->vmm);
        else
            microvm_fail(b, why);
        return;
    }
    switch (step) {
    case VMM_SPAWN:
        b->spawned = 1;
        if (b->state == MICROVM_IDLE) {
            log_debug("microvm_waits", "berth=%d pid=%d", b->index, (int)b->driver->ops->pid(b->vmm));
            microvm_prefetch(b);
            microvm_ready_soon(b->driver);
        }
        microvm_on_spawned(b);
        break;
    case VMM_LOAD:
        b->loaded = 1;
        microvm_on_loaded(b);
        break;
    case VMM_PAUSE:
    case VMM_RESUME:
        microvm_on_turned(b, step == VMM_PAUSE);
        break;
    case VMM_BOOT:
    case VMM_SAVE:
        break;
    }
}

static void on_exit_(void *arg, const char *why)
{
    struct microvm_berth *b = arg;

    ev_timer_stop(b->driver->loop, &b->prefetch);
    guest_link_close(&b->link);
    b->vmm = NULL;
    b->spawned = b->loaded = b->paused = b->stands = b->turning = 0;
    if (b->state == MICROVM_IDLE && microvm_machine_was_current(b)) {
        log_warn("microvm_waiting_ended", "berth=%d why=%s", b->index, why);
        b->retry_after = clock_mono_ms() + RETRY_MS;
    }
    microvm_on_gone(b, why);
}

static void on_message(void *arg, const struct guest_message *m)
{
    microvm_on_message(arg, m);
}

static void on_link_close(void *arg, const char *why)
{
    struct microvm_berth *b = arg;

    log_debug("control_closed", "berth=%d why=%s", b->index, why ? why : "");
    if (why && b->state != MICROVM_IDLE)
        microvm_fail(b, why);
    else if (b->vmm) /* it is ending, and has more to say about why */
        b->driver->ops->kill(b->vmm);
}

/* ---- spawning ---- */

static void new_mac(unsigned char mac[6])
{
    if (getrandom(mac, 6, 0) != 6)
        log_fatal("getrandom_failed", "error=%s", strerror(errno));
    mac[0] = (unsigned char)((mac[0] & 0xfc) | 0x02); /* locally administered, one receiver */
}

int microvm_machine_was_current(const struct microvm_berth *b)
{
    return b->made_from == b->snap && b->made_generation == b->snap->generation;
}

int microvm_machine_is_current(const struct microvm_berth *b)
{
    return b->vmm && microvm_machine_was_current(b);
}

int microvm_machine_fits(const struct microvm_berth *b)
{
    return microvm_machine_is_current(b) && b->made_for == b->profile && !b->loaded;
}

int microvm_machine_spawn(struct microvm_berth *b, char *why, size_t len)
{
    struct driver *d = b->driver;
    struct vmm_events events = {on_step, on_exit_, b};
    int cgroups[CGROUP_PLACES_MAX], count, fd;
    char mac[18];
    struct vmm_spec spec = {
        .kind = VMM_CLONE,
        .machine = b->snap->machine,
        .place = {.net_ns = net_pool_namespace(d->net, b->index), .mac = mac, .uid = d->uid_base + b->index},
        .folder = b->snap->snapshot.folder,
        .memory = b->snap->snapshot.memory,
        .set = b->snap->set_known ? &b->snap->set : NULL,
    };

    new_mac(b->mac);
    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", b->mac[0], b->mac[1], b->mac[2], b->mac[3],
             b->mac[4], b->mac[5]);
    b->has_cgroup = d->cgroups != NULL;
    count = microvm_cgroup(d, b->index, b->profile, &b->snap->machine, cgroups, why, len);
    if (count < 0)
        return -1;
    if (d->cgroups)
        cgroup_set_active(d->cgroups, b->index, b->active);
    spec.place.cgroups = cgroups;
    spec.place.cgroup_count = count;
    spec.place.tap = net_pool_tap(d->net, b->index, b->mac);
    if (spec.place.tap < 0)
        snprintf(why, len, "cannot open the guest's network: %s", strerror(errno));
    else
        b->vmm = d->ops->spawn(d->host, &spec, &events, why, len);
    while (count > 0)
        close(cgroups[--count]);
    if (spec.place.tap >= 0)
        close(spec.place.tap);
    if (!b->vmm)
        return -1;
    b->made_for = b->profile;
    b->made_from = b->snap;
    b->made_generation = b->snap->generation;
    fd = d->ops->control(b->vmm);
    if (fd >= 0)
        guest_link_open(&b->link, d->loop, fd);
    b->link.on_message = on_message;
    b->link.on_close = on_link_close;
    b->link.arg = b;
    (void)microvm_snapshot_verify(b->snap); /* its files were opened by name */
    return 0;
}

void microvm_machine_load(struct microvm_berth *b)
{
    ev_timer_stop(b->driver->loop, &b->prefetch);
    b->driver->ops->load(b->vmm);
}

void microvm_machine_restore(struct microvm_berth *b)
{
    struct driver *d = b->driver;
    struct guest_restore r = {.address = d->image.address,
                              .gateway = d->image.gateway,
                              .dns = d->image.gateway,
                              .prefix = d->image.prefix,
                              .fresh_renderer = strcmp(d->settings->vm_renderer, "fresh") == 0,
                              .entropy_size = ENTROPY};
    char line[GUEST_LINE_MAX + 1];
    struct timespec now;
    int len;

    memcpy(r.mac, b->mac, sizeof(r.mac));
    random_hex(r.id, sizeof(r.id));
    snprintf(r.hostname, sizeof(r.hostname), "berth-%.12s", r.id);
    if (getrandom(r.entropy, ENTROPY, 0) != ENTROPY)
        log_fatal("getrandom_failed", "error=%s", strerror(errno));
    clock_gettime(CLOCK_REALTIME, &now);
    r.time_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
    len = guest_restore_format(&r, line, sizeof(line));
    if (len > 0)
        guest_link_send(&b->link, line, (size_t)len);
    else
        microvm_fail(b, "image.json: address, prefix or gateway are none that a guest takes");
    explicit_bzero(&r, sizeof(r));
    explicit_bzero(line, sizeof(line));
}
