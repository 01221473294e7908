/* page_server.h: the page faults of one machine, answered from its snapshot's memory: the far end of
 * Firecracker's `Uffd` memory backend. One machine each.
 *
 * The monitor connects to a socket of ours and sends one JSON array of its memory's regions with a
 * userfaultfd. From then on a thread of its own copies the working set ahead of demand, in its order, and
 * every page that is asked for; what the guest gave back (balloon) comes as zeros. The monitor is hostile:
 * nonsense from it ends the service of its own machine only. */
#ifndef BERTH_PAGE_SERVER_H
#define BERTH_PAGE_SERVER_H
#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/errors.h"
#include "working_set.h"

struct page_server;

struct page_server_config {
    struct ev_loop *loop;
    const char *path; /* of the socket, however long: in the monitor's jail; what is there is replaced */
    long uid;         /* the monitor's user: owns the socket, and nobody else is heard; -1: anybody */
    int memory;       /* the snapshot's memory file, open for reading; borrowed for the call */
    const struct working_set *set; /* what to copy ahead of demand, or NULL; copied */
    /* The machine hangs from now on: kill it. At most once, from the loop; may free the server. That the
     * monitor has ended is no failure: whoever started it knows. */
    void (*on_failure)(void *arg, const char *why);
    void *arg;
};

struct page_server_stats {
    int connected;                      /* the regions have come */
    uint64_t faults, prefetched, zeros; /* pages; faults: copied because the guest asked, without zeros */
    double fault_us;                    /* spent on all faults */
};

/* Listens when it returns. NULL with errno. */
struct page_server *page_server_new(const struct page_server_config *config) MUST_USE;
/* Ends the thread and removes the socket. A machine that still lives hangs at its next fault: kill it first.
 * NULL is allowed. */
void page_server_free(struct page_server *s);
void page_server_stats(const struct page_server *s, struct page_server_stats *out);

#endif
