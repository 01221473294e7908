/* jail_filter.h: the system call filter of a jail. */
#ifndef BERTH_JAIL_FILTER_H
#define BERTH_JAIL_FILTER_H
#include <stddef.h>

#include "../shared/buf.h"

/* Appends a classic BPF program for bubblewrap's --seccomp; nothing on machines whose system calls it does
 * not know. */
void jail_filter_build(struct buf *out);

#endif
