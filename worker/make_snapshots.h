/* make_snapshots.h: berth-worker --make-snapshots: builds what the worker's profiles need ahead of its first
 * start, and ends. Needs no Redis; for a machine's image. */
#ifndef BERTH_MAKE_SNAPSHOTS_H
#define BERTH_MAKE_SNAPSHOTS_H
#include <ev.h>

#include "../shared/settings.h"
#include "profile.h"

/* Runs the loop until all are made, a line on standard output each. The exit status: 0, or 1 with the reason
 * on standard error. */
int make_snapshots(struct ev_loop *loop, const struct settings *s, const struct profile_set *profiles,
                   const char *worker_id);

#endif
