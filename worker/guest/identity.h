/* identity.h: what must not be the same in two clones of one snapshot. All: 0, or -1 with errno. */
#ifndef BERTH_GUEST_IDENTITY_H
#define BERTH_GUEST_IDENTITY_H
#include <stddef.h>
#include <stdint.h>

/* At boot: /etc/machine-id and the boot id become files that identity_set can write. */
int identity_prepare(void);
/* Into the kernel's pool, counted as entropy, and out of it into every generator of the kernel at once. */
int identity_seed(const unsigned char *bytes, size_t size);
int identity_clock(uint64_t time_ns);
/* id: the machine id, 32 digits. The boot id is drawn anew: seed first. */
int identity_set(const char *hostname, const char *id);

#endif
