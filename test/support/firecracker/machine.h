/* machine.h: the machine's configuration and life: what PUT requests set, what a snapshot keeps, what boots.
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H
#include <stdint.h>

#include "reader.h"
#include "text.h"

#define MACHINE_DRIVES 8
#define MACHINE_NETS   4
#define MACHINE_NAME   68
#define MACHINE_PATH   512

enum machine_life { MACHINE_NOT_STARTED, MACHINE_RUNNING, MACHINE_PAUSED };

struct drive {
    char id[MACHINE_NAME], path[MACHINE_PATH];
    int root, read_only, fd;
};

struct net {
    char id[MACHINE_NAME], device[MACHINE_NAME];
    unsigned char mac[6];
    int has_mac, tap;
};

struct machine {
    char id[MACHINE_NAME];
    const char *version;
    enum machine_life life;
    int was_paused; /* by a request, while it ran */
    int boot_path;  /* something of a machine to boot is configured: no snapshot can be loaded any more */
    int vcpus, smt, track_dirty, huge_pages;
    uint64_t memory_mib;
    int has_kernel;
    char kernel[MACHINE_PATH], initrd[MACHINE_PATH], boot_args[2048];
    struct drive drives[MACHINE_DRIVES];
    struct net nets[MACHINE_NETS];
    int drive_count, net_count;
    int has_vsock, has_entropy, has_balloon, has_logger, has_metrics;
    uint32_t cid;
    char uds_path[MACHINE_PATH];
    uint64_t balloon_mib, balloon_interval;
    int balloon_oom;
};

extern struct machine machine;

/* All: 0, or -1 with the fault that the real one reports. */
int machine_put_boot_source(const struct value *v, struct fault *f);
int machine_update(const struct table *t, const struct value *v, struct fault *f);
int machine_put_drive(const struct value *v, struct fault *f);
int machine_put_net(const struct value *v, struct fault *f);
int machine_put_vsock(const struct value *v, struct fault *f);
int machine_patch_drive(const struct value *v, struct fault *f);
int machine_patch_net(const struct value *v, struct fault *f);
int machine_start(struct fault *f);
void machine_pause(void);
void machine_resume(void);

/* Opens a device; the fault's text is the device's own part of what is reported. */
int machine_open_drive(struct drive *d, struct fault *f);
int machine_open_net(struct net *n, struct fault *f);
int machine_parse_mac(const char *text, unsigned char mac[6]);
/* Plugs the cards in and lets the guest run: at the end of a boot or load. */
void machine_plug(void);

#endif
