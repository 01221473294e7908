/* berth_cgroup.c: see berth_cgroup.h. */
#include "berth_cgroup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"
#include "../isolation.h"
#include "../profile.h"

#define END_LOOKS 200
#define LOOK_US   10000

/* ---- disks ---- */

static int is_limited(const struct profile *p, const char *driver)
{
    return strcmp(p->driver, driver) == 0 && (p->disk.mib_s > 0 || p->disk.iops > 0);
}

int berth_disks_wanted(const struct driver_config *c, const char *driver)
{
    for (size_t i = 0; c->profiles && i < c->profiles->count; i++) {
        if (is_limited(&c->profiles->items[i], driver))
            return 1;
    }
    return 0;
}

/* Those under all that a berth's processes read or write: programs, browsers, images, snapshots. */
static void find_disks(const struct driver_config *c, const char *driver, struct disk_devices *out)
{
    const char *const paths[] = {"/", "/usr", c->settings->browser, c->settings->state, c->settings->image};

    *out = (struct disk_devices){0};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (paths[i])
            disk_devices_add(out, paths[i]);
    }
    for (size_t i = 0; i < c->profiles->count; i++) {
        if (is_limited(&c->profiles->items[i], driver) && c->profiles->items[i].browser)
            disk_devices_add(out, c->profiles->items[i].browser);
    }
}

/* ---- opening, ending ---- */

struct cgroup_tree *berth_cgroup_open(const struct driver_config *c, const char *driver, char *isolation,
                                      unsigned len)
{
    static const struct {
        enum cgroup_controller controller;
        const char *word;
    } words[] = {
        {CGROUP_MEMORY, "no-memory-limit"}, {CGROUP_PIDS, "no-pids-limit"}, {CGROUP_CPU, "no-cpu-limit"}};
    char why[200];
    struct disk_devices disks;
    int limited = berth_disks_wanted(c, driver);
    struct cgroup_tree *t;

    if (limited)
        find_disks(c, driver, &disks);
    t = cgroup_tree_new(c->worker_id, limited ? &disks : NULL, why, sizeof(why));
    if (!t)
        isolation_reduced(isolation, len, "no-cgroup", why);
    if (limited && (!t || !cgroup_tree_disks(t)->count))
        isolation_reduced(isolation, len, "no-disk-limit", why);
    if (!t)
        return NULL;
    for (int i = 0; i < 3; i++) {
        if (!cgroup_tree_has(t, words[i].controller))
            isolation_reduced(isolation, len, words[i].word, why);
    }
    return t;
}

void berth_cgroup_end(struct cgroup_tree *t, int berth)
{
    for (int i = 0; cgroup_remove(t, berth) != 0; i++) {
        cgroup_kill(t, berth);
        if (i == END_LOOKS) {
            log_error("cgroup_not_empty", "berth=%d error=%s", berth, strerror(errno));
            return;
        }
        usleep(LOOK_US);
    }
}
