/* microvm_open.c: opening and closing a microVM driver: image, machine monitor, networks, cgroups. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../child.h"
#include "../host_lock.h"
#include "../huge_pages.h"
#include "berth_cgroup.h"
#include "microvm.h"
#include "process_probe.h"

static int open_network(struct driver *d, const struct driver_config *c, char *isolation, unsigned len,
                        char *err, unsigned errlen)
{
    struct net_pool_config config = {
        .loop = c->loop,
        .worker_id = c->worker_id,
        .berths = c->berths,
        .settings = c->settings,
        .cdp_port = d->image.cdp_port,
        .isolation = isolation,
        .isolation_len = len,
        .tap = &d->tap,
    };

    if (access("/dev/net/tun", R_OK | W_OK) != 0) {
        snprintf(err, errlen, "/dev/net/tun cannot be opened (%s): guests need it for their network",
                 strerror(errno));
        return -1;
    }
    if (c->berths == 0)
        return 0;
    d->net = net_pool_new(&config, err, errlen);
    return d->net ? 0 : -1;
}

/* Once what an earlier worker left running has given its pages back. */
static int check_huge_pages(struct driver *d, const struct profile_set *profiles, char *err, unsigned errlen)
{
    if (strcmp(d->settings->vm_huge_pages, "on") != 0)
        return 0;
    for (size_t i = 0; i < profiles->count; i++) {
        const struct profile *p = &profiles->items[i];

        if (strcmp(p->driver, d->ops->name) == 0 &&
            huge_pages_check(HUGE_PAGES_FOLDER, p->memory_mb, err, errlen) != 0)
            return -1;
    }
    d->huge_pages = 1;
    return 0;
}

/* As far as it is known before a template has booted. */
static void warn_of_ignored(const struct driver *d)
{
    if (d->settings->vm_tcg_mb != VMM_TCG_MB && strcmp(d->accel, "tcg") != 0)
        log_warn("setting_ignored", "setting=%s driver=%s accel=%s why=%s", "BERTH_VM_TCG_MB", d->ops->name,
                 d->accel, "it is TCG's alone");
}

static int open_parts(struct driver *d, const struct driver_config *c, char *isolation, unsigned len,
                      char *err, unsigned errlen)
{
    struct vmm_host_config host = {c->loop, c->settings, c->worker_id};

    if (!process_is_privileged()) {
        snprintf(err, errlen, "the %s driver needs root: guests' networks and users are made with its rights",
                 d->ops->name);
        return -1;
    }
    if (image_load(&d->image, c->settings->image, err, errlen) != 0)
        return -1;
    d->tap = (struct net_tap_config){d->image.gateway, d->image.address, d->image.prefix, d->image.cdp_port};
    d->lock = host_lock_take_worker(c->worker_id, err, errlen);
    if (d->lock < 0)
        return -1;
    d->cgroups =
        berth_cgroup_open(c, d->ops->name, isolation, len); /* ends what an earlier worker left running */
    d->host = d->ops->open(&host, err, errlen);
    if (!d->host)
        return -1;
    microvm_accel_init(d);
    warn_of_ignored(d);
    if (check_huge_pages(d, c->profiles, err, errlen) != 0)
        return -1;
    return open_network(d, c, isolation, len, err, errlen);
}

struct driver *microvm_open(const struct vmm_ops *ops, const struct driver_config *config,
                            const struct driver_events *events, char *isolation, unsigned isolation_len,
                            char *err, unsigned errlen)
{
    struct driver *d;

    if (!ev_is_default_loop(config->loop)) {
        snprintf(err, errlen, "the %s driver needs libev's default loop", ops->name);
        return NULL;
    }
    d = mem_alloc(sizeof(*d));
    d->loop = config->loop;
    d->events = *events;
    d->settings = config->settings;
    d->ops = ops;
    d->lock = -1;
    d->uid_base = config->settings->uid_base;
    d->count = config->berths;
    d->berths = mem_alloc((size_t)(d->count + 1) * sizeof(*d->berths)); /* there may be none */
    for (int i = 0; i < d->count; i++)
        microvm_berth_init(&d->berths[i], d, i);
    microvm_ready_init(d);
    microvm_prepare_init(d);
    *isolation = '\0';
    if (child_init_subreaper() != 0)
        log_warn("no_subreaper", "error=%s", strerror(errno));
    if (open_parts(d, config, isolation, isolation_len, err, errlen) != 0) {
        microvm_close(d);
        return NULL;
    }
    if (!*isolation)
        snprintf(isolation, isolation_len, "full");
    log_info("driver_open", "driver=%s berths=%d isolation=%s image=%s accel=%s", ops->name, d->count,
             isolation, d->image.key, d->accel);
    return d;
}

void microvm_close(struct driver *d)
{
    d->closing = 1;
    ev_timer_stop(d->loop, &d->ready_timer);
    ev_timer_stop(d->loop, &d->prepare_timer);
    microvm_build_end(d);
    for (int i = 0; i < d->count; i++)
        microvm_berth_end(&d->berths[i]);
    microvm_snapshots_free(d);
    if (d->net)
        net_pool_free(d->net);
    cgroup_tree_free(d->cgroups);
    if (d->host)
        d->ops->close(d->host);
    if (d->lock >= 0)
        close(d->lock);
    free(d->berths);
    free(d);
}
