/* berth_cgroup.h: what drivers that run processes of their own do with cgroups alike. */
#ifndef BERTH_BERTH_CGROUP_H
#define BERTH_BERTH_CGROUP_H
#include "../cgroup.h"
#include "../driver.h"

/* The worker's cgroups; NULL where there are none. What is missing goes into the isolation record. driver:
 * its name. */
struct cgroup_tree *berth_cgroup_open(const struct driver_config *c, const char *driver, char *isolation,
                                      unsigned len);
/* 1: a profile of this driver limits the rates of disks. */
int berth_disks_wanted(const struct driver_config *c, const char *driver);
/* Kills and removes a berth's, for closing: blocks, up to two seconds. */
void berth_cgroup_end(struct cgroup_tree *t, int berth);

#endif
