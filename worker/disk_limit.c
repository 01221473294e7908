/* disk_limit.c: see disk_limit.h. */
#include "disk_limit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../shared/kernel_file.h"

#define MIB      (1024.0 * 1024.0)
#define PATH_LEN 640

static const char v2_file[] = "io.max";
static const struct {
    const char *file;
    int operations;
} v1_files[] = {{"blkio.throttle.read_bps_device", 0},
                {"blkio.throttle.write_bps_device", 0},
                {"blkio.throttle.read_iops_device", 1},
                {"blkio.throttle.write_iops_device", 1}};

/* ---- which disk ---- */

/* The kernel's name of it, from "DEVNAME=sda" in its uevent. */
static int read_node(const char *sys, struct disk_device *d)
{
    char path[PATH_LEN], text[1024], *name;

    snprintf(path, sizeof(path), "%.500s/dev/block/%u:%u/uevent", sys, d->major, d->minor);
    if (kernel_file_read(path, text, sizeof(text)) <= 0)
        return -1;
    name = strstr(text, "DEVNAME=");
    if (!name)
        return -1;
    name += strlen("DEVNAME=");
    name[strcspn(name, "\n")] = '\0';
    return snprintf(d->node, sizeof(d->node), "/dev/%s", name) < (int)sizeof(d->node) ? 0 : -1;
}

int disk_device_find(const char *sys, unsigned major_, unsigned minor_, struct disk_device *out)
{
    char path[PATH_LEN], text[64];

    *out = (struct disk_device){.major = major_, .minor = minor_};
    snprintf(path, sizeof(path), "%.500s/dev/block/%u:%u/partition", sys, major_, minor_);
    if (access(path, F_OK) == 0) {
        /* The entry is a link to the partition's directory, which lies in its disk's. */
        snprintf(path, sizeof(path), "%.500s/dev/block/%u:%u/../dev", sys, major_, minor_);
        if (kernel_file_read(path, text, sizeof(text)) <= 0 ||
            sscanf(text, "%u:%u", &out->major, &out->minor) != 2) // NOLINT(cert-err34-c): the kernel's own
            return -1;
    }
    return read_node(sys, out);
}

void disk_devices_add(struct disk_devices *d, const char *path)
{
    char at[512], *slash;
    struct disk_device found;
    struct stat st;

    if (path[0] != '/' || snprintf(at, sizeof(at), "%s", path) >= (int)sizeof(at))
        return;
    while (stat(at, &st) != 0) {
        slash = strrchr(at, '/');
        if (!slash || !at[1])
            return;
        slash[slash == at] = '\0';
    }
    if (d->count == DISK_DEVICES_MAX ||
        disk_device_find("/sys", major(st.st_dev), minor(st.st_dev), &found) != 0)
        return;
    for (int i = 0; i < d->count; i++) {
        if (d->items[i].major == found.major && d->items[i].minor == found.minor)
            return;
    }
    d->items[d->count++] = found;
}

/* ---- rates ---- */

static int write_text(const char *dir, const char *file, const char *text)
{
    char path[PATH_LEN];

    snprintf(path, sizeof(path), "%.550s/%s", dir, file);
    return kernel_file_write(path, text);
}

int disk_limit_has_files(const char *dir, int v2)
{
    char path[PATH_LEN];

    snprintf(path, sizeof(path), "%.550s/%s", dir, v2 ? v2_file : v1_files[0].file);
    return access(path, W_OK) == 0;
}

static int set_v2(const char *dir, const struct disk_device *d, const struct disk_rates *rates)
{
    char text[200], bytes[32] = "max", operations[32] = "max";

    if (rates->mib_s > 0)
        snprintf(bytes, sizeof(bytes), "%.0f", rates->mib_s * MIB);
    if (rates->iops > 0)
        snprintf(operations, sizeof(operations), "%ld", rates->iops);
    snprintf(text, sizeof(text), "%u:%u rbps=%s wbps=%s riops=%s wiops=%s\n", d->major, d->minor, bytes,
             bytes, operations, operations);
    return write_text(dir, v2_file, text);
}

int disk_limit_set(const char *dir, int v2, const struct disk_device *d, const struct disk_rates *rates)
{
    char text[100];

    if (v2)
        return set_v2(dir, d, rates);
    for (size_t i = 0; i < sizeof(v1_files) / sizeof(v1_files[0]); i++) {
        double rate = v1_files[i].operations ? (double)rates->iops : rates->mib_s * MIB;

        snprintf(text, sizeof(text), "%u:%u %.0f\n", d->major, d->minor, rate); /* 0 takes a rate away */
        if (write_text(dir, v1_files[i].file, text) != 0)
            return -1;
    }
    return 0;
}
