/* qemu.c: the driver "qemu": microVMs (microvm.h) on QEMU's microvm machine (worker/vmm_qemu.c). */
#include "microvm.h"

static struct driver *qemu_open(const struct driver_config *config, const struct driver_events *events,
                                char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    return microvm_open(&vmm_qemu, config, events, isolation, isolation_len, err, errlen);
}

const struct driver_ops driver_qemu = MICROVM_DRIVER("qemu", qemu_open);
