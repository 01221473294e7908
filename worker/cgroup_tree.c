/* cgroup_tree.c: the worker's own cgroups, in which those of its berths are: made, taken away, and removed
 * where a worker that died left them. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/kernel_file.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "cgroup_internal.h"

#define MOUNTINFO_MAX   (256 * 1024)
#define LEFTOVER_TRIES  200
#define LEFTOVER_TRY_MS 10

/* ---- what the machine has ---- */

/* Turns controllers on for the children of dir; those that then are on, as bits. */
static unsigned enable_v2(const char *dir, unsigned wanted)
{
    char path[CGROUP_FILE_MAX], text[256];

    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        snprintf(text, sizeof(text), "+%s", cgroup_controller_name(c));
        if ((wanted & (1U << c)) && kernel_file_write(path, text) != 0)
            log_debug("cgroup_controller_refused", "controller=%s path=%s error=%s",
                      cgroup_controller_name(c), path, strerror(errno));
    }
    if (kernel_file_read(path, text, sizeof(text)) < 0)
        return 0;
    return cgroup_parse_controllers(text) & wanted;
}

/* ---- leftovers ---- */

/* Kills and removes dir and the berths in it, waiting a bounded time for the dead to go. */
static void remove_leftover(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d))) {
        char path[CGROUP_FILE_MAX];
        int tries = 0;

        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%.64s", dir, e->d_name);
        while (rmdir(path) != 0 && errno == EBUSY && tries++ < LEFTOVER_TRIES) {
            cgroup_kill_procs(path);
            poll(NULL, 0, LEFTOVER_TRY_MS);
        }
    }
    closedir(d);
    if (rmdir(dir) != 0)
        log_warn("cgroup_left_over", "path=%s error=%s", dir, strerror(errno));
    else
        log_info("cgroup_leftover_removed", "path=%s", dir);
}

static int find_places(struct cgroup_place places[CGROUP_PLACES_MAX])
{
    char *text = mem_alloc(MOUNTINFO_MAX);
    int count = 0;

    if (kernel_file_read("/proc/self/mountinfo", text, MOUNTINFO_MAX) > 0)
        count = cgroup_parse_mounts(text, places);
    free(text);
    return count;
}

void cgroup_remove_leftover(const char *worker_id)
{
    struct cgroup_place places[CGROUP_PLACES_MAX];
    int count = find_places(places);

    for (int i = 0; i < count; i++) {
        char dir[CGROUP_PATH_MAX];

        snprintf(dir, sizeof(dir), "%.160s/berth-%.64s", places[i].path, worker_id);
        remove_leftover(dir);
    }
}

/* ---- the worker's tree ---- */

static void add_why(char *why, size_t whylen, const char *text)
{
    size_t len = strlen(why);

    snprintf(why + len, whylen - len, "%s%s", len ? ", " : "", text);
}

/* Makes the place's directory and keeps the controllers that are wanted and work there. 0 if any does. */
static int open_place(const struct cgroup_tree *t, struct cgroup_place *p, unsigned wanted)
{
    char dir[CGROUP_PATH_MAX];

    snprintf(dir, sizeof(dir), "%.160s/%.79s", p->path, t->name);
    if (p->v2)
        p->controllers = enable_v2(p->path, wanted & ~(1U << CGROUP_CPUACCT));
    else
        p->controllers &= wanted;
    if (!p->controllers)
        return -1;
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        log_debug("cgroup_unusable", "path=%s error=%s", dir, strerror(errno));
        return -1;
    }
    if (p->v2)
        p->controllers = enable_v2(dir, wanted & ~(1U << CGROUP_CPUACCT));
    if (!p->controllers)
        rmdir(dir);
    /* Version 2 accounts for CPU time in every cgroup. */
    else if (p->v2)
        p->controllers |= 1U << CGROUP_CPUACCT;
    return p->controllers ? 0 : -1;
}

/* Keeps the disks whose rates can be set: tried on the worker's own cgroup, by taking away what is not there.
 * Adds to why if there are none. */
static void keep_disks(struct cgroup_tree *t, const struct disk_devices *disks, char *why, size_t whylen)
{
    const struct cgroup_place *p = cgroup_place_of(t, CGROUP_IO);
    static const struct disk_rates none = {0, 0};
    char dir[CGROUP_PATH_MAX];

    if (!disks->count || !p) {
        add_why(why, whylen, disks->count ? "no io controller" : "no disk under the files that browsers use");
        return;
    }
    snprintf(dir, sizeof(dir), "%.160s/%.79s", p->path, t->name);
    for (int i = 0; i < disks->count; i++) {
        const struct disk_device *d = &disks->items[i];

        if (disk_limit_has_files(dir, p->v2) && disk_limit_set(dir, p->v2, d, &none) == 0) {
            t->disks.items[t->disks.count++] = *d;
            log_info("disk_limited", "device=%u:%u node=%s cgroup=v%d", d->major, d->minor, d->node,
                     p->v2 ? 2 : 1);
        } else {
            log_warn("disk_not_limited", "device=%u:%u node=%s error=%s", d->major, d->minor, d->node,
                     strerror(errno));
        }
    }
    if (!t->disks.count)
        add_why(why, whylen, "the kernel does not limit the rates of these disks");
}

struct cgroup_tree *cgroup_tree_new(const char *worker_id, const struct disk_devices *disks, char *why,
                                    size_t whylen)
{
    struct cgroup_tree *t = mem_alloc(sizeof(*t));
    struct cgroup_place places[CGROUP_PLACES_MAX];
    unsigned seen = 0, wanted = (1U << CGROUP_IO) - 1;
    int count;

    if (disks && disks->count)
        wanted |= 1U << CGROUP_IO;
    snprintf(t->name, sizeof(t->name), "berth-%.64s", worker_id);
    snprintf(why, whylen, "%s", "");
    cgroup_remove_leftover(worker_id);
    count = find_places(places);
    for (int i = 0; i < count; i++) {
        if (open_place(t, &places[i], wanted) == 0) {
            t->places[t->count++] = places[i];
            seen |= places[i].controllers;
        }
    }
    if (!t->count) {
        snprintf(why, whylen, "%s", count ? "no cgroup may be made here" : "no cgroup hierarchy is mounted");
        free(t);
        return NULL;
    }
    for (int c = 0; c < CGROUP_CPUACCT; c++) {
        char text[40];

        snprintf(text, sizeof(text), "no %s controller", cgroup_controller_name(c));
        if (!(seen & (1U << c)))
            add_why(why, whylen, text);
    }
    if (disks)
        keep_disks(t, disks, why, whylen);
    return t;
}

int cgroup_tree_has(const struct cgroup_tree *t, enum cgroup_controller c)
{
    return cgroup_place_of(t, c) != NULL;
}

const struct disk_devices *cgroup_tree_disks(const struct cgroup_tree *t)
{
    return &t->disks;
}

void cgroup_tree_free(struct cgroup_tree *t)
{
    for (int i = 0; t && i < t->count; i++) {
        char dir[CGROUP_PATH_MAX];

        snprintf(dir, sizeof(dir), "%.160s/%.79s", t->places[i].path, t->name);
        if (rmdir(dir) != 0 && errno != ENOENT)
            log_error("cgroup_not_removed", "path=%s error=%s", dir, strerror(errno));
    }
    free(t);
}
