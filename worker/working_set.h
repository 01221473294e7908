/* working_set.h: which pages of a snapshot's memory a restored guest touches until it is ready: recorded from
 * one clone, mapped ahead of demand in those that wait. Kept beside the snapshot: lines "first count". */
#ifndef BERTH_WORKING_SET_H
#define BERTH_WORKING_SET_H
#include <stddef.h>
#include <sys/types.h>

#include "../shared/errors.h"

struct working_set_range {
    unsigned first, count; /* pages of the guest's memory */
};

struct working_set {
    struct working_set_range *ranges;
    size_t count;
    unsigned pages; /* in all ranges */
};

/* How far the mapping of one process is. */
struct working_set_walk {
    pid_t pid; /* of the process that maps the memory */
    unsigned long long base;
    size_t range;
    unsigned page; /* within the range */
};

/* The process at or below root that maps this memory privately, and where. 0, or -1 with errno (ESRCH). */
int working_set_find(pid_t root, int memory, struct working_set_walk *walk) MUST_USE;
/* Reads which of size_mb are mapped in that process now. 0, or -1 with errno. */
int working_set_record(const struct working_set_walk *walk, int size_mb, struct working_set *out) MUST_USE;
int working_set_save(const struct working_set *w, const char *path) MUST_USE; /* atomic; -1 with errno */
/* 0, or -1: none there, or not one for this size, or an empty one, as a crash of the host leaves it (errno
 * EINVAL). */
int working_set_load(struct working_set *w, const char *path, int size_mb) MUST_USE;
void working_set_cleanup(struct working_set *w);

/* Maps the next pages in the other process. 1: call again; 0: all are mapped; -1 with errno. */
int working_set_map(const struct working_set *w, struct working_set_walk *walk) MUST_USE;

#endif
