/* docker_cgroup.h: the cgroup that the Docker Engine made for a container: what it uses, its CPU share, and
 * whether it is gone. The engine decides where it is; this finds it by the container's first process. */
#ifndef BERTH_DOCKER_CGROUP_H
#define BERTH_DOCKER_CGROUP_H
#include "../cgroup.h"

#define DOCKER_CGROUP_DIR_MAX (CGROUP_PATH_MAX * 2)

struct docker_cgroup {
    char dirs[CGROUP_CONTROLLERS][DOCKER_CGROUP_DIR_MAX]; /* "" where there is none */
    int v2[CGROUP_CONTROLLERS];
};

/* From the text of /proc/<pid>/cgroup and of /proc/self/mountinfo. How many controllers have a directory. */
int docker_cgroup_parse(struct docker_cgroup *g, const char *cgroup, const char *mountinfo);
/* The same, reading both. 0: there is none that can be seen from here. */
int docker_cgroup_find(struct docker_cgroup *g, int pid);
int docker_cgroup_usage(const struct docker_cgroup *g, struct cgroup_usage *out); /* -1: nothing runs in it */
int docker_cgroup_set_active(const struct docker_cgroup *g, int active);          /* -1 with errno */
int docker_cgroup_is_gone(const struct docker_cgroup *g); /* also where it was never found */

#endif
