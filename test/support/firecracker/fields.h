/* fields.h: every request's body: fields, types, which are required, since which version. */
#ifndef FAKE_FIELDS_H
#define FAKE_FIELDS_H
#include "reader.h"

extern const struct table fields_action, fields_balloon, fields_balloon_statistics, fields_balloon_update,
    fields_boot_source, fields_drive, fields_drive_update, fields_entropy, fields_logger, fields_machine,
    fields_machine_update, fields_metrics, fields_mmds_config, fields_net, fields_net_update,
    fields_snapshot_create, fields_snapshot_load, fields_vm, fields_vsock;
/* Parts of them. */
extern const struct table fields_mem_backend, fields_network_override, fields_vsock_override;

enum { ACTION_FLUSH_METRICS, ACTION_INSTANCE_START, ACTION_CTRL_ALT_DEL };
enum { VM_PAUSED, VM_RESUMED };
enum { BACKEND_FILE, BACKEND_UFFD };
enum { PAGES_NONE, PAGES_2M };
enum { SNAPSHOT_DIFF, SNAPSHOT_FULL };

#endif
