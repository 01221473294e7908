/* disk_limit.h: limits on what a cgroup reads from and writes to a disk: which disk lies under a path, and
 * the files of cgroup versions 1 (blkio.throttle.*) and 2 (io.max) that hold its rates. */
#ifndef BERTH_DISK_LIMIT_H
#define BERTH_DISK_LIMIT_H
#include <stddef.h>

#include "../shared/errors.h"

#define DISK_DEVICES_MAX 8

struct disk_device { /* a whole disk: rates cannot be set for partitions */
    unsigned major, minor;
    char node[80]; /* "/dev/sda" */
};

struct disk_devices {
    struct disk_device items[DISK_DEVICES_MAX];
    int count;
};

struct disk_rates { /* of reads and of writes, each; 0: no limit */
    double mib_s;
    long iops;
};

/* The disk that device major:minor is, or is a partition of; sys: where sysfs is. 0, or -1: it is none
 * (tmpfs, overlay, btrfs and the like have devices that do not exist). */
int disk_device_find(const char *sys, unsigned major, unsigned minor, struct disk_device *out) MUST_USE;
/* Adds the disk under path, once. Of a path that does not exist, that of its nearest folder that does. */
void disk_devices_add(struct disk_devices *d, const char *path);

/* 1: a cgroup's directory has the files. */
int disk_limit_has_files(const char *dir, int v2);
/* Sets both rates of a device, or takes away those that are 0. 0, or -1 with errno. */
int disk_limit_set(const char *dir, int v2, const struct disk_device *d,
                   const struct disk_rates *rates) MUST_USE;

#endif
