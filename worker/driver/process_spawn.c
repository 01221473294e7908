/* process_spawn.c: a berth's browser as a child: its cgroup, limits and jail, and the pipe that it is heard
 * by. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../profile.h"
#include "process.h"
#include "process_flags.h"

#define MAX_FILES 8192
#define NICE_IDLE 10
/* Under memory pressure browsers go before the worker; Chromium's renderers set 300 themselves. */
#define OOM_SCORE 100

void process_set_nice(const struct process_berth *b)
{
    setpriority(PRIO_USER, (id_t)(b->driver->uid_base + b->index), b->active ? 0 : NICE_IDLE);
}

static int make_cgroup(struct process_berth *b, int fds[CGROUP_PLACES_MAX], char *why, size_t len)
{
    const struct profile *p = b->profile;
    struct cgroup_limits limits = {
        .memory_mb = p->memory_mb, .pids = p->pids, .cpus = p->cpus, .disk = p->disk};
    int count;

    if (!b->driver->cgroups)
        return 0;
    b->has_cgroup = 1; /* even if half made: it has to be removed */
    if (cgroup_create(b->driver->cgroups, b->index, &limits, why, len) != 0)
        return -1;
    cgroup_set_active(b->driver->cgroups, b->index, b->active);
    count = cgroup_open(b->driver->cgroups, b->index, fds);
    if (count < 0)
        snprintf(why, len, "cannot open the cgroup: %s", strerror(errno));
    return count;
}

static void set_limits(const struct process_berth *b, struct child_spec *spec)
{
    struct cgroup_tree *t = b->driver->cgroups;

    spec->limits[spec->limit_count++] = (struct child_limit){RLIMIT_CORE, 0};
    spec->limits[spec->limit_count++] = (struct child_limit){RLIMIT_NOFILE, MAX_FILES};
    /* Counted over all of the user's processes, so only where that user is the berth's own. */
    if (b->driver->privileged && !(t && cgroup_tree_has(t, CGROUP_PIDS)))
        spec->limits[spec->limit_count++] = (struct child_limit){RLIMIT_NPROC, (rlim_t)b->profile->pids};
}

/* Runs the jail with its output in pipe_fd. 0, or -1 with why. */
static int start_child(struct process_berth *b, const char *browser, const int *cgroups, int cgroup_count,
                       int pipe_fd, void (*on_exit)(void *arg, int status), char *why, size_t len)
{
    struct driver *d = b->driver;
    struct child_spec spec = {.pid_ns = 1,
                              .user_ns = !d->privileged,
                              .net_ns = d->net ? net_pool_namespace(d->net, b->index) : -1,
                              .cgroups = cgroups,
                              .cgroup_count = cgroup_count,
                              .uid = d->privileged ? d->uid_base + b->index : -1,
                              .oom_score_adj = OOM_SCORE};
    char **flags = process_flags(browser, b->profile, d->net ? PROCESS_CDP_PORT : 0, d->own_sandbox);
    struct jail_args args = {browser, flags, b->profile->shm_mb, b->profile->tmp_mb};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC), result = -1;

    if (null < 0 || jail_prepare(d->jail, &args, &spec) != 0) {
        snprintf(why, len, "cannot prepare the jail: %s", strerror(errno));
        goto cleanup;
    }
    spec.fds[0] = null;
    spec.fds[1] = spec.fds[2] = pipe_fd;
    set_limits(b, &spec);
    b->child = child_start(d->loop, &spec, on_exit, b);
    if (b->child)
        result = 0;
    else
        snprintf(why, len, "cannot start a process: %s", strerror(errno));
    jail_release(&spec);
cleanup:
    if (null >= 0)
        close(null);
    free(flags);
    return result;
}

int process_spawn(struct process_berth *b, void (*on_exit)(void *arg, int status), char *why, size_t len)
{
    int cgroups[CGROUP_PLACES_MAX], count = 0, ends[2] = {-1, -1}, result = -1;
    char browser[256];

    if (process_find_browser(b->profile, browser, sizeof(browser), why, len) != 0)
        goto cleanup;
    count = make_cgroup(b, cgroups, why, len);
    if (count < 0)
        goto cleanup;
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        snprintf(why, len, "cannot make a pipe: %s", strerror(errno));
        goto cleanup;
    }
    if (start_child(b, browser, cgroups, count, ends[1], on_exit, why, len) != 0)
        goto cleanup;
    process_output_init(&b->output, b->driver->loop, ends[0], b->index);
    ends[0] = -1;
    if (!b->has_cgroup && b->driver->privileged)
        process_set_nice(b);
    result = 0;
cleanup:
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    while (count > 0)
        close(cgroups[--count]);
    return result;
}
