/* docker_body.h: what is sent to the Docker Engine to make a berth's two containers, and what is read from
 * its replies. Pure JSON work. */
#ifndef BERTH_DOCKER_BODY_H
#define BERTH_DOCKER_BODY_H
#include <stddef.h>

#include "../../shared/json.h"
#include "../profile.h"

#define DOCKER_LABEL_WORKER "berth.worker"
#define DOCKER_LABEL_BERTH  "berth.berth"

/* What this engine can limit. */
struct docker_abilities {
    int memory, swap, pids, cpu_quota, cpu_shares, seccomp;
    int disk_rates;
    int rootless;
};
void docker_body_read_info(const cJSON *info, struct docker_abilities *out);

struct docker_container {
    const char *image, *worker_id;
    int berth;
    long uid; /* user and group */
    const struct docker_abilities *can;
    const struct disk_devices *disks; /* whose rates profiles may limit */
};

/* The network's holder: a process that does nothing, in the namespace that the berth's browsers will have, as
 * long as its standard input is open. Caller frees. */
char *docker_body_holder(const struct docker_container *c);
/* A browser, in the holder's network. argv: of the browser, NULL-terminated; seccomp: the profile's JSON
 * text. Caller frees. */
char *docker_body_browser(const struct docker_container *c, const struct profile *p, const char *holder_id,
                          char *const *argv, const char *seccomp);

struct docker_state { /* of a container */
    int running, pid, exit_code, oom_killed;
};
/* From an inspection. 0, or -1 if it is none. */
int docker_body_read_state(const cJSON *inspected, struct docker_state *out);
/* How it ended: "exited with status 1", "was killed by signal 9 (Killed), out of memory". */
void docker_body_describe_end(const struct docker_state *s, char *out, size_t outlen);

#endif
