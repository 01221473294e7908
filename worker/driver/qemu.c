/* qemu.c: the driver "qemu": microVMs (microvm.h) on QEMU's microvm machine (worker/vmm_qemu.c). */
#include "microvm.h"

static struct driver *qemu_open(const struct driver_config *config, const struct driver_events *events,
                                char *isolation, unsigned isolation_len, char *err, unsigned errlen)
{
    return microvm_open(&vmm_qemu, config, events, isolation, isolation_len, err, errlen);
}

const struct driver_ops driver_qemu = {
    .name = "qemu",
    .open = qemu_open,
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
