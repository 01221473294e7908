/* firecracker.c: the driver "firecracker": microVMs (microvm.h) on Firecracker (worker/vmm_firecracker.c). */
#include "microvm.h"

static struct driver *firecracker_open(const struct driver_config *config, const struct driver_events *events,
                                       char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    return microvm_open(&vmm_firecracker, config, events, isolation, isolation_len, err, errlen);
}

const struct driver_ops driver_firecracker = MICROVM_DRIVER("firecracker", firecracker_open);
