/* cgroup_find.h: which cgroup hierarchies this machine has mounted, and what for. Pure text work. */
#ifndef BERTH_CGROUP_FIND_H
#define BERTH_CGROUP_FIND_H

enum cgroup_controller {
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_IO,
    CGROUP_CONTROLLERS
};

#define CGROUP_PLACES_MAX 6
#define CGROUP_PATH_MAX   256

/* A hierarchy that is mounted, and the controllers that are used there (bits 1 << enum). */
struct cgroup_place {
    char path[CGROUP_PATH_MAX];
    int v2;
    unsigned controllers;
};

/* Finds them in the text of /proc/self/mountinfo: version 1 by mount options, version 2 without controllers
 * (the caller asks cgroup.controllers). Returns how many. */
int cgroup_parse_mounts(const char *mountinfo, struct cgroup_place places[CGROUP_PLACES_MAX]);
/* Controllers in a list such as "cpuset cpu memory pids" or "rw,cpu,cpuacct", as bits. */
unsigned cgroup_parse_controllers(const char *list);
/* As version 2 calls it; version 1's blkio is "io". */
const char *cgroup_controller_name(enum cgroup_controller c);

#endif
