/* fake_vmm.h: a machine monitor that does what a test says, when it says so. */
#ifndef BERTH_TEST_FAKE_VMM_H
#define BERTH_TEST_FAKE_VMM_H
#include "worker/vmm.h"

#define FAKE_VMMS_MAX 32

struct vmm {
    enum vmm_kind kind;
    struct vmm_events events;
    int ours, guest; /* the ends of the control port */
    int killed, gone;
    char steps[128]; /* what was asked of it: "load pause " */
};

/* Those that were spawned, in order; they stay until fake_vmm_free_all. */
struct fake_vmms {
    struct vmm *all[FAKE_VMMS_MAX];
    int count;
    void (*on_spawn)(const struct vmm_spec *spec); /* something that happens meanwhile, or NULL */
};

extern struct fake_vmms fake_vmms;
extern const struct vmm_ops fake_vmm_ops; /* accelerators: kvm, then tcg */

struct vmm *fake_vmm(void); /* the latest */
void fake_vmm_step(struct vmm *v, enum vmm_step which, const char *error);
void fake_vmm_end(struct vmm *v, const char *why);
void fake_vmm_end_killed(void); /* all that were told to */
void fake_vmm_free_all(void);
void fake_vmm_says(const struct vmm *v, const char *line); /* the guest */
/* What was said to the guest so far; "" if nothing. */
const char *fake_vmm_heard(const struct vmm *v);
/* A file as a monitor leaves it in a snapshot's folder. */
void fake_vmm_write(const char *folder, const char *name, const char *text);

#endif
