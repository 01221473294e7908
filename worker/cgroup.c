/* cgroup.c: one berth's cgroup: see cgroup.h. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/kernel_file.h"
#include "../shared/mem.h"
#include "cgroup_internal.h"

#define CPU_PERIOD_US 100000
#define PROCS_MAX     65536
#define WEIGHT_ACTIVE 100 /* version 2's cpu.weight; version 1's cpu.shares is 1024 at 100 */
#define WEIGHT_IDLE   8

void cgroup_file_of(const struct cgroup_tree *t, const struct cgroup_place *p, int berth, const char *file,
                    char out[CGROUP_FILE_MAX])
{
    snprintf(out, CGROUP_FILE_MAX, "%s/%s/%d%s%s", p->path, t->name, berth, *file ? "/" : "", file);
}

const struct cgroup_place *cgroup_place_of(const struct cgroup_tree *t, enum cgroup_controller c)
{
    for (int i = 0; i < t->count; i++) {
        if (t->places[i].controllers & (1U << c))
            return &t->places[i];
    }
    return NULL;
}

void cgroup_kill_procs(const char *dir)
{
    char path[CGROUP_FILE_MAX], *text;

    snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
    if (kernel_file_write(path, "1") == 0)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    text = mem_alloc(PROCS_MAX);
    if (kernel_file_read(path, text, PROCS_MAX) > 0) {
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            int pid = atoi(line);

            if (pid > 1 && pid != getpid())
                kill(pid, SIGKILL);
        }
    }
    free(text);
}

/* ---- limits ---- */

struct knob {
    enum cgroup_controller controller;
    int v2;
    const char *file;
    int required;
    char text[48];
};

static int set_knobs(const struct cgroup_tree *t, int berth, const struct knob *knobs, size_t count,
                     char *err, size_t errlen)
{
    char path[CGROUP_FILE_MAX];

    for (size_t i = 0; i < count; i++) {
        const struct cgroup_place *p = cgroup_place_of(t, knobs[i].controller);

        if (!p || p->v2 != knobs[i].v2)
            continue;
        cgroup_file_of(t, p, berth, knobs[i].file, path);
        if (kernel_file_write(path, knobs[i].text) != 0 && knobs[i].required) {
            snprintf(err, errlen, "cannot set %s to %s: %s", path, knobs[i].text, strerror(errno));
            return -1;
        }
    }
    return 0;
}

static int set_disk_rates(const struct cgroup_tree *t, int berth, const struct disk_rates *rates, char *err,
                          size_t errlen)
{
    const struct cgroup_place *p = cgroup_place_of(t, CGROUP_IO);
    char dir[CGROUP_FILE_MAX];

    if (!p || (rates->mib_s <= 0 && rates->iops <= 0))
        return 0;
    cgroup_file_of(t, p, berth, "", dir);
    for (int i = 0; i < t->disks.count; i++) {
        const struct disk_device *d = &t->disks.items[i];

        if (disk_limit_set(dir, p->v2, d, rates) != 0) {
            snprintf(err, errlen, "cannot limit the rates of %s in %s: %s", d->node, dir, strerror(errno));
            return -1;
        }
    }
    return 0;
}

int cgroup_create(struct cgroup_tree *t, int berth, const struct cgroup_limits *limits, char *err,
                  size_t errlen)
{
    long long bytes = (long long)limits->memory_mb * 1024 * 1024;
    long quota = (long)(limits->cpus * CPU_PERIOD_US);
    /* Swap is not counted on machines without that accounting: then memory alone is limited. */
    struct knob knobs[] = {
        {CGROUP_MEMORY, 1, "memory.max", 1, ""},
        {CGROUP_MEMORY, 1, "memory.swap.max", 0, "0"},
        {CGROUP_MEMORY, 0, "memory.limit_in_bytes", 1, ""},
        {CGROUP_MEMORY, 0, "memory.memsw.limit_in_bytes", 0, ""},
        {CGROUP_MEMORY, 0, "memory.swappiness", 0, "0"},
        {CGROUP_PIDS, 1, "pids.max", 1, ""},
        {CGROUP_PIDS, 0, "pids.max", 1, ""},
        {CGROUP_CPU, 1, "cpu.max", 0, ""},
        {CGROUP_CPU, 0, "cpu.cfs_quota_us", 0, ""},
    };

    for (size_t i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
        struct knob *k = &knobs[i];

        if (k->controller == CGROUP_PIDS)
            snprintf(k->text, sizeof(k->text), "%d", limits->pids);
        else if (k->controller == CGROUP_CPU)
            snprintf(k->text, sizeof(k->text), k->v2 ? "%ld 100000" : "%ld", quota);
        else if (!*k->text)
            snprintf(k->text, sizeof(k->text), "%lld", bytes);
    }
    for (int i = 0; i < t->count; i++) {
        char path[CGROUP_FILE_MAX];

        cgroup_file_of(t, &t->places[i], berth, "", path);
        if (mkdir(path, 0755) != 0) {
            snprintf(err, errlen, "cannot make the cgroup %s: %s", path, strerror(errno));
            return -1;
        }
    }
    if (set_knobs(t, berth, knobs, sizeof(knobs) / sizeof(knobs[0]), err, errlen) != 0)
        return -1;
    return set_disk_rates(t, berth, &limits->disk, err, errlen);
}

/* ---- what is in it ---- */

int cgroup_open(const struct cgroup_tree *t, int berth, int fds[CGROUP_PLACES_MAX])
{
    for (int i = 0; i < t->count; i++) {
        char path[CGROUP_FILE_MAX];

        /* Version 1: a thread that moves itself alone takes no lock of the whole machine's, for which it
         * would wait through a grace period of RCU, 5 to 13 ms (cgroup_procs_write_start in the kernel). */
        cgroup_file_of(t, &t->places[i], berth, t->places[i].v2 ? "cgroup.procs" : "tasks", path);
        fds[i] = open(path, O_WRONLY | O_CLOEXEC);
        if (fds[i] < 0) {
            int saved = errno;

            while (i-- > 0)
                close(fds[i]);
            errno = saved;
            return -1;
        }
    }
    return t->count;
}

int cgroup_remove(struct cgroup_tree *t, int berth)
{
    int result = 0, saved = 0;

    for (int i = 0; i < t->count; i++) {
        char path[CGROUP_FILE_MAX];

        cgroup_file_of(t, &t->places[i], berth, "", path);
        if (rmdir(path) != 0 && errno != ENOENT) {
            result = -1;
            saved = errno;
        }
    }
    errno = saved;
    return result;
}

void cgroup_kill(struct cgroup_tree *t, int berth)
{
    for (int i = 0; i < t->count; i++) {
        char path[CGROUP_FILE_MAX];

        cgroup_file_of(t, &t->places[i], berth, "", path);
        cgroup_kill_procs(path);
    }
}

int cgroup_set_active(struct cgroup_tree *t, int berth, int active)
{
    const struct cgroup_place *p = cgroup_place_of(t, CGROUP_CPU);
    int weight = active ? WEIGHT_ACTIVE : WEIGHT_IDLE;
    char path[CGROUP_FILE_MAX], text[16];

    if (!p)
        return -1;
    cgroup_file_of(t, p, berth, p->v2 ? "cpu.weight" : "cpu.shares", path);
    snprintf(text, sizeof(text), "%d", p->v2 ? weight : weight * 1024 / 100);
    return kernel_file_write(path, text);
}
