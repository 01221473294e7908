/* process_open.c: opening and closing the process driver: what this machine and user allow, networks,
 * cgroups, the jail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"
#include "../../shared/mem.h"
#include "../host_lock.h"
#include "../isolation.h"
#include "berth_cgroup.h"
#include "process.h"
#include "process_flags.h"
#include "process_probe.h"

/* Text of the jail's resolv.conf: the relay inside the namespace, or what the host has. */
static char *resolv_conf(int own_network)
{
    char text[4096];
    size_t n = 0;
    FILE *f;

    if (own_network)
        return mem_strdup("nameserver 127.0.0.1\n");
    f = fopen("/etc/resolv.conf", "re");
    if (f) {
        n = fread(text, 1, sizeof(text), f);
        fclose(f);
    }
    return mem_strndup(text, n);
}

static int open_jail(struct driver *d, char *isolation, unsigned len, char *err, unsigned errlen)
{
    char *resolv = resolv_conf(d->privileged);

    d->jail = jail_new(resolv, err, errlen);
    free(resolv);
    if (!d->jail)
        return -1;
    if (process_probe_jail(d->jail, d->privileged ? d->uid_base : -1, !d->privileged, &d->own_sandbox, err,
                           errlen) != 0)
        return -1;
    if (!d->own_sandbox)
        isolation_reduced(
            isolation, len, "no-chromium-sandbox",
            "user namespaces cannot be nested here; browsers run with --no-sandbox inside their jails");
    return 0;
}

static int open_network(struct driver *d, const struct driver_config *c, char *isolation, unsigned len,
                        char *err, unsigned errlen)
{
    struct net_pool_config config = {
        .loop = c->loop,
        .worker_id = c->worker_id,
        .berths = c->berths,
        .settings = c->settings,
        .cdp_port = PROCESS_CDP_PORT,
        .isolation = isolation,
        .isolation_len = len,
    };

    if (!d->privileged) {
        isolation_reduced(
            isolation, len, "no-network-namespace",
            "not root: browsers use the host's network, with no egress rules, and local users can reach "
            "their debugging ports");
        return 0;
    }
    d->net = net_pool_new(&config, err, errlen);
    return d->net ? 0 : -1;
}

struct driver *process_open(const struct driver_config *config, const struct driver_events *events,
                            char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    struct driver *d;

    if (!ev_is_default_loop(config->loop)) {
        snprintf(err, errlen, "the process driver needs libev's default loop");
        return NULL;
    }
    d = mem_alloc(sizeof(*d));
    d->loop = config->loop;
    d->events = *events;
    d->lock = -1;
    d->privileged = process_is_privileged();
    d->uid_base = config->settings->uid_base;
    d->count = config->berths;
    d->berths = mem_alloc((size_t)config->berths * sizeof(*d->berths));
    for (int i = 0; i < d->count; i++)
        process_berth_init(&d->berths[i], d, i);
    *isolation = '\0';
    if (child_init_subreaper() != 0)
        log_warn("no_subreaper", "error=%s", strerror(errno));
    d->lock = host_lock_take_worker(config->worker_id, err, errlen);
    if (d->lock < 0 || open_jail(d, isolation, isolation_len, err, errlen) != 0)
        goto fail;
    d->cgroups = berth_cgroup_open(config, "process", isolation, isolation_len);
    if (open_network(d, config, isolation, isolation_len, err, errlen) != 0)
        goto fail;
    if (!*isolation)
        snprintf(isolation, isolation_len, "full");
    log_info("driver_open", "driver=process berths=%d isolation=%s", d->count, isolation);
    return d;
fail:
    process_close(d);
    return NULL;
}

void process_close(struct driver *d)
{
    for (int i = 0; i < d->count; i++)
        process_berth_end(&d->berths[i]);
    if (d->net)
        net_pool_free(d->net);
    cgroup_tree_free(d->cgroups);
    jail_free(d->jail);
    if (d->lock >= 0)
        close(d->lock);
    free(d->berths);
    free(d);
}
