/* cgroup_usage.c: what a berth uses, as its cgroup counts it. */
#include <stdlib.h>
#include <string.h>

#include "../shared/kernel_file.h"
#include "cgroup_internal.h"

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
    char path[CGROUP_FILE_MAX], text[8192];

    cgroup_file_of(t, p, berth, file, path);
    if (kernel_file_read(path, text, sizeof(text)) <= 0)
        return -1;
    return key ? field(text, key) : atoll(text);
}

int cgroup_usage(const struct cgroup_tree *t, int berth, struct cgroup_usage *out)
{
    const struct cgroup_place *p;
    char path[CGROUP_FILE_MAX], text[8192];
    long long n, cache;

    *out = (struct cgroup_usage){-1, -1, -1};
    p = cgroup_place_of(t, CGROUP_MEMORY);
    if (p && (n = read_number(t, p, berth, p->v2 ? "memory.current" : "memory.usage_in_bytes", NULL)) >= 0) {
        /* Cache that can be dropped at once is not what the browser needs. */
        cache = read_number(t, p, berth, "memory.stat", p->v2 ? "inactive_file" : "total_inactive_file");
        out->memory_kb = (long)((n - (cache > 0 && cache < n ? cache : 0)) / 1024);
    }
    p = cgroup_place_of(t, CGROUP_CPUACCT);
    if (p && p->v2 && (n = read_number(t, p, berth, "cpu.stat", "usage_usec")) >= 0)
        out->cpu_seconds = (double)n / 1e6;
    else if (p && !p->v2 && (n = read_number(t, p, berth, "cpuacct.usage", NULL)) >= 0)
        out->cpu_seconds = (double)n / 1e9;
    cgroup_file_of(t, &t->places[0], berth, "cgroup.procs", path);
    if (kernel_file_read(path, text, sizeof(text)) >= 0) {
        out->processes = 0;
        for (const char *c = text; *c; c++)
            out->processes += *c == '\n';
    }
    return out->processes > 0 ? 0 : -1;
}

long cgroup_oom_kills(const struct cgroup_tree *t, int berth)
{
    const struct cgroup_place *p = cgroup_place_of(t, CGROUP_MEMORY);
    long long n =
        p ? read_number(t, p, berth, p->v2 ? "memory.events" : "memory.oom_control", "oom_kill") : -1;

    return n > 0 ? (long)n : 0;
}
