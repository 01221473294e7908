/* act.c: see act.h. */
#include "act.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fields.h"
#include "machine.h"
#include "snapshot.h"

int act_get_info(struct call *c)
{
    static const char *const states[] = {"Not started", "Running", "Paused"};

    text_addf(&c->answer->body,
              "{\"id\":\"%s\",\"state\":\"%s\",\"vmm_version\":\"%s\",\"app_name\":\"Firecracker\"}",
              machine.id, states[machine.life], machine.version);
    return 0;
}

int act_get_version(struct call *c)
{
    text_addf(&c->answer->body, "{\"firecracker_version\":\"%s\"}", machine.version);
    return 0;
}

static void add_machine(struct text *out)
{
    text_addf(
        out,
        "{\"vcpu_count\":%d,\"mem_size_mib\":%llu,\"smt\":%s,\"track_dirty_pages\":%s,\"huge_pages\":\"%s\"}",
        machine.vcpus, (unsigned long long)machine.memory_mib, machine.smt ? "true" : "false",
        machine.track_dirty ? "true" : "false", machine.huge_pages ? "2M" : "None");
}

int act_get_machine(struct call *c)
{
    add_machine(&c->answer->body);
    return 0;
}

static void add_drives(struct text *out)
{
    for (int i = 0; i < machine.drive_count; i++) {
        const struct drive *d = &machine.drives[i];

        text_addf(out, "%s{\"drive_id\":\"%s\",\"is_root_device\":%s,\"is_read_only\":%s,\"path_on_host\":",
                  i ? "," : "", d->id, d->root ? "true" : "false", d->read_only ? "true" : "false");
        text_add_json(out, d->path);
        text_addf(out, "}");
    }
}

int act_get_config(struct call *c)
{
    struct text *out = &c->answer->body;

    text_addf(out, "{\"balloon\":null,\"drives\":[");
    add_drives(out);
    text_addf(out, "],\"boot-source\":{\"kernel_image_path\":");
    text_add_json(out, machine.kernel);
    text_addf(out, "},\"machine-config\":");
    add_machine(out);
    text_addf(out, ",\"network-interfaces\":[");
    for (int i = 0; i < machine.net_count; i++)
        text_addf(out, "%s{\"iface_id\":\"%s\",\"host_dev_name\":\"%s\"}", i ? "," : "", machine.nets[i].id,
                  machine.nets[i].device);
    text_addf(out, "],\"vsock\":");
    if (machine.has_vsock) {
        text_addf(out, "{\"guest_cid\":%u,\"uds_path\":", machine.cid);
        text_add_json(out, machine.uds_path);
        text_addf(out, "}}");
    } else {
        text_addf(out, "null}");
    }
    return 0;
}

int act_put_boot_source(struct call *c)
{
    return machine_put_boot_source(&c->body, &c->fault);
}

int act_put_machine(struct call *c)
{
    if (reader_get(&fields_machine, &c->body, "cpu_template")->set)
        c->answer->deprecated = 1;
    return machine_update(&fields_machine, &c->body, &c->fault);
}

int act_patch_machine(struct call *c)
{
    return machine_update(&fields_machine_update, &c->body, &c->fault);
}

int act_put_drive(struct call *c)
{
    return machine_put_drive(&c->body, &c->fault);
}

int act_patch_drive(struct call *c)
{
    return machine_patch_drive(&c->body, &c->fault);
}

int act_put_net(struct call *c)
{
    return machine_put_net(&c->body, &c->fault);
}

int act_patch_net(struct call *c)
{
    return machine_patch_net(&c->body, &c->fault);
}

int act_put_vsock(struct call *c)
{
    c->answer->deprecated = reader_get(&fields_vsock, &c->body, "vsock_id")->set;
    return machine_put_vsock(&c->body, &c->fault);
}

int act_put_entropy(struct call *c)
{
    (void)c;
    machine.has_entropy = 1;
    return 0;
}

int act_get_balloon(struct call *c)
{
    if (!machine.has_balloon)
        return fault_set(&c->fault, "Balloon config error: No balloon device found.");
    text_addf(&c->answer->body,
              "{\"amount_mib\":%llu,\"deflate_on_oom\":%s,\"stats_polling_interval_s\":%llu}",
              (unsigned long long)machine.balloon_mib, machine.balloon_oom ? "true" : "false",
              (unsigned long long)machine.balloon_interval);
    return 0;
}

int act_put_balloon(struct call *c)
{
    uint64_t mib = reader_get(&fields_balloon, &c->body, "amount_mib")->number;

    if (mib > machine.memory_mib)
        return fault_set(&c->fault, "Balloon config error: Amount of pages requested is too large.");
    machine.has_balloon = 1;
    machine.balloon_mib = mib;
    machine.balloon_oom = reader_get(&fields_balloon, &c->body, "deflate_on_oom")->boolean;
    machine.balloon_interval = reader_get(&fields_balloon, &c->body, "stats_polling_interval_s")->number;
    return 0;
}

int act_patch_balloon(struct call *c)
{
    if (!machine.has_balloon)
        return fault_set(&c->fault,
                         "Balloon update error: Failed perform action on device: Device not found");
    machine.balloon_mib = reader_get(&fields_balloon_update, &c->body, "amount_mib")->number;
    return 0;
}

static int open_output(const char *path)
{
    int fd = open(path, O_RDWR | O_NONBLOCK | O_CREAT | O_CLOEXEC, 0666);

    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : -1;
}

int act_put_logger(struct call *c)
{
    const struct value *path = reader_get(&fields_logger, &c->body, "log_path");

    if (path->set && open_output(path->text) != 0)
        return fault_set(&c->fault, "Logger error: Failed to open target file: %s", os_error(errno));
    machine.has_logger = 1;
    return 0;
}

int act_put_metrics(struct call *c)
{
    const char *path = reader_get(&fields_metrics, &c->body, "metrics_path")->text;

    if (open_output(path) != 0)
        return fault_set(&c->fault,
                         "Metrics error: Cannot initialize the metrics system due to bad user input: %s",
                         os_error(errno));
    if (machine.has_metrics)
        return fault_set(&c->fault,
                         "Metrics error: Cannot initialize the metrics system due to bad user input: "
                         "Reinitialization of metrics not allowed.");
    machine.has_metrics = 1;
    return 0;
}

static struct text metadata;

int act_get_mmds(struct call *c)
{
    text_addf(&c->answer->body, "%s", metadata.len ? metadata.data : "{}");
    return 0;
}

int act_put_mmds(struct call *c)
{
    text_clear(&metadata);
    text_add(&metadata, c->request->body, c->request->len);
    return 0;
}

int act_put_mmds_config(struct call *c)
{
    const struct value *nets = reader_get(&fields_mmds_config, &c->body, "network_interfaces");

    if (nets->count == 0)
        return fault_set(&c->fault,
                         "MMMDS config error: The list of network interface IDs that allow forwarding MMDS "
                         "requests is empty.");
    for (int i = 0; i < nets->count; i++) {
        int found = 0;

        for (int k = 0; k < machine.net_count; k++)
            found |= strcmp(machine.nets[k].id, nets->fields[i].text) == 0;
        if (!found)
            return fault_set(&c->fault,
                             "MMMDS config error: The list of network interface IDs provided contains at "
                             "least one ID that does not correspond to any existing network interface.");
    }
    return 0;
}

int act_put_actions(struct call *c)
{
    int started = machine.life != MACHINE_NOT_STARTED;

    switch (reader_get(&fields_action, &c->body, "action_type")->variant) {
    case ACTION_INSTANCE_START:
        return started ? fault_set(&c->fault, ACT_AFTER_TEXT) : machine_start(&c->fault);
    case ACTION_CTRL_ALT_DEL:
        if (!started)
            return fault_set(&c->fault, ACT_BEFORE_TEXT);
        c->answer->then = HTTP_EXIT; /* a guest that shuts down ends the process */
        return 0;
    default:
        return started ? 0 : fault_set(&c->fault, ACT_BEFORE_TEXT);
    }
}

int act_patch_vm(struct call *c)
{
    if (reader_get(&fields_vm, &c->body, "state")->variant == VM_PAUSED)
        machine_pause();
    else
        machine_resume();
    return 0;
}

int act_put_snapshot_create(struct call *c)
{
    return snapshot_create(&c->body, &c->fault);
}

int act_put_snapshot_load(struct call *c)
{
    c->answer->deprecated = reader_get(&fields_snapshot_load, &c->body, "mem_file_path")->set ||
                            reader_get(&fields_snapshot_load, &c->body, "enable_diff_snapshots")->boolean;
    if (machine.boot_path)
        return fault_set(&c->fault,
                         "Load snapshot error: Loading a microVM snapshot not allowed after configuring "
                         "boot-specific resources.");
    if (snapshot_load(&c->body, &c->fault) == 0)
        return 0;
    c->answer->then = HTTP_EXIT; /* too dirty to go on */
    c->answer->exit_code = 1;
    c->answer->goodbye = "RunWithApiError error: Failed to build MicroVM: Loading snapshot failed..";
    return -1;
}
