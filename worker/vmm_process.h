/* vmm_process.h: what every monitor (vmm.h) has: a child process, its outputs' tail, our end of the guest's
 * control port, the reason of a failure. A struct vmm begins with this. */
#ifndef BERTH_VMM_PROCESS_H
#define BERTH_VMM_PROCESS_H
#include "child.h"
#include "vmm.h"
#include "vmm_tail.h"

struct vmm_process {
    const char *name; /* in messages: "QEMU" */
    struct vmm_events events;
    struct child *child;
    struct vmm_tail tail;
    int control;   /* our end; -1: taken, or not made */
    char why[300]; /* the first thing that went wrong */
    /* Frees the vmm: everything but this struct's own parts, and itself. The process is gone. */
    void (*release)(struct vmm *v);
};

void vmm_process_init(struct vmm_process *p, const char *name, const struct vmm_events *events,
                      void (*release)(struct vmm *v));
/* Two ends of a stream; ours is non-blocking. 0, or -1 with errno. */
int vmm_process_pair(int *ours, int *theirs) MUST_USE;
/* Runs spec at the place, in a PID namespace of its own: spec's descriptors from 3 on are set already. 0, or
 * -1 with errno. */
int vmm_process_start(struct vmm_process *p, struct ev_loop *loop, const struct vmm_place *place,
                      struct child_spec *spec) MUST_USE;
/* Ends a step: on_step, and an error is remembered for the end. */
void vmm_process_step(struct vmm_process *p, enum vmm_step step, const char *error);
/* For a start that failed: frees everything. */
void vmm_process_release(struct vmm *v);

/* These are vmm_ops as they are. */
void vmm_process_kill(struct vmm *v);
int vmm_process_finish(struct vmm *v, int limit_ms);
int vmm_process_control(struct vmm *v);
pid_t vmm_process_pid(const struct vmm *v);
const char *vmm_process_said(const struct vmm *v);

/* The lines of /proc/cpuinfo that say what a guest sees under KVM. */
void vmm_process_add_cpu(struct buf *out);

#endif
