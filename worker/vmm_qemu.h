/* vmm_qemu.h: QEMU's microvm machine: the parts of vmm_qemu.c that are apart for their size and for tests. */
#ifndef BERTH_VMM_QEMU_H
#define BERTH_VMM_QEMU_H
#include <stddef.h>

#include "child.h"
#include "vmm.h"

/* Descriptors of the QEMU process. */
enum vmm_qemu_fd {
    QEMU_FD_QMP = 3,
    QEMU_FD_CONTROL,
    QEMU_FD_TAP,
    QEMU_FD_MEMORY,
    QEMU_FD_STATE,
    QEMU_FD_ROOT,
    QEMU_FD_KERNEL,
    QEMU_FD_INITRD,
    QEMU_FDS
};

struct vmm_host {
    struct ev_loop *loop;
    char program[256], bwrap[64];
    char version[40];
    const char *accels[3];
    int tcg_mb;   /* of translated code; 0: what QEMU takes by itself */
    long tsc_khz; /* what TCG guests are told: their own measuring may hang */
};

#define VMM_QEMU_STATE "state" /* device state, in the snapshot's folder */

/* The whole command line, the jail's included; free with vmm_qemu_args_free. kvm_node: of a device file that
 * the process may open, or "". */
char **vmm_qemu_args(const struct vmm_host *h, const struct vmm_spec *spec, const char *kvm_node);
void vmm_qemu_args_free(char **args);

/* vmm_qemu_open.c: the host's side of vmm_ops */
struct vmm_host *vmm_qemu_open(const struct vmm_host_config *config, char *err, size_t errlen);
void vmm_qemu_close(struct vmm_host *h);
const char *const *vmm_qemu_accels(const struct vmm_host *h);
void vmm_qemu_identify(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out);
int vmm_qemu_overhead_mb(const struct vmm_host *h, const struct vmm_machine *m);
/* "7.2.22" of "QEMU emulator version 7.2.22 (Debian …)"; -1 if it is no such line. Apart for tests. */
int vmm_qemu_parse_version(const char *line, char out[40]);

#endif
