/* cgroup_find.c: see cgroup_find.h. */
#include "cgroup_find.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"

static const char *const names[CGROUP_CONTROLLERS] = {"memory", "pids", "cpu", "cpuacct", "io"};
static const char io_v1[] = "blkio";

const char *cgroup_controller_name(enum cgroup_controller c)
{
    return names[c];
}

unsigned cgroup_parse_controllers(const char *list)
{
    unsigned bits = 0;

    while (*list) {
        size_t len = strcspn(list, ", \n");

        for (int c = 0; c < CGROUP_CONTROLLERS; c++) {
            if (strlen(names[c]) == len && strncmp(list, names[c], len) == 0)
                bits |= 1U << c;
        }
        if (strlen(io_v1) == len && strncmp(list, io_v1, len) == 0)
            bits |= 1U << CGROUP_IO;
        list += len;
        list += strspn(list, ", \n");
    }
    return bits;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. -1 if it does not fit. */
static int unescape(const char *from, char *out, size_t outlen)
{
    size_t n = 0;

    for (; *from; from++) {
        if (n + 1 >= outlen)
            return -1;
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
            from[3] >= '0' && from[3] <= '7') {
            out[n++] = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
        } else {
            out[n++] = *from;
        }
    }
    out[n] = '\0';
    return 0;
}

/* One line: "36 35 0:31 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct". */
static int parse_mount(char *line, struct cgroup_place *p)
{
    char *fields[5], *save = NULL, *right = strstr(line, " - "), *type, *options;

    if (!right)
        return -1;
    *right = '\0';
    for (int i = 0; i < 5; i++) {
        fields[i] = strtok_r(i ? NULL : line, " ", &save);
        if (!fields[i])
            return -1;
    }
    type = strtok_r(right + 3, " ", &save);
    if (!type || !strtok_r(NULL, " ", &save))
        return -1;
    options = strtok_r(NULL, " ", &save);
    memset(p, 0, sizeof(*p));
    p->v2 = strcmp(type, "cgroup2") == 0;
    if (!p->v2 && strcmp(type, "cgroup") != 0)
        return -1;
    p->controllers = p->v2 || !options ? 0 : cgroup_parse_controllers(options);
    if (!p->v2 && !p->controllers)
        return -1;
    return unescape(fields[4], p->path, sizeof(p->path) - 96); /* leaves room for our names */
}

int cgroup_parse_mounts(const char *mountinfo, struct cgroup_place places[CGROUP_PLACES_MAX])
{
    unsigned seen = 0;
    int count = 0, have_v2 = 0;
    char *copy = mem_strdup(mountinfo), *save = NULL;

    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct cgroup_place p;

        /* Containers may show a hierarchy more than once: the first mount is as good as any. */
        if (parse_mount(line, &p) != 0 || (p.v2 ? have_v2 : (p.controllers & seen) != 0))
            continue;
        if (count == CGROUP_PLACES_MAX)
            break;
        have_v2 |= p.v2;
        seen |= p.controllers;
        places[count++] = p;
    }
    free(copy);
    return count;
}
