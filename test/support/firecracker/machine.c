/* machine.c: see machine.h. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "fields.h"
#include "guest.h"
#include "loop.h"
#include "memory.h"
#include "net.h"
#include "vsock.h"

#define VCPUS_MAX 32

struct machine machine = {.vcpus = 1, .memory_mib = 128};

static int can_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

int machine_put_boot_source(const struct value *v, struct fault *f)
{
    const struct value *kernel = reader_get(&fields_boot_source, v, "kernel_image_path");
    const struct value *initrd = reader_get(&fields_boot_source, v, "initrd_path");
    const struct value *args = reader_get(&fields_boot_source, v, "boot_args");

    if (!can_open(kernel->text))
        return fault_set(f, "Boot source error: The kernel file cannot be opened: %s", os_error(errno));
    if (initrd->set && !can_open(initrd->text))
        return fault_set(f,
                         "Boot source error: The initrd file cannot be opened due to invalid path or invalid "
                         "permissions. %s",
                         os_error(errno));
    if (args->set && strlen(args->text) >= sizeof(machine.boot_args))
        return fault_set(f, "Boot source error: The kernel command line is invalid: Command line string "
                            "overflows the max length");
    snprintf(machine.kernel, sizeof(machine.kernel), "%s", kernel->text);
    snprintf(machine.initrd, sizeof(machine.initrd), "%s", initrd->set ? initrd->text : "");
    snprintf(machine.boot_args, sizeof(machine.boot_args), "%s", args->set ? args->text : "");
    machine.has_kernel = 1;
    return 0;
}

static uint64_t number_or(const struct value *v, uint64_t current)
{
    return v->set ? v->number : current;
}

static int flag_or(const struct value *v, int current)
{
    return v->set ? v->boolean : current;
}

int machine_update(const struct table *t, const struct value *v, struct fault *f)
{
    const struct value *pages = reader_get(t, v, "huge_pages");
    /* A whole configuration sets what it leaves out to its default. */
    int whole = t == &fields_machine, smt = flag_or(reader_get(t, v, "smt"), whole ? 0 : machine.smt);
    uint64_t vcpus = number_or(reader_get(t, v, "vcpu_count"), (uint64_t)machine.vcpus);
    uint64_t mib = number_or(reader_get(t, v, "mem_size_mib"), machine.memory_mib);
    int huge = pages->set ? pages->variant == PAGES_2M : whole ? 0 : machine.huge_pages;

    if (vcpus == 0 || vcpus > VCPUS_MAX || (smt && vcpus > 1 && vcpus % 2))
        return fault_set(
            f,
            "Machine config error: The number of vCPUs must be greater than 0, less than %d and must "
            "be 1 or an even number if SMT is enabled.",
            VCPUS_MAX);
    if (mib == 0 || (huge && mib % 2))
        return fault_set(f,
                         "Machine config error: The memory size (MiB) is either 0, or not a multiple of the "
                         "configured page size.");
    if (machine.has_balloon && mib < machine.balloon_mib)
        return fault_set(f, "Machine config error: The memory size (MiB) is smaller than the previously set "
                            "balloon device target size.");
    machine.vcpus = (int)vcpus;
    machine.memory_mib = mib;
    machine.smt = smt;
    machine.huge_pages = huge;
    machine.track_dirty = flag_or(reader_get(t, v, "track_dirty_pages"), whole ? 0 : machine.track_dirty);
    return 0;
}

/* ---- drives ---- */

int machine_open_drive(struct drive *d, struct fault *f)
{
    d->fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (d->fd >= 0)
        return 0;
    return fault_set(f, "Virtio backend error: Error manipulating the backing file: %s %s", os_error(errno),
                     d->path);
}

static struct drive *find_drive(const char *id)
{
    for (int i = 0; i < machine.drive_count; i++)
        if (strcmp(machine.drives[i].id, id) == 0)
            return &machine.drives[i];
    return NULL;
}

int machine_put_drive(const struct value *v, struct fault *f)
{
    const struct value *path = reader_get(&fields_drive, v, "path_on_host");
    struct drive d = {.fd = -1}, *old;
    struct fault why;

    snprintf(d.id, sizeof(d.id), "%s", reader_get(&fields_drive, v, "drive_id")->text);
    d.root = reader_get(&fields_drive, v, "is_root_device")->boolean;
    d.read_only = reader_get(&fields_drive, v, "is_read_only")->boolean;
    old = find_drive(d.id);
    for (int i = 0; i < machine.drive_count && d.root; i++)
        if (machine.drives[i].root && &machine.drives[i] != old)
            return fault_set(f, "Drive config error: A root block device already exists!");
    if (!path->set || reader_get(&fields_drive, v, "socket")->set)
        return fault_set(
            f, "Drive config error: Unable to create the virtio block device: Invalid block config.");
    snprintf(d.path, sizeof(d.path), "%s", path->text);
    if (machine_open_drive(&d, &why) != 0)
        return fault_set(f, "Drive config error: Unable to create the virtio block device: %s", why.text);
    if (!old && machine.drive_count == MACHINE_DRIVES)
        return fault_set(f, "fake: too many drives");
    if (old)
        close(old->fd);
    else
        old = &machine.drives[machine.drive_count++];
    *old = d;
    return 0;
}

int machine_patch_drive(const struct value *v, struct fault *f)
{
    const struct value *path = reader_get(&fields_drive_update, v, "path_on_host");
    struct drive *d = find_drive(reader_get(&fields_drive_update, v, "drive_id")->text), changed;
    struct fault why;

    if (!d)
        return fault_set(f, "Drive config error: Unable to patch the block device: Failed perform action on "
                            "device: Device not found Please verify the request arguments.");
    if (!path->set)
        return 0;
    changed = *d;
    snprintf(changed.path, sizeof(changed.path), "%s", path->text);
    if (machine_open_drive(&changed, &why) != 0)
        return fault_set(f,
                         "Drive config error: Unable to patch the block device: Block: %s Please verify the "
                         "request arguments.",
                         why.text);
    close(d->fd);
    *d = changed;
    return 0;
}

/* ---- cards ---- */

int machine_parse_mac(const char *text, unsigned char mac[6])
{
    unsigned b[6];
    char end;

    if (strlen(text) != 17 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6)
        return -1;
    for (int i = 0; i < 6; i++)
        mac[i] = (unsigned char)b[i];
    return 0;
}

int machine_open_net(struct net *n, struct fault *f)
{
    const char *step;

    n->tap = net_open_tap(n->device, &step);
    if (n->tap >= 0)
        return 0;
    if (strcmp(step, "open") == 0)
        return fault_set(f, "Open tap device failed: Couldn't open /dev/net/tun: %s", os_error(errno));
    return fault_set(
        f,
        "Open tap device failed: Error while creating ifreq structure: %s. Invalid TUN/TAP Backend "
        "provided by %s. Check our documentation on setting up the network devices.",
        os_error(errno), n->device);
}

static struct net *find_net(const char *id)
{
    for (int i = 0; i < machine.net_count; i++)
        if (strcmp(machine.nets[i].id, id) == 0)
            return &machine.nets[i];
    return NULL;
}

int machine_put_net(const struct value *v, struct fault *f)
{
    const struct value *mac = reader_get(&fields_net, v, "guest_mac"),
                       *mtu = reader_get(&fields_net, v, "mtu");
    struct net n = {.tap = -1}, *old;
    struct fault why;

    snprintf(n.id, sizeof(n.id), "%s", reader_get(&fields_net, v, "iface_id")->text);
    snprintf(n.device, sizeof(n.device), "%s", reader_get(&fields_net, v, "host_dev_name")->text);
    n.has_mac = mac->set && machine_parse_mac(mac->text, n.mac) == 0;
    old = find_net(n.id);
    for (int i = 0; i < machine.net_count && n.has_mac; i++)
        if (machine.nets[i].has_mac && &machine.nets[i] != old && memcmp(machine.nets[i].mac, n.mac, 6) == 0)
            return fault_set(f, "Network config error: The MAC address is already in use: %s", mac->text);
    if (mtu->set && mtu->number < 68)
        return fault_set(f,
                         "Network config error: Could not create the network device: MTU %d is out of range "
                         "[68, 65535]",
                         (int)mtu->number);
    if (old) {
        close(old->tap); /* the former one goes first */
        *old = machine.nets[--machine.net_count];
    }
    if (machine_open_net(&n, &why) != 0)
        return fault_set(f, "Network config error: Could not create the network device: %s", why.text);
    if (machine.net_count == MACHINE_NETS)
        return fault_set(f, "fake: too many network interfaces");
    machine.nets[machine.net_count++] = n;
    return 0;
}

int machine_patch_net(const struct value *v, struct fault *f)
{
    if (find_net(reader_get(&fields_net_update, v, "iface_id")->text))
        return 0;
    return fault_set(
        f, "Network config error: Unable to update the net device: Failed perform action on device: "
           "Device not found");
}

int machine_put_vsock(const struct value *v, struct fault *f)
{
    const char *path = reader_get(&fields_vsock, v, "uds_path")->text;

    if (machine.has_vsock && unlink(machine.uds_path) != 0)
        return fault_set(f,
                         "Vsock config error: Cannot create backend for vsock device: Error binding to the "
                         "host-side Unix socket: %s",
                         os_error(errno));
    machine.has_vsock = 0;
    if (vsock_listen(path) != 0)
        return fault_set(f,
                         "Vsock config error: Cannot create backend for vsock device: Error binding to the "
                         "host-side Unix socket: %s",
                         os_error(errno));
    snprintf(machine.uds_path, sizeof(machine.uds_path), "%s", path);
    machine.cid = (uint32_t)reader_get(&fields_vsock, v, "guest_cid")->number;
    machine.has_vsock = 1;
    return 0;
}

/* ---- life ---- */

void machine_plug(void)
{
    if (machine.net_count > 0 && guest_tap() >= 0)
        net_plug(machine.nets[0].tap, guest_tap(), guest_mac());
    if (machine.has_vsock)
        vsock_serve();
}

void machine_pause(void)
{
    if (machine.life == MACHINE_RUNNING) {
        guest_stop_clock();
        machine.was_paused = 1;
    }
    machine.life = MACHINE_PAUSED;
    loop_freeze_guest(1);
}

void machine_resume(void)
{
    if (machine.life == MACHINE_PAUSED)
        guest_start_clock();
    /* Until 1.17 a pause that no load followed leaves vsock deaf: what the host sends does not arrive. */
    if (machine.life == MACHINE_PAUSED && machine.was_paused && reader_minor < 17)
        vsock_deafen();
    machine.was_paused = 0;
    machine.life = MACHINE_RUNNING;
    loop_freeze_guest(0);
    memory_touch();
}

int machine_start(struct fault *f)
{
    char magic[4] = "";
    int fd;

    if (!machine.has_kernel)
        return fault_set(f, "Start microvm error: Cannot start microvm without kernel configuration.");
    fd = open(machine.kernel, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, magic, 4) != 4 || memcmp(magic, "\177ELF", 4) != 0) {
        if (fd >= 0)
            close(fd);
        return fault_set(f, "Start microvm error: Failed to load kernel: Invalid Elf magic number");
    }
    close(fd);
    if (memory_new(machine.memory_mib) != 0)
        return fault_set(f,
                         "Start microvm error: Invalid Memory Configuration: Cannot create mmap region: %s",
                         os_error(errno));
    machine.life = MACHINE_RUNNING;
    guest_boot(machine.net_count && machine.nets[0].has_mac ? machine.nets[0].mac : NULL);
    machine_plug();
    guest_start_clock();
    return 0;
}
