/* firecracker.c: the driver "firecracker": microVMs (microvm.h) on Firecracker (worker/vmm_firecracker.c). */
#include "microvm.h"

static struct driver *firecracker_open(const struct driver_config *config, const struct driver_events *events,
                                       char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    return microvm_open(&vmm_firecracker, config, events, isolation, isolation_len, err, errlen);
}

const struct driver_ops driver_firecracker = {
    .name = "firecracker",
    .open = firecracker_open,
    .prepare = microvm_prepare,
    .start = microvm_start,
    .stop = microvm_stop,
    .connect = microvm_connect,
    .set_active = microvm_set_active,
    .park = microvm_park,
    .usage = microvm_usage,
    .close = microvm_close,
    .warmed = 1,
    .start_limit_s = MICROVM_START_LIMIT_S,
};
