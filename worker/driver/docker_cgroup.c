/* docker_cgroup.c: see docker_cgroup.h. Reading a few files takes microseconds, where asking the engine would
 * take a request of two seconds ("stats") or of 10 ms ("update"). */
#include "docker_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/buf.h"
#include "../../shared/kernel_file.h"
#include "../../shared/mem.h"

#define WEIGHT_IDLE   8
#define WEIGHT_ACTIVE 100

static int read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char chunk[4096];
    ssize_t n;

    if (fd < 0)
        return -1;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 && out->len < (1 << 20))
        buf_add(out, chunk, (size_t)n);
    close(fd);
    return n < 0 || !out->data ? -1 : 0;
}

/* ---- finding ---- */

/* One line "9:cpu,cpuacct:/docker/…" or "0::/system.slice/…"; fills what is still missing. */
static void parse_line(struct docker_cgroup *g, char *line, const struct cgroup_place *places, int count)
{
    char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
    unsigned controllers;

    if (!path || path[1] != '/' || strstr(path, "/.."))
        return;
    *path++ = '\0';
    if (!path[1])
        return; /* the root: of no container */
    list++;
    controllers = cgroup_parse_controllers(list);
    for (int i = 0; i < count; i++) {
        const struct cgroup_place *p = &places[i];
        unsigned here = p->v2 && !*list ? (1U << CGROUP_CONTROLLERS) - 1
                                        : (!p->v2 && *list ? p->controllers & controllers : 0);

        for (int c = 0; c < CGROUP_IO; c++) { /* the disks' rates are the engine's to set */
            if (!(here & (1U << c)) || (g->dirs[c][0] && p->v2)) /* version 1 where it has the controller */
                continue;
            g->v2[c] = p->v2;
            if (snprintf(g->dirs[c], sizeof(g->dirs[c]), "%s%s", p->path, path) >= (int)sizeof(g->dirs[c]))
                g->dirs[c][0] = '\0';
        }
    }
}

int docker_cgroup_parse(struct docker_cgroup *g, const char *cgroup, const char *mountinfo)
{
    struct cgroup_place places[CGROUP_PLACES_MAX];
    int count = cgroup_parse_mounts(mountinfo, places), found = 0;
    char *copy = mem_strdup(cgroup), *save = NULL;

    memset(g, 0, sizeof(*g));
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        parse_line(g, line, places, count);
    free(copy);
    for (int c = 0; c < CGROUP_CONTROLLERS; c++)
        found += g->dirs[c][0] != '\0';
    return found;
}

int docker_cgroup_find(struct docker_cgroup *g, int pid)
{
    struct buf cgroup = {0}, mounts = {0};
    char path[64];
    int found = 0;

    memset(g, 0, sizeof(*g));
    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    if (read_file(path, &cgroup) == 0 && read_file("/proc/self/mountinfo", &mounts) == 0)
        found = docker_cgroup_parse(g, cgroup.data, mounts.data);
    buf_cleanup(&cgroup);
    buf_cleanup(&mounts);
    return found;
}

/* ---- using ---- */

/* The number in a file of a controller's directory, or after "key " at the start of a line of it; -1: none.
 */
static long long number_in(const struct docker_cgroup *g, enum cgroup_controller c, const char *file,
                           const char *key)
{
    char path[DOCKER_CGROUP_DIR_MAX + 64];
    struct buf text = {0};
    long long n = -1;

    snprintf(path, sizeof(path), "%s/%s", g->dirs[c], file);
    if (g->dirs[c][0] && read_file(path, &text) == 0) {
        const char *line = text.data;

        while (key && line && (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ' ')) {
            line = strchr(line, '\n');
            line += line != NULL;
        }
        if (line && *line)
            n = atoll(key ? line + strlen(key) + 1 : line);
    }
    buf_cleanup(&text);
    return n;
}

int docker_cgroup_usage(const struct docker_cgroup *g, struct cgroup_usage *out)
{
    int v2 = g->v2[CGROUP_MEMORY];
    long long n = number_in(g, CGROUP_MEMORY, v2 ? "memory.current" : "memory.usage_in_bytes", NULL), cache;

    *out = (struct cgroup_usage){-1, -1, -1};
    if (n >= 0) {
        /* Cache that can be dropped at once is not what the browser needs. */
        cache = number_in(g, CGROUP_MEMORY, "memory.stat", v2 ? "inactive_file" : "total_inactive_file");
        out->memory_kb = (long)((n - (cache > 0 && cache < n ? cache : 0)) / 1024);
    }
    v2 = g->v2[CGROUP_CPUACCT];
    n = v2 ? number_in(g, CGROUP_CPUACCT, "cpu.stat", "usage_usec")
           : number_in(g, CGROUP_CPUACCT, "cpuacct.usage", NULL);
    if (n >= 0)
        out->cpu_seconds = (double)n / (v2 ? 1e6 : 1e9);
    out->processes = (int)number_in(g, CGROUP_PIDS, "pids.current", NULL);
    return out->processes > 0 || out->memory_kb >= 0 ? 0 : -1;
}

int docker_cgroup_set_active(const struct docker_cgroup *g, int active)
{
    int v2 = g->v2[CGROUP_CPU], weight = active ? WEIGHT_ACTIVE : WEIGHT_IDLE;
    char path[DOCKER_CGROUP_DIR_MAX + 64], text[16];

    if (!g->dirs[CGROUP_CPU][0]) {
        errno = ENOENT;
        return -1;
    }
    snprintf(path, sizeof(path), "%s/%s", g->dirs[CGROUP_CPU], v2 ? "cpu.weight" : "cpu.shares");
    snprintf(text, sizeof(text), "%d", v2 ? weight : weight * 1024 / 100);
    return kernel_file_write(path, text);
}

int docker_cgroup_is_gone(const struct docker_cgroup *g)
{
    for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
        if (g->dirs[c][0] && access(g->dirs[c], F_OK) == 0)
            return 0;
    }
    return 1;
}
