/* page_server_io.h: the part of a page server that is a thread: one userfaultfd and what its faults are
 * answered with. Allocates nothing and logs nothing. */
#ifndef BERTH_PAGE_SERVER_IO_H
#define BERTH_PAGE_SERVER_IO_H
#include <stdatomic.h>
#include <stdint.h>

#include "working_set.h"

#define PAGE_REGIONS_MAX 16
#define PAGE_BYTES       4096

/* Memory of the monitor's process, and where in the file its content is. */
struct page_region {
    uint64_t base, size, offset;
    uint64_t page; /* 4 KiB or 2 MiB */
};

/* Descriptors, mapping, ranges and bitmap belong to whoever runs it, and stay until it has ended. */
struct page_io {
    int uffd, connection;
    int stop;               /* readable: end */
    unsigned char *memory;  /* the file, mapped; only ever read by the kernel */
    unsigned char *zeros;   /* a huge page of them, where a region has huge pages */
    unsigned char *removed; /* a bit for each 4 KiB of the file: given back by the guest */
    struct page_region regions[PAGE_REGIONS_MAX];
    int region_count;
    struct working_set set;
    size_t range; /* how far the prefetch is */
    unsigned page;
    atomic_uint_fast64_t faults, prefetched, zeroed, fault_us;
};

/* NULL: all regions are within a file of this size, whole pages, none twice; else why not. */
const char *page_io_check(const struct page_io *io, uint64_t file_size);
/* Until it is told to stop or the monitor has ended: NULL; else why it cannot go on. */
const char *page_io_run(struct page_io *io);

#endif
