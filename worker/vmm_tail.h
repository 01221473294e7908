/* vmm_tail.h: reads what a machine monitor and its guest's console print; keeps the last line for the message
 * of a failure, logs the rest at debug level. Bounded, whatever is printed. */
#ifndef BERTH_VMM_TAIL_H
#define BERTH_VMM_TAIL_H
#include <ev.h>

#define VMM_TAIL_LINE_MAX 200

struct vmm_tail {
    ev_io io;
    struct ev_loop *loop;
    char line[VMM_TAIL_LINE_MAX]; /* being read; what is longer is cut */
    char last[VMM_TAIL_LINE_MAX]; /* the last whole one that was not empty */
    int len;
    const char *const *dull; /* parts of lines that tell no reason, so do not count as last; NULL at the end.
                                Set after vmm_tail_init, or NULL */
};

/* fd: the reading end of a pipe, non-blocking; the tail's until vmm_tail_cleanup. */
void vmm_tail_init(struct vmm_tail *t, struct ev_loop *loop, int fd);
void vmm_tail_drain(struct vmm_tail *t);   /* reads what is there */
void vmm_tail_cleanup(struct vmm_tail *t); /* may be repeated; last stays */

#endif
