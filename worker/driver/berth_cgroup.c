/* berth_cgroup.c: see berth_cgroup.h. */
#include "berth_cgroup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"
#include "../isolation.h"

#define END_LOOKS 200
#define LOOK_US   10000

struct cgroup_tree *berth_cgroup_open(const char *worker_id, char *isolation, unsigned len)
{
    static const struct {
        enum cgroup_controller controller;
        const char *word;
    } words[] = {
        {CGROUP_MEMORY, "no-memory-limit"}, {CGROUP_PIDS, "no-pids-limit"}, {CGROUP_CPU, "no-cpu-limit"}};
    char why[200];
    struct cgroup_tree *t = cgroup_tree_new(worker_id, why, sizeof(why));

    if (!t) {
        isolation_reduced(isolation, len, "no-cgroup", why);
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        if (!cgroup_tree_has(t, words[i].controller))
            isolation_reduced(isolation, len, words[i].word, why);
    }
    return t;
}

void berth_cgroup_end(struct cgroup_tree *t, int berth)
{
    for (int i = 0; cgroup_remove(t, berth) != 0; i++) {
        cgroup_kill(t, berth);
        if (i == END_LOOKS) {
            log_error("cgroup_not_empty", "berth=%d error=%s", berth, strerror(errno));
            return;
        }
        usleep(LOOK_US);
    }
}
