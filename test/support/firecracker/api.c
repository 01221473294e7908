/* api.c: see api.h. A request is first understood (path, fields), then allowed or not in the machine's state,
 * then done: in this order, as the real one does it. */
#include "api.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "fields.h"
#include "machine.h"
#include "snapshot.h"

enum when { ALWAYS, BEFORE_START, AFTER_START };

struct call {
    const struct http_request *request;
    const char *id; /* the path's second part; NULL: there is none */
    struct value body;
    struct http_answer *answer;
    struct fault fault;
};

struct route {
    enum http_method method;
    const char *path, *second; /* second: "": an id that the body's field id_field repeats; NULL: nothing */
    const struct table *table; /* of the body; NULL: any JSON, or none for GET */
    enum when when;
    int boots; /* it configures something that boots */
    int (*act)(struct call *c);
    const char *id_field, *mismatch;
};

/* ---- what they do ---- */

static int get_info(struct call *c)
{
    static const char *const states[] = {"Not started", "Running", "Paused"};

    text_addf(&c->answer->body,
              "{\"id\":\"%s\",\"state\":\"%s\",\"vmm_version\":\"%s\",\"app_name\":\"Firecracker\"}",
              machine.id, states[machine.life], machine.version);
    return 0;
}

static int get_version(struct call *c)
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

static int get_machine(struct call *c)
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

static int get_config(struct call *c)
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

static int put_boot_source(struct call *c)
{
    return machine_put_boot_source(&c->body, &c->fault);
}

static int put_machine(struct call *c)
{
    if (reader_get(&fields_machine, &c->body, "cpu_template")->set)
        c->answer->deprecated = 1;
    return machine_update(&fields_machine, &c->body, &c->fault);
}

static int patch_machine(struct call *c)
{
    return machine_update(&fields_machine_update, &c->body, &c->fault);
}

static int put_drive(struct call *c)
{
    return machine_put_drive(&c->body, &c->fault);
}

static int patch_drive(struct call *c)
{
    return machine_patch_drive(&c->body, &c->fault);
}

static int put_net(struct call *c)
{
    return machine_put_net(&c->body, &c->fault);
}

static int patch_net(struct call *c)
{
    return machine_patch_net(&c->body, &c->fault);
}

static int put_vsock(struct call *c)
{
    c->answer->deprecated = reader_get(&fields_vsock, &c->body, "vsock_id")->set;
    return machine_put_vsock(&c->body, &c->fault);
}

static int put_entropy(struct call *c)
{
    (void)c;
    machine.has_entropy = 1;
    return 0;
}

static int get_balloon(struct call *c)
{
    if (!machine.has_balloon)
        return fault_set(&c->fault, "Balloon config error: No balloon device found.");
    text_addf(&c->answer->body,
              "{\"amount_mib\":%llu,\"deflate_on_oom\":%s,\"stats_polling_interval_s\":%llu}",
              (unsigned long long)machine.balloon_mib, machine.balloon_oom ? "true" : "false",
              (unsigned long long)machine.balloon_interval);
    return 0;
}

static int put_balloon(struct call *c)
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

static int patch_balloon(struct call *c)
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

static int put_logger(struct call *c)
{
    const struct value *path = reader_get(&fields_logger, &c->body, "log_path");

    if (path->set && open_output(path->text) != 0)
        return fault_set(&c->fault, "Logger error: Failed to open target file: %s", os_error(errno));
    machine.has_logger = 1;
    return 0;
}

static int put_metrics(struct call *c)
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

static int get_mmds(struct call *c)
{
    text_addf(&c->answer->body, "%s", metadata.len ? metadata.data : "{}");
    return 0;
}

static int put_mmds(struct call *c)
{
    text_clear(&metadata);
    text_add(&metadata, c->request->body, c->request->len);
    return 0;
}

static int put_mmds_config(struct call *c)
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

#define AFTER_TEXT  "The requested operation is not supported after starting the microVM."
#define BEFORE_TEXT "The requested operation is not supported before starting the microVM."

static int put_actions(struct call *c)
{
    int started = machine.life != MACHINE_NOT_STARTED;

    switch (reader_get(&fields_action, &c->body, "action_type")->variant) {
    case ACTION_INSTANCE_START:
        return started ? fault_set(&c->fault, AFTER_TEXT) : machine_start(&c->fault);
    case ACTION_CTRL_ALT_DEL:
        if (!started)
            return fault_set(&c->fault, BEFORE_TEXT);
        c->answer->then = HTTP_EXIT; /* a guest that shuts down ends the process */
        return 0;
    default:
        return started ? 0 : fault_set(&c->fault, BEFORE_TEXT);
    }
}

static int patch_vm(struct call *c)
{
    if (reader_get(&fields_vm, &c->body, "state")->variant == VM_PAUSED)
        machine_pause();
    else
        machine_resume();
    return 0;
}

static int put_snapshot_create(struct call *c)
{
    return snapshot_create(&c->body, &c->fault);
}

static int put_snapshot_load(struct call *c)
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

/* ---- which there are ---- */

#define DRIVE_MISMATCH "The id from the path does not match the id from the body!"

static const struct route routes[] = {
    {HTTP_GET, "", NULL, NULL, ALWAYS, 0, get_info, NULL, NULL},
    {HTTP_GET, "version", NULL, NULL, ALWAYS, 0, get_version, NULL, NULL},
    {HTTP_GET, "vm", "config", NULL, ALWAYS, 0, get_config, NULL, NULL},
    {HTTP_GET, "machine-config", NULL, NULL, ALWAYS, 0, get_machine, NULL, NULL},
    {HTTP_GET, "mmds", NULL, NULL, ALWAYS, 0, get_mmds, NULL, NULL},
    {HTTP_GET, "balloon", NULL, NULL, ALWAYS, 0, get_balloon, NULL, NULL},
    {HTTP_PUT, "actions", NULL, &fields_action, ALWAYS, 0, put_actions, NULL, NULL},
    {HTTP_PUT, "balloon", NULL, &fields_balloon, BEFORE_START, 1, put_balloon, NULL, NULL},
    {HTTP_PUT, "boot-source", NULL, &fields_boot_source, BEFORE_START, 1, put_boot_source, NULL, NULL},
    {HTTP_PUT, "drives", "", &fields_drive, BEFORE_START, 1, put_drive, "drive_id", DRIVE_MISMATCH},
    {HTTP_PUT, "entropy", NULL, &fields_entropy, BEFORE_START, 1, put_entropy, NULL, NULL},
    {HTTP_PUT, "logger", NULL, &fields_logger, BEFORE_START, 0, put_logger, NULL, NULL},
    {HTTP_PUT, "machine-config", NULL, &fields_machine, BEFORE_START, 1, put_machine, NULL, NULL},
    {HTTP_PUT, "metrics", NULL, &fields_metrics, BEFORE_START, 0, put_metrics, NULL, NULL},
    {HTTP_PUT, "mmds", "config", &fields_mmds_config, BEFORE_START, 1, put_mmds_config, NULL, NULL},
    {HTTP_PUT, "mmds", NULL, NULL, ALWAYS, 0, put_mmds, NULL, NULL},
    {HTTP_PUT, "network-interfaces", "", &fields_net, BEFORE_START, 1, put_net, "iface_id", NULL},
    {HTTP_PUT, "snapshot", "create", &fields_snapshot_create, AFTER_START, 0, put_snapshot_create, NULL,
     NULL},
    {HTTP_PUT, "snapshot", "load", &fields_snapshot_load, BEFORE_START, 0, put_snapshot_load, NULL, NULL},
    {HTTP_PUT, "vsock", NULL, &fields_vsock, BEFORE_START, 1, put_vsock, NULL, NULL},
    {HTTP_PATCH, "balloon", NULL, &fields_balloon_update, AFTER_START, 0, patch_balloon, NULL, NULL},
    {HTTP_PATCH, "drives", "", &fields_drive_update, AFTER_START, 0, patch_drive, "drive_id", DRIVE_MISMATCH},
    {HTTP_PATCH, "machine-config", NULL, &fields_machine_update, BEFORE_START, 1, patch_machine, NULL, NULL},
    {HTTP_PATCH, "network-interfaces", "", &fields_net_update, AFTER_START, 0, patch_net, "iface_id", NULL},
    {HTTP_PATCH, "vm", NULL, &fields_vm, AFTER_START, 0, patch_vm, NULL, NULL},
};

static int fits(const struct route *r, const struct http_request *q, const char *first, const char *second)
{
    if (r->method != q->method || strcmp(r->path, first) != 0)
        return 0;
    return r->second && *r->second ? second && strcmp(r->second, second) == 0 : 1;
}

/* ---- understanding ---- */

static int check_id(struct call *c, const struct route *r)
{
    if (!c->id || !*c->id)
        return fault_set(&c->fault, "The ID cannot be empty.");
    for (const char *p = c->id; *p; p++)
        if (*p != '_' && !isalnum((unsigned char)*p))
            return fault_set(&c->fault,
                             "API Resource IDs can only contain alphanumeric characters and underscores.");
    (void)r;
    return 0;
}

static int check_snapshot_load(struct call *c)
{
    int file = reader_get(&fields_snapshot_load, &c->body, "mem_file_path")->set;
    int backend = reader_get(&fields_snapshot_load, &c->body, "mem_backend")->set;

    if (file && backend)
        return fault_set(&c->fault,
                         "An error occurred when deserializing the json body of a request: too many fields: "
                         "either `mem_backend` or `mem_file_path` exclusively is required.");
    if (!file && !backend)
        return fault_set(&c->fault,
                         "An error occurred when deserializing the json body of a request: missing field: "
                         "either `mem_backend` or `mem_file_path` is required.");
    return 0;
}

static int understand(struct call *c, const struct route *r)
{
    const char *given;
    char err[600];

    if (r->second && !*r->second && check_id(c, r) != 0)
        return -1;
    if (c->request->method == HTTP_GET)
        return 0;
    if (reader_parse(r->table, c->request->body, c->request->len, &c->body, err, sizeof(err)) != 0)
        return fault_set(&c->fault, "An error occurred when deserializing the json body of a request: %s.",
                         err);
    if (r->table == &fields_snapshot_load && check_snapshot_load(c) != 0)
        return -1;
    if (!r->id_field)
        return 0;
    given = reader_get(r->table, &c->body, r->id_field)->text;
    if (strcmp(given, c->id) == 0)
        return 0;
    if (r->mismatch)
        return fault_set(&c->fault, "%s", r->mismatch);
    return fault_set(&c->fault, "The id from the path [%s] does not match the id from the body [%s]!", c->id,
                     given);
}

static int is_empty(const struct route *r, const struct value *v)
{
    for (int i = 0; r->table == &fields_machine_update && i < v->count; i++)
        if (v->fields[i].set)
            return 0;
    return r->table == &fields_machine_update;
}

static int perform(struct call *c, const struct route *r)
{
    int started = machine.life != MACHINE_NOT_STARTED;

    if (is_empty(r, &c->body))
        return fault_set(&c->fault, "Empty PATCH request.");
    if (r->when == BEFORE_START && started)
        return fault_set(&c->fault, AFTER_TEXT);
    if (r->when == AFTER_START && !started)
        return fault_set(&c->fault, BEFORE_TEXT);
    if (r->boots)
        machine.boot_path = 1;
    return r->act(c);
}

/* What has no route, in the real one's order of looking. */
static int unknown(struct call *c, const char *first)
{
    if (c->request->method == HTTP_PUT && strcmp(first, "snapshot") == 0)
        return c->id ? fault_set(&c->fault, "Invalid request method and/or path: PUT /snapshot/%s.", c->id)
                     : fault_set(&c->fault, "Missing snapshot operation type.");
    if (c->request->method == HTTP_PUT && strcmp(first, "mmds") == 0 && c->id)
        return fault_set(&c->fault, "Unrecognized PUT request path `%s`.", c->id);
    return fault_set(&c->fault, "Invalid request method and/or path: %s %s.",
                     http_method_name(c->request->method), first);
}

static int dispatch(struct call *c, const char *first)
{
    static const char *const empty[] = {NULL, "Empty PUT request.", "Empty PATCH request.", NULL};
    const struct http_request *q = c->request;
    int changes = q->method == HTTP_PUT || q->method == HTTP_PATCH;

    if (q->method == HTTP_GET && q->body)
        return fault_set(&c->fault, "GET request cannot have a body.");
    if (q->method == HTTP_DELETE && q->body)
        return fault_set(&c->fault, "Empty Delete request.");
    if (changes && !q->body)
        return fault_set(&c->fault, "%s", empty[q->method]);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *r = &routes[i];

        if (!fits(r, q, first, c->id) ||
            (r->method == HTTP_PUT && strcmp(first, "mmds") == 0 && !r->second && c->id))
            continue;
        return understand(c, r) == 0 ? perform(c, r) : -1;
    }
    return unknown(c, first);
}

/* 1: a test wanted this request to go wrong, and it does. */
static int goes_wrong(const struct http_request *r, struct http_answer *a)
{
    if (faults_has("die", r->path)) {
        a->then = HTTP_EXIT;
        a->status = 0;
        a->exit_code = 148;
    } else if (faults_has("hang", r->path)) {
        a->then = HTTP_HANG;
    } else if (faults_has("close", r->path)) {
        a->then = HTTP_CLOSE;
    } else if (faults_has("refuse", r->path)) {
        a->status = 400;
        text_addf(&a->body, "{\"fault_message\":\"fake: refused, as it was told\"}");
    } else {
        return 0;
    }
    return 1;
}

void api_handle(const struct http_request *r, struct http_answer *a)
{
    struct call c = {.request = r, .answer = a};
    char path[1100], *at = path, *first, *second;

    printf("[%s:fc_api] The API server received a %s request on \"%s\"%s%.*s.\n", machine.id,
           http_method_name(r->method), r->path, r->body ? " with body " : "", r->body ? (int)r->len : 0,
           r->body ? r->body : "");
    fflush(stdout);
    if (goes_wrong(r, a))
        return;
    snprintf(path, sizeof(path), "%s", r->path);
    at += strspn(at, "/");
    first = strsep(&at, "/");
    second = at ? strsep(&at, "/") : NULL;
    c.id = second;
    if (dispatch(&c, first) == 0) {
        a->status = a->body.len ? 200 : 204;
    } else {
        text_clear(&a->body);
        a->status = 400;
        text_addf(&a->body, "{\"fault_message\":");
        text_add_json(&a->body, c.fault.text);
        text_addf(&a->body, "}");
        printf("[%s:fc_api] Received Error. Status code: 400 Bad Request. Message: %s\n", machine.id,
               c.fault.text);
        fflush(stdout);
    }
    if (c.body.fields)
        reader_free(&c.body);
}
