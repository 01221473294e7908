/* cgroup_internal.h: what the worker's tree (cgroup_tree.c) and the berths in it (cgroup.c, cgroup_usage.c)
 * share. */
#ifndef BERTH_CGROUP_INTERNAL_H
#define BERTH_CGROUP_INTERNAL_H
#include "cgroup.h"

#define CGROUP_FILE_MAX (CGROUP_PATH_MAX * 2)

struct cgroup_tree {
    char name[80]; /* berth-<worker> */
    struct cgroup_place places[CGROUP_PLACES_MAX];
    int count;
    struct disk_devices disks; /* that can be limited; the io controller is used where there are any */
};

/* Where this controller is used, or NULL. */
const struct cgroup_place *cgroup_place_of(const struct cgroup_tree *t, enum cgroup_controller c);
/* The path of a file of a berth's cgroup there; file "": of the cgroup itself. */
void cgroup_file_of(const struct cgroup_tree *t, const struct cgroup_place *p, int berth, const char *file,
                    char out[CGROUP_FILE_MAX]);
/* Kills what is in a cgroup, but not this process. */
void cgroup_kill_procs(const char *dir);

#endif
