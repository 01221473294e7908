/* cgroup.c: see cgroup.h. */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"

#define MOUNTINFO_MAX   (256 * 1024)
#define CPU_PERIOD_US   100000
#define WEIGHT_ACTIVE   100 /* version 2's cpu.weight; version 1's cpu.shares is 1024 at 100 */
#define WEIGHT_IDLE     8
#define LEFTOVER_TRIES  200
#define LEFTOVER_TRY_MS 10

struct cgroup_tree {
    char name[80]; /* berth-<worker> */
    struct cgroup_place places[CGROUP_PLACES_MAX];
    int count;
    struct disk_devices disks; /* that can be limited; the io controller is used where there are any */
};

/* ---- files ---- */

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

/* The file's text, NUL-terminated and cut to the buffer. Length, or -1. */
static ssize_t read_text(const char *path, char *out, size_t outlen)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = -1;

    if (fd < 0)
        return -1;
    while (len + 1 < outlen && (n = read(fd, out + len, outlen - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    out[len] = '\0';
    return n < 0 ? -1 : (ssize_t)len;
}

static void file_of(const struct cgroup_tree *t, const struct cgroup_place *p, int berth, const char *file,
                    char *out)
{
    snprintf(out, CGROUP_PATH_MAX * 2, "%s/%s/%d%s%s", p->path, t->name, berth, *file ? "/" : "", file);
}

static const struct cgroup_place *place_of(const struct cgroup_tree *t, enum cgroup_controller c)
{
    for (int i = 0; i < t->count; i++) {
        if (t->places[i].controllers & (1U << c))
            return &t->places[i];
    }
    return NULL;
}

/* ---- what the machine has ---- */

/* Turns controllers on for the children of dir; those that then are on, as bits. */
static unsigned enable_v2(const char *dir, unsigned wanted)
{
    char path[CGROUP_PATH_MAX * 2], text[256];

    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        snprintf(text, sizeof(text), "+%s", cgroup_controller_name(c));
        if ((wanted & (1U << c)) && write_text(path, text) != 0)
            log_debug("cgroup_controller_refused", "controller=%s path=%s error=%s",
                      cgroup_controller_name(c), path, strerror(errno));
    }
    if (read_text(path, text, sizeof(text)) < 0)
        return 0;
    return cgroup_parse_controllers(text) & wanted;
}

/* ---- leftovers ---- */

static void kill_procs(const char *dir)
{
    char path[CGROUP_PATH_MAX * 2], *text;

    snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
    if (write_text(path, "1") == 0)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    text = mem_alloc(65536);
    if (read_text(path, text, 65536) > 0) {
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            int pid = atoi(line);

            if (pid > 1 && pid != getpid())
                kill(pid, SIGKILL);
        }
    }
    free(text);
}

/* Kills and removes dir and the berths in it, waiting a bounded time for the dead to go. */
static void remove_leftover(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d))) {
        char path[CGROUP_PATH_MAX * 2];
        int tries = 0;

        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%.64s", dir, e->d_name);
        while (rmdir(path) != 0 && errno == EBUSY && tries++ < LEFTOVER_TRIES) {
            kill_procs(path);
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

    if (read_text("/proc/self/mountinfo", text, MOUNTINFO_MAX) > 0)
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
    const struct cgroup_place *p = place_of(t, CGROUP_IO);
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
    return place_of(t, c) != NULL;
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

/* ---- one berth ---- */

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
    char path[CGROUP_PATH_MAX * 2];

    for (size_t i = 0; i < count; i++) {
        const struct cgroup_place *p = place_of(t, knobs[i].controller);

        if (!p || p->v2 != knobs[i].v2)
            continue;
        file_of(t, p, berth, knobs[i].file, path);
        if (write_text(path, knobs[i].text) != 0 && knobs[i].required) {
            snprintf(err, errlen, "cannot set %s to %s: %s", path, knobs[i].text, strerror(errno));
            return -1;
        }
    }
    return 0;
}

static int set_disk_rates(const struct cgroup_tree *t, int berth, const struct disk_rates *rates, char *err,
                          size_t errlen)
{
    const struct cgroup_place *p = place_of(t, CGROUP_IO);
    char dir[CGROUP_PATH_MAX * 2];

    if (!p || (rates->mib_s <= 0 && rates->iops <= 0))
        return 0;
    file_of(t, p, berth, "", dir);
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
        char path[CGROUP_PATH_MAX * 2];

        file_of(t, &t->places[i], berth, "", path);
        if (mkdir(path, 0755) != 0) {
            snprintf(err, errlen, "cannot make the cgroup %s: %s", path, strerror(errno));
            return -1;
        }
    }
    if (set_knobs(t, berth, knobs, sizeof(knobs) / sizeof(knobs[0]), err, errlen) != 0)
        return -1;
    return set_disk_rates(t, berth, &limits->disk, err, errlen);
}

int cgroup_open(const struct cgroup_tree *t, int berth, int fds[CGROUP_PLACES_MAX])
{
    for (int i = 0; i < t->count; i++) {
        char path[CGROUP_PATH_MAX * 2];

        file_of(t, &t->places[i], berth, "cgroup.procs", path);
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
        char path[CGROUP_PATH_MAX * 2];

        file_of(t, &t->places[i], berth, "", path);
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
        char path[CGROUP_PATH_MAX * 2];

        file_of(t, &t->places[i], berth, "", path);
        kill_procs(path);
    }
}

int cgroup_set_active(struct cgroup_tree *t, int berth, int active)
{
    const struct cgroup_place *p = place_of(t, CGROUP_CPU);
    int weight = active ? WEIGHT_ACTIVE : WEIGHT_IDLE;
    char path[CGROUP_PATH_MAX * 2], text[16];

    if (!p)
        return -1;
    file_of(t, p, berth, p->v2 ? "cpu.weight" : "cpu.shares", path);
    snprintf(text, sizeof(text), "%d", p->v2 ? weight : weight * 1024 / 100);
    return write_text(path, text);
}

/* The number after "key " at the start of a line; -1 if there is none. */
static long long field(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return atoll(line + len + 1);
    }
    return -1;
}

static long long read_number(const struct cgroup_tree *t, const struct cgroup_place *p, int berth,
                             const char *file, const char *key)
{
    char path[CGROUP_PATH_MAX * 2], text[8192];

    file_of(t, p, berth, file, path);
    if (read_text(path, text, sizeof(text)) <= 0)
        return -1;
    return key ? field(text, key) : atoll(text);
}

int cgroup_usage(const struct cgroup_tree *t, int berth, struct cgroup_usage *out)
{
    const struct cgroup_place *p;
    char path[CGROUP_PATH_MAX * 2], text[8192];
    long long n, cache;

    *out = (struct cgroup_usage){-1, -1, -1};
    p = place_of(t, CGROUP_MEMORY);
    if (p && (n = read_number(t, p, berth, p->v2 ? "memory.current" : "memory.usage_in_bytes", NULL)) >= 0) {
        /* Cache that can be dropped at once is not what the browser needs. */
        cache = read_number(t, p, berth, "memory.stat", p->v2 ? "inactive_file" : "total_inactive_file");
        out->memory_kb = (long)((n - (cache > 0 && cache < n ? cache : 0)) / 1024);
    }
    p = place_of(t, CGROUP_CPUACCT);
    if (p && p->v2 && (n = read_number(t, p, berth, "cpu.stat", "usage_usec")) >= 0)
        out->cpu_seconds = (double)n / 1e6;
    else if (p && !p->v2 && (n = read_number(t, p, berth, "cpuacct.usage", NULL)) >= 0)
        out->cpu_seconds = (double)n / 1e9;
    file_of(t, &t->places[0], berth, "cgroup.procs", path);
    if (read_text(path, text, sizeof(text)) >= 0) {
        out->processes = 0;
        for (const char *c = text; *c; c++)
            out->processes += *c == '\n';
    }
    return out->processes > 0 ? 0 : -1;
}

long cgroup_oom_kills(const struct cgroup_tree *t, int berth)
{
    const struct cgroup_place *p = place_of(t, CGROUP_MEMORY);
    long long n =
        p ? read_number(t, p, berth, p->v2 ? "memory.events" : "memory.oom_control", "oom_kill") : -1;

    return n > 0 ? (long)n : 0;
}
