/* fields.c: see fields.h. The order is the real one's, as its messages list the fields in it. */
#include "fields.h"

#define REQUIRED(name, type)                                                                                 \
    {                                                                                                        \
        name, type, FIELD_REQUIRED, NULL, NULL, 0                                                            \
    }
#define DEFAULTED(name, type)                                                                                \
    {                                                                                                        \
        name, type, FIELD_DEFAULTED, NULL, NULL, 0                                                           \
    }
#define OPTIONAL(name, type)                                                                                 \
    {                                                                                                        \
        name, type, FIELD_OPTIONAL, NULL, NULL, 0                                                            \
    }
#define CHOICE(name, need, words)                                                                            \
    {                                                                                                        \
        name, FIELD_ENUM, FIELD_##need, NULL, words, 0                                                       \
    }
#define PART(name, need, table)                                                                              \
    {                                                                                                        \
        name, FIELD_STRUCT, FIELD_##need, &table, NULL, 0                                                    \
    }
#define END                                                                                                  \
    {                                                                                                        \
        NULL, FIELD_ANY, FIELD_OPTIONAL, NULL, NULL, 0                                                       \
    }
#define TABLE(symbol, name, ...)                                                                             \
    static const struct field symbol##_list[] = {__VA_ARGS__, END};                                          \
    const struct table symbol = {name, symbol##_list, 0}
#define LAX_TABLE(symbol, name, ...)                                                                         \
    static const struct field symbol##_list[] = {__VA_ARGS__, END};                                          \
    const struct table symbol = {name, symbol##_list, 1}

static const char *const actions[] = {"FlushMetrics", "InstanceStart", "SendCtrlAltDel", NULL};
static const char *const cache_types[] = {"Unsafe", "Writeback", NULL};
static const char *const engines[] = {"Async", "Sync", NULL};
static const char *const pages[] = {"None", "2M", NULL};
static const char *const cpu_templates[] = {"C3", "T2", "T2S", "None", "T2CL", "T2A", NULL};
static const char *const snapshot_types[] = {"Diff", "Full", NULL};
static const char *const backends[] = {"File", "Uffd", NULL};
static const char *const vm_states[] = {"Paused", "Resumed", NULL};
static const char *const mmds_versions[] = {"V1", "V2", NULL};

static const struct field bucket_list[] = {REQUIRED("size", FIELD_U64), OPTIONAL("one_time_burst", FIELD_U64),
                                           REQUIRED("refill_time", FIELD_U64), END};
static const struct table bucket = {"TokenBucketConfig", bucket_list, 1};
static const struct field limiter_list[] = {PART("bandwidth", OPTIONAL, bucket),
                                            PART("ops", OPTIONAL, bucket), END};
static const struct table limiter = {"RateLimiterConfig", limiter_list, 0};

TABLE(fields_action, "ActionBody", CHOICE("action_type", REQUIRED, actions));

TABLE(fields_balloon, "BalloonDeviceConfig", REQUIRED("amount_mib", FIELD_U32),
      REQUIRED("deflate_on_oom", FIELD_BOOL), DEFAULTED("stats_polling_interval_s", FIELD_U16),
      DEFAULTED("free_page_hinting", FIELD_BOOL), DEFAULTED("free_page_reporting", FIELD_BOOL));
TABLE(fields_balloon_update, "BalloonUpdateConfig", REQUIRED("amount_mib", FIELD_U32));
TABLE(fields_balloon_statistics, "BalloonUpdateStatsConfig", REQUIRED("stats_polling_interval_s", FIELD_U16));

TABLE(fields_boot_source, "BootSourceConfig", REQUIRED("kernel_image_path", FIELD_STRING),
      OPTIONAL("initrd_path", FIELD_STRING), OPTIONAL("boot_args", FIELD_STRING));

TABLE(fields_drive, "BlockDeviceConfig", REQUIRED("drive_id", FIELD_STRING),
      OPTIONAL("partuuid", FIELD_STRING), REQUIRED("is_root_device", FIELD_BOOL),
      CHOICE("cache_type", DEFAULTED, cache_types), OPTIONAL("is_read_only", FIELD_BOOL),
      OPTIONAL("path_on_host", FIELD_STRING), PART("rate_limiter", OPTIONAL, limiter),
      CHOICE("io_engine", OPTIONAL, engines), OPTIONAL("socket", FIELD_STRING));
TABLE(fields_drive_update, "BlockDeviceUpdateConfig", REQUIRED("drive_id", FIELD_STRING),
      OPTIONAL("path_on_host", FIELD_STRING), PART("rate_limiter", OPTIONAL, limiter));

TABLE(fields_entropy, "EntropyDeviceConfig", PART("rate_limiter", OPTIONAL, limiter));

TABLE(fields_logger, "LoggerConfig", OPTIONAL("log_path", FIELD_PATH), OPTIONAL("level", FIELD_STRING),
      OPTIONAL("show_level", FIELD_BOOL), OPTIONAL("show_log_origin", FIELD_BOOL),
      OPTIONAL("module", FIELD_STRING));

TABLE(fields_machine, "MachineConfig", REQUIRED("vcpu_count", FIELD_U8), REQUIRED("mem_size_mib", FIELD_U64),
      DEFAULTED("smt", FIELD_BOOL), CHOICE("cpu_template", OPTIONAL, cpu_templates),
      DEFAULTED("track_dirty_pages", FIELD_BOOL), CHOICE("huge_pages", DEFAULTED, pages));
TABLE(fields_machine_update, "MachineConfigUpdate", OPTIONAL("vcpu_count", FIELD_U8),
      OPTIONAL("mem_size_mib", FIELD_U64), OPTIONAL("smt", FIELD_BOOL),
      CHOICE("cpu_template", OPTIONAL, cpu_templates), OPTIONAL("track_dirty_pages", FIELD_BOOL),
      CHOICE("huge_pages", OPTIONAL, pages));

LAX_TABLE(fields_metrics, "MetricsConfig", REQUIRED("metrics_path", FIELD_PATH));

TABLE(fields_mmds_config, "MmdsConfig", CHOICE("version", DEFAULTED, mmds_versions),
      {"network_interfaces", FIELD_LIST, FIELD_REQUIRED, NULL, NULL, 0},
      OPTIONAL("ipv4_address", FIELD_STRING), DEFAULTED("imds_compat", FIELD_BOOL));

TABLE(fields_net, "NetworkInterfaceConfig", REQUIRED("iface_id", FIELD_STRING),
      REQUIRED("host_dev_name", FIELD_STRING), OPTIONAL("guest_mac", FIELD_MAC),
      {"mtu", FIELD_U16, FIELD_OPTIONAL, NULL, NULL, 16}, PART("rx_rate_limiter", OPTIONAL, limiter),
      PART("tx_rate_limiter", OPTIONAL, limiter));
TABLE(fields_net_update, "NetworkInterfaceUpdateConfig", REQUIRED("iface_id", FIELD_STRING),
      PART("rx_rate_limiter", OPTIONAL, limiter), PART("tx_rate_limiter", OPTIONAL, limiter));

TABLE(fields_snapshot_create, "CreateSnapshotParams", CHOICE("snapshot_type", DEFAULTED, snapshot_types),
      REQUIRED("snapshot_path", FIELD_PATH), REQUIRED("mem_file_path", FIELD_PATH));

TABLE(fields_mem_backend, "MemBackendConfig", REQUIRED("backend_path", FIELD_PATH),
      CHOICE("backend_type", REQUIRED, backends));
LAX_TABLE(fields_network_override, "NetworkOverride", REQUIRED("iface_id", FIELD_STRING),
          REQUIRED("host_dev_name", FIELD_STRING));
LAX_TABLE(fields_vsock_override, "VsockOverride", REQUIRED("uds_path", FIELD_STRING));
TABLE(fields_snapshot_load, "LoadSnapshotConfig", REQUIRED("snapshot_path", FIELD_PATH),
      OPTIONAL("mem_file_path", FIELD_PATH), PART("mem_backend", OPTIONAL, fields_mem_backend),
      DEFAULTED("enable_diff_snapshots", FIELD_BOOL), DEFAULTED("track_dirty_pages", FIELD_BOOL),
      DEFAULTED("resume_vm", FIELD_BOOL),
      {"network_overrides", FIELD_LIST, FIELD_DEFAULTED, &fields_network_override, NULL, 0},
      {"vsock_override", FIELD_STRUCT, FIELD_OPTIONAL, &fields_vsock_override, NULL, 16},
      {"clock_realtime", FIELD_BOOL, FIELD_DEFAULTED, NULL, NULL, 16});

TABLE(fields_vm, "Vm", CHOICE("state", REQUIRED, vm_states));

TABLE(fields_vsock, "VsockDeviceConfig", OPTIONAL("vsock_id", FIELD_STRING), REQUIRED("guest_cid", FIELD_U32),
      REQUIRED("uds_path", FIELD_STRING));
