/* jail_cgroup.h: the jailer's --cgroup, --cgroup-version and --parent-cgroup. */
#ifndef FAKE_JAIL_CGROUP_H
#define FAKE_JAIL_CGROUP_H
#include "args.h"
#include "text.h"

/* Checks the arguments, and moves this process into the parent if no --cgroup is given (version 2). 0, or -1.
 */
int jail_cgroup_check(const struct arg *args, const char *exec_name, struct fault *f);
/* Makes the cgroup, sets its files and moves this process into it. 0, or -1. */
int jail_cgroup_setup(const struct arg *args, const char *exec_name, struct fault *f);

#endif
