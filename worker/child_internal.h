/* child_internal.h: what child.c (children and their end), child_exec.c (what a child does before its
 * program) and child_run.c (programs run to their end) share. */
#ifndef BERTH_CHILD_INTERNAL_H
#define BERTH_CHILD_INTERNAL_H
#include "child.h"

/* Its process id, with a descriptor of it in *pidfd, which the caller closes; -1 with errno. */
pid_t child_spawn(const struct child_spec *spec, int *pidfd) MUST_USE;
/* In the child. uid, gid: the worker's; worker_pidfd: readable once that has ended (with pid_ns). A step that
 * fails is told on the child's descriptor 2 and ends it with status 127. */
void child_exec(const struct child_spec *spec, uid_t uid, gid_t gid, int worker_pidfd)
    __attribute__((noreturn));
/* 0 once it has ended, -1 after limit_ms. Leaves it to be reaped. */
int child_wait_end(int pidfd, int limit_ms);

#endif
