/* vmm.h: one virtual machine in one process of a virtual machine monitor: the same few steps for QEMU
 * (vmm_qemu.c) and Firecracker. A driver (driver/microvm.h) puts snapshots, control port and berths on top.
 *
 *   template   spawn → boot → (the guest settles) → save → kill
 *   clone      spawn, ahead of demand → load → (the guest says it is ready) → pause, resume → kill
 *
 * A step at a time; each ends with one on_step, never from inside the call. A step that fails leaves a
 * machine that is only good for kill. Whatever happens on_exit comes last, once the process and all below it
 * are gone; the vmm is freed by then, and its place may be another's at once. */
#ifndef BERTH_VMM_H
#define BERTH_VMM_H
#include <ev.h>
#include <stddef.h>
#include <sys/types.h>

#include "../shared/buf.h"
#include "../shared/errors.h"

struct image;    /* image.h */
struct settings; /* shared/settings.h */
struct vmm;
struct vmm_host;
struct working_set; /* working_set.h */

/* The default of BERTH_VM_TCG_MB, and what every identity says of it: a machine does not depend on it. */
#define VMM_TCG_MB 128

enum vmm_step { VMM_SPAWN, VMM_BOOT, VMM_SAVE, VMM_LOAD, VMM_PAUSE, VMM_RESUME };

enum vmm_kind { VMM_TEMPLATE, VMM_CLONE };

/* What the machine is made of: the same for a template and its clones. */
struct vmm_machine {
    const struct image *image;
    int memory_mb, vcpus;
    const char *accel; /* "kvm" or "tcg" */
    int huge_pages;    /* 1: clones' memory is in pages of 2 MB */
};

/* Where it runs. Descriptors are borrowed for the call. */
struct vmm_place {
    int net_ns;      /* network namespace */
    int tap;         /* its end of the guest's network, open; belongs to that namespace */
    const char *mac; /* of the guest's card: the clone's own */
    const int *cgroups;
    int cgroup_count;
    long uid;
};

struct vmm_spec {
    enum vmm_kind kind;
    struct vmm_machine machine;
    struct vmm_place place;
    /* The snapshot's folder: a template writes the device state into it when it is saved, a clone reads it.
     */
    const char *folder;
    /* Guest memory. Template: the folder's file, left complete by `save`. Clone: what is mapped privately;
     * nobody can write into it. */
    int memory;
    const struct working_set *set; /* a clone's first pages, where they are known; borrowed for the call */
};

struct vmm_events {
    void (*on_step)(void *arg, enum vmm_step step, const char *error); /* NULL: done */
    void (*on_exit)(void *arg, const char *why);
    void *arg;
};

struct vmm_host_config {
    struct ev_loop *loop;
    const struct settings *settings; /* outlives the host */
    const char *worker_id;           /* whose lock is held: no other worker of this id lives */
};

struct vmm_ops {
    const char *name;
    /* 1: clones map the memory's file in the snapshot's folder by its path; 0: a sealed copy in RAM. */
    int maps_file;
    /* Finds the program and what it can do here. NULL with a sentence in err. Blocks: for opening. */
    struct vmm_host *(*open)(const struct vmm_host_config *config, char *err, size_t errlen);
    void (*close)(struct vmm_host *h);
    /* The accelerators worth trying, best first, ended by NULL. That one is listed does not say that it
     * works: a template that boots does. */
    const char *const *(*accels)(const struct vmm_host *h);
    /* Optional: 0 if this version cannot go on well after a pause. */
    int (*can_pause)(const struct vmm_host *h);
    /* Appends lines that say everything of this monitor and machine that a snapshot depends on: version, CPU
     * model, devices. */
    void (*identify)(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out);
    /* Memory of the process beyond the guest's own, for the limit. */
    int (*overhead_mb)(const struct vmm_host *h, const struct vmm_machine *m);
    /* Runs the process; VMM_SPAWN ends when it takes commands. NULL with a sentence. */
    struct vmm *(*spawn)(struct vmm_host *h, const struct vmm_spec *spec, const struct vmm_events *events,
                         char *err, size_t errlen);
    /* A socket to the guest's control port, the caller's from then on; -1 with errno. Once. A clone's may be
     * written to before load: the guest gets it when it runs. */
    int (*control)(struct vmm *v);
    void (*boot)(struct vmm *v);
    void (*save)(struct vmm *v);
    void (*load)(struct vmm *v); /* the guest runs when it is done */
    void (*pause)(struct vmm *v);
    void (*resume)(struct vmm *v);
    void (*kill)(struct vmm *v); /* may be repeated */
    /* Kills, waits (blocks, at most limit_ms), frees; no event. 0, or -1 if it did not end. */
    int (*finish)(struct vmm *v, int limit_ms);
    pid_t (*pid)(const struct vmm *v); /* of the process that has the guest's memory; -1 if unknown */
    /* The last words of the monitor; "" if it said nothing. */
    const char *(*said)(const struct vmm *v);
};

extern const struct vmm_ops vmm_qemu, vmm_firecracker;

const char *vmm_step_name(enum vmm_step step);

#endif
