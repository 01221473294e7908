/* driver.c: the drivers by name. */
#include "../driver.h"

#include <string.h>

const struct driver_ops *driver_find(const char *name)
{
    static const struct driver_ops *const all[] = {&driver_process, &driver_docker, &driver_qemu,
                                                   &driver_firecracker, &driver_sim};

    for (size_t i = 0; name && i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}
