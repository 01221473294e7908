/* berth_cgroup.h: what drivers that run processes of their own do with cgroups alike. */
#ifndef BERTH_BERTH_CGROUP_H
#define BERTH_BERTH_CGROUP_H
#include "../cgroup.h"

/* The worker's cgroups; NULL where there are none. What is missing goes into the isolation record. */
struct cgroup_tree *berth_cgroup_open(const char *worker_id, char *isolation, unsigned len);
/* Kills and removes a berth's, for closing: blocks, up to two seconds. */
void berth_cgroup_end(struct cgroup_tree *t, int berth);

#endif
