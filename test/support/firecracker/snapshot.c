/* snapshot.c: see snapshot.h. The file: 8 bytes of magic, version as text in 16, the state as JSON, CRC-64.
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fields.h"
#include "guest.h"
#include "machine.h"
#include "memory.h"
#include "vsock.h"

#define MAGIC        0x0710198486640000ULL /* of x86_64 */
#define VERSION_SIZE 16
#define HEAD         (8 + VERSION_SIZE)
#define FILE_MAX     10000000

/* CRC-64/Redis, bit by bit, as is enough for a few hundred bytes. */
static uint64_t crc64(const char *data, size_t len)
{
    uint64_t crc = 0;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0x95ac9329ac4bc9b5ULL : crc >> 1;
    }
    return crc;
}

/* ---- the state ---- */

#define FIELD(name, type)                                                                                    \
    {                                                                                                        \
        name, type, FIELD_REQUIRED, NULL, NULL, 0                                                            \
    }
#define FIELD_OF(name, type, t)                                                                              \
    {                                                                                                        \
        name, type, FIELD_REQUIRED, t, NULL, 0                                                               \
    }
#define END                                                                                                  \
    {                                                                                                        \
        NULL, FIELD_ANY, FIELD_OPTIONAL, NULL, NULL, 0                                                       \
    }

static const struct field drive_fields[] = {FIELD("id", FIELD_STRING), FIELD("path", FIELD_STRING),
                                            FIELD("root", FIELD_BOOL), FIELD("read_only", FIELD_BOOL), END};
static const struct table drive_table = {"BlockState", drive_fields, 0};
static const struct field net_fields[] = {FIELD("id", FIELD_STRING), FIELD("device", FIELD_STRING),
                                          FIELD("mac", FIELD_STRING), END};
static const struct table net_table = {"NetState", net_fields, 0};
static const struct field state_fields[] = {FIELD("vcpus", FIELD_U8),
                                            FIELD("memory_mib", FIELD_U64),
                                            FIELD("seed", FIELD_U64),
                                            FIELD("huge_pages", FIELD_BOOL),
                                            FIELD_OF("drives", FIELD_LIST, &drive_table),
                                            FIELD_OF("nets", FIELD_LIST, &net_table),
                                            FIELD("uds_path", FIELD_STRING),
                                            FIELD("cid", FIELD_U32),
                                            FIELD_OF("guest", FIELD_STRUCT, &guest_state),
                                            END};
static const struct table state_table = {"MicrovmState", state_fields, 0};

static void write_devices(struct text *out)
{
    text_addf(out, "\"drives\":[");
    for (int i = 0; i < machine.drive_count; i++) {
        const struct drive *d = &machine.drives[i];

        text_addf(out, "%s{\"id\":\"%s\",\"path\":", i ? "," : "", d->id);
        text_add_json(out, d->path);
        text_addf(out, ",\"root\":%s,\"read_only\":%s}", d->root ? "true" : "false",
                  d->read_only ? "true" : "false");
    }
    text_addf(out, "],\"nets\":[");
    for (int i = 0; i < machine.net_count; i++) {
        const struct net *n = &machine.nets[i];

        text_addf(out, "%s{\"id\":\"%s\",\"device\":", i ? "," : "", n->id);
        text_add_json(out, n->device);
        text_addf(out, ",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"}", n->mac[0], n->mac[1], n->mac[2],
                  n->mac[3], n->mac[4], n->mac[5]);
    }
    text_addf(out, "],\"uds_path\":");
    text_add_json(out, machine.has_vsock ? machine.uds_path : "");
    text_addf(out, ",\"cid\":%u", machine.cid);
}

static void write_state(struct text *out)
{
    uint64_t magic = MAGIC, crc;
    char version[VERSION_SIZE] = SNAPSHOT_VERSION;

    text_add(out, &magic, sizeof(magic));
    text_add(out, version, sizeof(version));
    text_addf(out, "{\"vcpus\":%d,\"memory_mib\":%" PRIu64 ",\"seed\":%" PRIu64 ",\"huge_pages\":%s,",
              machine.vcpus, machine.memory_mib, memory_seed(), machine.huge_pages ? "true" : "false");
    write_devices(out);
    text_addf(out, ",\"guest\":");
    guest_save(out);
    text_addf(out, "}");
    crc = crc64(out->data, out->len);
    text_add(out, &crc, sizeof(crc));
}

static int save_state(const char *path, struct fault *f)
{
    struct text out = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        return fault_set(f, "Cannot perform open on the snapshot backing file: %s", os_error(errno));
    write_state(&out);
    if (write(fd, out.data, out.len) != (ssize_t)out.len)
        fault_set(f, "Cannot serialize the microVM state: IO Error: %s", os_error(errno));
    else if (fsync(fd) != 0)
        fault_set(f, "Cannot perform sync_all on the snapshot backing file: %s", os_error(errno));
    text_clear(&out);
    close(fd);
    return f->text[0] ? -1 : 0;
}

int snapshot_create(const struct value *v, struct fault *f)
{
    struct fault why = {""};

    if (machine.life != MACHINE_PAUSED)
        fault_set(&why,
                  "Cannot save the microVM state: Operation not allowed: save/restore unavailable while "
                  "running");
    else if (reader_get(&fields_snapshot_create, v, "snapshot_type")->set &&
             reader_get(&fields_snapshot_create, v, "snapshot_type")->variant == SNAPSHOT_DIFF)
        fault_set(&why, "fake: it has no diff snapshots");
    else if (save_state(reader_get(&fields_snapshot_create, v, "snapshot_path")->text, &why) == 0)
        (void)(memory_save(reader_get(&fields_snapshot_create, v, "mem_file_path")->text, machine.memory_mib,
                           &why) == 0);
    return why.text[0] ? fault_set(f, "Create snapshot error: %s", why.text) : 0;
}

/* ---- loading ---- */

static int read_file(const char *path, struct text *out, struct fault *f)
{
    static char block[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return fault_set(f, "Failed to open snapshot file: %s", os_error(errno));
    while ((n = read(fd, block, sizeof(block))) > 0 && out->len <= FILE_MAX)
        text_add(out, block, (size_t)n);
    close(fd);
    if (n < 0)
        return fault_set(f, "Failed to load snapshot state from file: IO Error: %s", os_error(errno));
    if (out->len > FILE_MAX)
        return fault_set(
            f, "Failed to load snapshot state from file: Snapshot size exceeds limit of %d bytes", FILE_MAX);
    if (out->len < 8)
        return fault_set(f,
                         "Failed to load snapshot state from file: IO Error: File too short to contain CRC");
    return 0;
}

/* Whether this version reads that one: the same major number, no newer minor one. */
static int check_version(const char *version, struct fault *f)
{
    int major, minor, patch, mine, my_minor;

    if (sscanf(version, "%d.%d.%d", &major, &minor, &patch) != 3 ||
        sscanf(SNAPSHOT_VERSION, "%d.%d", &mine, &my_minor) != 2 || major != mine || minor > my_minor)
        return fault_set(f, "Failed to load snapshot state from file: Invalid data version: %.15s", version);
    return 0;
}

static int parse_state(const struct text *file, struct value *out, struct fault *f)
{
    uint64_t magic, crc;
    char err[300];

    if (file->len < HEAD + 8)
        return fault_set(f, "Failed to load snapshot state from file: An error occurred during bitcode "
                            "serialization: EOF");
    memcpy(&magic, file->data, sizeof(magic));
    memcpy(&crc, file->data + file->len - 8, sizeof(crc));
    if (magic != MAGIC)
        return fault_set(
            f, "Failed to load snapshot state from file: Magic value does not match arch: %" PRIu64, magic);
    if (check_version(file->data + 8, f) != 0)
        return -1;
    if (crc != crc64(file->data, file->len - 8))
        return fault_set(f, "Failed to load snapshot state from file: CRC64 validation failed");
    if (reader_parse(&state_table, file->data + HEAD, file->len - HEAD - 8, out, err, sizeof(err)) != 0)
        return fault_set(f,
                         "Failed to load snapshot state from file: An error occurred during bitcode "
                         "serialization: %.200s",
                         err);
    return 0;
}

int snapshot_describe(const char *path, char version[40], struct fault *f)
{
    struct text file = {0};
    struct value v;
    int result = read_file(path, &file, f) != 0 || parse_state(&file, &v, f) != 0 ? -1 : 0;

    if (result == 0) {
        snprintf(version, 40, "%.15s", file.data + 8);
        reader_free(&v);
    }
    text_clear(&file);
    return result;
}

static const struct value *part(const struct value *state, const char *name)
{
    return reader_get(&state_table, state, name);
}

static void take_devices(const struct value *state)
{
    const struct value *drives = part(state, "drives"), *nets = part(state, "nets");

    for (int i = 0; i < drives->count && i < MACHINE_DRIVES; i++) {
        struct drive *d = &machine.drives[machine.drive_count++];

        snprintf(d->id, sizeof(d->id), "%s", reader_get(&drive_table, &drives->fields[i], "id")->text);
        snprintf(d->path, sizeof(d->path), "%s", reader_get(&drive_table, &drives->fields[i], "path")->text);
        d->root = reader_get(&drive_table, &drives->fields[i], "root")->boolean;
        d->read_only = reader_get(&drive_table, &drives->fields[i], "read_only")->boolean;
    }
    for (int i = 0; i < nets->count && i < MACHINE_NETS; i++) {
        struct net *n = &machine.nets[machine.net_count++];

        snprintf(n->id, sizeof(n->id), "%s", reader_get(&net_table, &nets->fields[i], "id")->text);
        snprintf(n->device, sizeof(n->device), "%s",
                 reader_get(&net_table, &nets->fields[i], "device")->text);
        n->has_mac = machine_parse_mac(reader_get(&net_table, &nets->fields[i], "mac")->text, n->mac) == 0;
    }
    machine.vcpus = (int)part(state, "vcpus")->number;
    machine.memory_mib = part(state, "memory_mib")->number;
    machine.huge_pages = part(state, "huge_pages")->boolean;
    machine.cid = (uint32_t)part(state, "cid")->number;
    snprintf(machine.uds_path, sizeof(machine.uds_path), "%s", part(state, "uds_path")->text);
    machine.has_vsock = machine.uds_path[0] != '\0';
}

static int take_overrides(const struct value *v, struct fault *f)
{
    const struct value *nets = reader_get(&fields_snapshot_load, v, "network_overrides");
    const struct value *vsock = reader_get(&fields_snapshot_load, v, "vsock_override");

    for (int i = 0; i < nets->count; i++) {
        const char *id = reader_get(&fields_network_override, &nets->fields[i], "iface_id")->text;
        struct net *n = NULL;

        for (int k = 0; k < machine.net_count; k++)
            if (strcmp(machine.nets[k].id, id) == 0)
                n = &machine.nets[k];
        if (!n)
            return fault_set(f, "Failed to get snapshot state from file: Unknown Network Device.");
        snprintf(n->device, sizeof(n->device), "%s",
                 reader_get(&fields_network_override, &nets->fields[i], "host_dev_name")->text);
    }
    if (vsock->set && !machine.has_vsock)
        return fault_set(f, "Failed to get snapshot state from file: Unknown Vsock Device.");
    if (vsock->set)
        snprintf(machine.uds_path, sizeof(machine.uds_path), "%s",
                 reader_get(&fields_vsock_override, vsock, "uds_path")->text);
    return 0;
}

static int load_memory(const struct value *v, uint64_t seed, struct fault *f)
{
    const struct value *backend = reader_get(&fields_snapshot_load, v, "mem_backend");
    const struct value *file = reader_get(&fields_snapshot_load, v, "mem_file_path");
    const char *path =
        backend->set ? reader_get(&fields_mem_backend, backend, "backend_path")->text : file->text;
    int uffd =
        backend->set && reader_get(&fields_mem_backend, backend, "backend_type")->variant == BACKEND_UFFD;
    struct fault why = {""};

    if (uffd)
        return memory_load_uffd(path, machine.memory_mib, seed, &why) == 0
                   ? 0
                   : fault_set(f, "Failed to load guest memory: Error creating guest memory from uffd: %s",
                               why.text);
    if (machine.huge_pages)
        return fault_set(f,
                         "Failed to load guest memory: Error creating guest memory from file: Cannot restore "
                         "hugetlbfs backed snapshot by mapping the memory file. Please use uffd.");
    return memory_load_file(path, machine.memory_mib, seed, &why) == 0
               ? 0
               : fault_set(f, "Failed to load guest memory: Error creating guest memory from file: %s",
                           why.text);
}

static int open_devices(struct fault *f)
{
#define DEVICES                                                                                              \
    "Failed to build microVM from snapshot: Failed to restore devices: Error restoring MMIO devices: "
    struct fault why = {""};

    for (int i = 0; i < machine.drive_count; i++)
        if (machine_open_drive(&machine.drives[i], &why) != 0)
            return fault_set(f, DEVICES "Block: %s", why.text);
    for (int i = 0; i < machine.net_count; i++)
        if (machine_open_net(&machine.nets[i], &why) != 0)
            return fault_set(f, DEVICES "Net: Failed to create a network device: %s", why.text);
    if (machine.has_vsock && vsock_listen(machine.uds_path) != 0)
        return fault_set(f, DEVICES "VsockUnixBackend: Error binding to the host-side Unix socket: %s",
                         os_error(errno));
    return 0;
}

static int restore(const struct value *v, struct fault *f)
{
    struct text file = {0};
    struct value state = {0};
    struct fault why = {""};
    int result;

    if (read_file(reader_get(&fields_snapshot_load, v, "snapshot_path")->text, &file, &why) != 0 ||
        parse_state(&file, &state, &why) != 0) {
        text_clear(&file);
        return fault_set(f, "Failed to get snapshot state from file: %s", why.text);
    }
    text_clear(&file);
    take_devices(&state);
    result = take_overrides(v, f);
    if (result == 0)
        result = load_memory(v, part(&state, "seed")->number, f);
    if (result == 0)
        result = open_devices(f);
    if (result == 0)
        guest_load(part(&state, "guest"));
    reader_free(&state);
    return result;
}

int snapshot_load(const struct value *v, struct fault *f)
{
    struct fault why = {""};

    if (restore(v, &why) != 0)
        return fault_set(f, "Load snapshot error: Failed to restore from snapshot: %s", why.text);
    machine.track_dirty = reader_get(&fields_snapshot_load, v, "track_dirty_pages")->boolean;
    if (reader_get(&fields_snapshot_load, v, "clock_realtime")->boolean)
        guest_set_clock_now();
    machine.life = MACHINE_PAUSED;
    machine_pause();
    machine_plug();
    if (reader_get(&fields_snapshot_load, v, "resume_vm")->boolean)
        machine_resume();
    return 0;
}
