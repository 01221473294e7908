/* process_probe.h: what of the jail this machine and user can have, found by trying it. */
#ifndef BERTH_PROCESS_PROBE_H
#define BERTH_PROCESS_PROBE_H
#include <stddef.h>

#include "../jail.h"

/* 1 if this process may make network namespaces and firewall rules and change users (root, or as good). */
int process_is_privileged(void);
/* Runs a program in a jail as a berth would. own_sandbox: whether Chromium can have its own sandbox in there.
 * 0, or -1 with a sentence: no jail is possible. uid as in child_spec; user_ns: without root. */
int process_probe_jail(struct jail *jail, long uid, int user_ns, int *own_sandbox, char *err, size_t errlen);

#endif
