/* cgroup.h: a cgroup per berth, on version 2, version 1 or a mixture: each controller is used where the
 * machine has it. Directories are berth-<worker>/<berth> below the root of each hierarchy that is used. */
#ifndef BERTH_CGROUP_H
#define BERTH_CGROUP_H
#include <stddef.h>

#include "../shared/errors.h"
#include "cgroup_find.h"
#include "disk_limit.h"

struct cgroup_tree;

struct cgroup_limits {
    int memory_mb, pids;
    double cpus;
    struct disk_rates disk; /* of each of the tree's disks */
};

struct cgroup_usage { /* -1 where unknown */
    long memory_kb;
    double cpu_seconds;
    int processes;
};

/* Makes berth-<worker_id>, first killing and removing what an earlier worker left there. NULL if no limit can
 * be set here, with the reason in why; why is also filled when only some can ("no cpu controller").
 * disks: those whose rates berths may limit, of which it keeps the ones that can be limited here; NULL: none,
 * and the io controller stays untouched. */
struct cgroup_tree *cgroup_tree_new(const char *worker_id, const struct disk_devices *disks, char *why,
                                    size_t whylen);
int cgroup_tree_has(const struct cgroup_tree *t, enum cgroup_controller c);
const struct disk_devices *cgroup_tree_disks(const struct cgroup_tree *t);
void cgroup_tree_free(struct cgroup_tree *t); /* removes berth-<worker>; berths still there are logged */
/* Kills and removes a tree that no worker owns. */
void cgroup_remove_leftover(const char *worker_id);

/* A fresh cgroup for the berth with these limits. 0, or -1 with a message. */
int cgroup_create(struct cgroup_tree *t, int berth, const struct cgroup_limits *limits, char *err,
                  size_t errlen) MUST_USE;
/* Opens the files through which a process that has one thread joins (write "0"). The number of them, or -1
 * with errno. Caller closes. */
int cgroup_open(const struct cgroup_tree *t, int berth, int fds[CGROUP_PLACES_MAX]) MUST_USE;
/* 0: it is gone, and so was everything in it; -1: not yet (errno EBUSY) or not possible. */
int cgroup_remove(struct cgroup_tree *t, int berth) MUST_USE;
void cgroup_kill(struct cgroup_tree *t, int berth);
/* CPU share: 0 low, 1 normal. -1 if there is no cpu controller. */
int cgroup_set_active(struct cgroup_tree *t, int berth, int active);
int cgroup_usage(const struct cgroup_tree *t, int berth, struct cgroup_usage *out);
long cgroup_oom_kills(const struct cgroup_tree *t, int berth); /* 0 if unknown */

#endif
