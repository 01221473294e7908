/* huge_pages.h: the host's pages of 2 MB, set aside by whoever runs it (/proc/sys/vm/nr_hugepages). */
#ifndef BERTH_HUGE_PAGES_H
#define BERTH_HUGE_PAGES_H
#include <stddef.h>

#include "../shared/errors.h"

#define HUGE_PAGES_FOLDER "/sys/kernel/mm/hugepages/hugepages-2048kB"
#define HUGE_PAGES_MB     2

/* Pages of the kind that folder describes that could be had now: free and not promised to others, or made on
 * demand as far as the host allows. -1: this kernel has none of the kind. */
long huge_pages_available(const char *folder);
/* Whether guests of this size can run in such pages: there are enough for a snapshot and one clone. 0, or -1
 * with a sentence. */
int huge_pages_check(const char *folder, int memory_mb, char *err, size_t errlen) MUST_USE;

#endif
