/* docker_body.c: see docker_body.h. docs/isolation.md says what each of these is for. */
#include "docker_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shared/mem.h"

#define MB              (1024.0 * 1024.0)
#define CPU_SHARES_IDLE 82 /* of 1024, as the process driver's: a starting browser gives way to sessions */
#define OOM_SCORE       100
#define MAX_FILES       8192
#define HOLDER_MB       16
#define HOLDER_PIDS     8

/* Runs the browser as long as standard input is open. The worker holds the other end: when it dies, in
 * whatever way, this shell is killed, docker-init ends with it, and the kernel ends the rest. */
static const char script[] = "exec 3<&0 </dev/null\n"
                             "\"$@\" 3<&- &\n"
                             "browser=$!\n"
                             "{ cat <&3 >/dev/null; kill -KILL $$; } &\n"
                             "exec 3<&-\n"
                             "wait $browser\n";

/* ---- small pieces ---- */

static void add_string(cJSON *object, const char *name, const char *value)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateString(value));
}

static void add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateNumber(value));
}

static void add_bool(cJSON *object, const char *name, int value)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateBool(value));
}

static void add_list(cJSON *object, const char *name, const char *const *items, int count)
{
    cJSON_AddItemToObject(object, name, cJSON_CreateStringArray(items, count));
}

static void add_one(cJSON *object, const char *name, const char *item)
{
    add_list(object, name, &item, 1);
}

static void add_ulimit(cJSON *list, const char *name, int value)
{
    cJSON *item = cJSON_CreateObject();

    add_string(item, "Name", name);
    add_number(item, "Soft", value);
    add_number(item, "Hard", value);
    cJSON_AddItemToArray(list, item);
}

/* ---- what both have ---- */

static cJSON *container(const struct docker_container *c)
{
    cJSON *body = cJSON_CreateObject(), *labels = cJSON_AddObjectToObject(body, "Labels");
    char user[48], berth[16];

    snprintf(user, sizeof(user), "%ld:%ld", c->uid, c->uid);
    snprintf(berth, sizeof(berth), "%d", c->berth);
    add_string(body, "Image", c->image);
    add_string(body, "User", user);
    add_string(body, "WorkingDir", "/");
    add_string(labels, DOCKER_LABEL_WORKER, c->worker_id);
    add_string(labels, DOCKER_LABEL_BERTH, berth);
    return body;
}

/* Standard input is the one connection that attaches, and ends with it. */
static void add_stdin(cJSON *body)
{
    static const char *const flags[] = {"OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout",
                                        "AttachStderr"};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        add_bool(body, flags[i], 1);
}

/* Nothing but what is named here: no capabilities, no devices, no volumes, nothing writable. */
static cJSON *host_config(cJSON *body, const struct docker_container *c, int memory_mb, int pids)
{
    static const char *const masked[] = {
        "/proc/acpi",        "/proc/asound",   "/proc/bus",        "/proc/fs",          "/proc/interrupts",
        "/proc/irq",         "/proc/kcore",    "/proc/keys",       "/proc/kmsg",        "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi",     "/proc/timer_list", "/proc/timer_stats", "/proc/sysrq-trigger",
        "/proc/config.gz",   "/proc/kallsyms", "/proc/modules",    "/proc/key-users",   "/sys",
    };
    cJSON *host = cJSON_AddObjectToObject(body, "HostConfig"), *log, *ulimits;

    add_one(host, "CapDrop", "ALL");
    add_bool(host, "Privileged", 0);
    add_bool(host, "ReadonlyRootfs", 1);
    add_list(host, "MaskedPaths", masked, sizeof(masked) / sizeof(masked[0]));
    add_string(host, "IpcMode", "private");
    add_string(host, "CgroupnsMode", "private");
    log = cJSON_AddObjectToObject(host, "LogConfig");
    add_string(log, "Type", "none"); /* what a browser prints does not go to the host's disk */
    if (c->can->memory)
        add_number(host, "Memory", memory_mb * MB);
    if (c->can->memory && c->can->swap)
        add_number(host, "MemorySwap", memory_mb * MB); /* in all: none beside the memory */
    if (c->can->pids)
        add_number(host, "PidsLimit", pids);
    ulimits = cJSON_AddArrayToObject(host, "Ulimits");
    add_ulimit(ulimits, "core", 0);
    add_ulimit(ulimits, "nofile", MAX_FILES);
    return host;
}

char *docker_body_holder(const struct docker_container *c)
{
    static const char *const command[] = {"/bin/cat"}; /* until the worker lets go of its standard input */
    cJSON *body = container(c), *host = host_config(body, c, HOLDER_MB, HOLDER_PIDS);
    char *text;

    cJSON_AddItemToObject(body, "Entrypoint", cJSON_CreateStringArray(command, 1));
    cJSON_AddArrayToObject(body, "Cmd");
    add_stdin(body);
    add_bool(host, "AutoRemove", 1);
    add_string(host, "NetworkMode", "none"); /* a namespace with nothing in it: net_pool.c adds the link */
    add_one(host, "Dns", "127.0.0.1");       /* the relay inside the namespace; browsers get the same file */
    add_one(host, "SecurityOpt", "no-new-privileges");
    text = json_print(body);
    cJSON_Delete(body);
    return text;
}

static void add_limits(cJSON *host, const struct docker_container *c, const struct profile *p)
{
    cJSON *tmpfs = cJSON_AddObjectToObject(host, "Tmpfs");
    char options[80];

    snprintf(options, sizeof(options), "rw,nosuid,nodev,noexec,mode=1777,size=%dm", p->tmp_mb);
    add_string(tmpfs, "/tmp", options);
    add_number(host, "ShmSize", p->shm_mb * MB);
    if (c->can->cpu_quota) {
        add_number(host, "CpuPeriod", 100000);
        add_number(host, "CpuQuota", (double)(long)(p->cpus * 100000));
    }
    if (c->can->cpu_shares)
        add_number(host, "CpuShares", CPU_SHARES_IDLE);
    add_number(host, "OomScoreAdj", OOM_SCORE);
}

static void add_rate(cJSON *host, const char *name, const struct disk_devices *disks, double rate)
{
    cJSON *list = cJSON_AddArrayToObject(host, name), *item;

    for (int i = 0; i < disks->count; i++) {
        item = cJSON_CreateObject();
        add_string(item, "Path", disks->items[i].node);
        add_number(item, "Rate", rate);
        cJSON_AddItemToArray(list, item);
    }
}

static void add_disk_rates(cJSON *host, const struct docker_container *c, const struct disk_rates *rates)
{
    double bytes = (double)(long long)(rates->mib_s * MB);

    if (!c->can->disk_rates || !c->disks->count)
        return;
    if (rates->mib_s > 0) {
        add_rate(host, "BlkioDeviceReadBps", c->disks, bytes);
        add_rate(host, "BlkioDeviceWriteBps", c->disks, bytes);
    }
    if (rates->iops > 0) {
        add_rate(host, "BlkioDeviceReadIOps", c->disks, (double)rates->iops);
        add_rate(host, "BlkioDeviceWriteIOps", c->disks, (double)rates->iops);
    }
}

char *docker_body_browser(const struct docker_container *c, const struct profile *p, const char *holder_id,
                          char *const *argv, const char *seccomp)
{
    static const char *const environment[] = {"HOME=/tmp", "LANG=C.UTF-8",
                                              "PATH=/usr/local/bin:/usr/bin:/bin"};
    static const char *const entry[] = {"/bin/sh", "-c", script, "berth"};
    cJSON *body = container(c), *host = host_config(body, c, p->memory_mb, p->pids), *list;
    char *network = mem_printf("container:%s", holder_id), *filter = mem_printf("seccomp=%s", seccomp), *text;

    add_list(body, "Env", environment, 3);
    add_list(body, "Entrypoint", entry, 4);
    list = cJSON_AddArrayToObject(body, "Cmd");
    for (int i = 0; argv[i]; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(argv[i]));
    add_stdin(body);
    add_bool(host, "AutoRemove", 0); /* the driver asks how it ended, removes it, and sees that it is gone */
    add_string(host, "NetworkMode", network);
    add_bool(host, "Init", 1);
    list = cJSON_AddArrayToObject(host, "SecurityOpt");
    cJSON_AddItemToArray(list, cJSON_CreateString("no-new-privileges"));
    if (c->can->seccomp)
        cJSON_AddItemToArray(list, cJSON_CreateString(filter));
    add_limits(host, c, p);
    add_disk_rates(host, c, &p->disk);
    text = json_print(body);
    cJSON_Delete(body);
    free(network);
    free(filter);
    return text;
}

/* ---- reading ---- */

static int is_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static int number(const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(v) ? v->valueint : 0;
}

/* An engine says that it cannot limit the rates of disks in warnings alone. */
static int is_about_disk_rates(const char *warning)
{
    return strstr(warning, "blkio throttle.") || strstr(warning, "io.max");
}

void docker_body_read_info(const cJSON *info, struct docker_abilities *out)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(info, "SecurityOptions"), *item;
    const cJSON *warnings = cJSON_GetObjectItemCaseSensitive(info, "Warnings");

    *out = (struct docker_abilities){
        .memory = is_true(info, "MemoryLimit"),
        .swap = is_true(info, "SwapLimit"),
        .pids = is_true(info, "PidsLimit"),
        .cpu_quota = is_true(info, "CpuCfsQuota"),
        .cpu_shares = is_true(info, "CPUShares"),
        .disk_rates = 1,
    };
    cJSON_ArrayForEach(item, warnings)
    {
        if (cJSON_IsString(item) && is_about_disk_rates(item->valuestring))
            out->disk_rates = 0;
    }
    cJSON_ArrayForEach(item, options)
    {
        if (!cJSON_IsString(item))
            continue;
        if (strncmp(item->valuestring, "name=seccomp", 12) == 0)
            out->seccomp = 1;
        if (strncmp(item->valuestring, "name=rootless", 13) == 0)
            out->rootless = 1;
    }
}

int docker_body_read_state(const cJSON *inspected, struct docker_state *out)
{
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(inspected, "State");

    if (!cJSON_IsObject(state))
        return -1;
    *out = (struct docker_state){
        .running = is_true(state, "Running"),
        .pid = number(state, "Pid"),
        .exit_code = number(state, "ExitCode"),
        .oom_killed = is_true(state, "OOMKilled"),
    };
    return 0;
}

void docker_body_describe_end(const struct docker_state *s, char *out, size_t outlen)
{
    const char *memory = s->oom_killed ? ", out of memory" : "";

    if (s->exit_code > 128 && s->exit_code < 128 + 65)
        snprintf(out, outlen, "was killed by signal %d (%s)%s", s->exit_code - 128,
                 strsignal(s->exit_code - 128), memory);
    else
        snprintf(out, outlen, "exited with status %d%s", s->exit_code, memory);
}
