/* api.c: see api.h. A request is first understood (path, fields), then allowed or not in the machine's state,
 * then done (act.h): in this order, as the real one does it. */
#include "api.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "act.h"
#include "faults.h"
#include "fields.h"
#include "machine.h"

enum when { ALWAYS, BEFORE_START, AFTER_START };

struct route {
    enum http_method method;
    const char *path, *second; /* second: "": an id that the body's field id_field repeats; NULL: nothing */
    const struct table *table; /* of the body; NULL: any JSON, or none for GET */
    enum when when;
    int boots; /* it configures something that boots */
    int (*act)(struct call *c);
    const char *id_field, *mismatch;
};

/* ---- which there are ---- */

#define DRIVE_MISMATCH "The id from the path does not match the id from the body!"

static const struct route routes[] = {
    {HTTP_GET, "", NULL, NULL, ALWAYS, 0, act_get_info, NULL, NULL},
    {HTTP_GET, "version", NULL, NULL, ALWAYS, 0, act_get_version, NULL, NULL},
    {HTTP_GET, "vm", "config", NULL, ALWAYS, 0, act_get_config, NULL, NULL},
    {HTTP_GET, "machine-config", NULL, NULL, ALWAYS, 0, act_get_machine, NULL, NULL},
    {HTTP_GET, "mmds", NULL, NULL, ALWAYS, 0, act_get_mmds, NULL, NULL},
    {HTTP_GET, "balloon", NULL, NULL, ALWAYS, 0, act_get_balloon, NULL, NULL},
    {HTTP_PUT, "actions", NULL, &fields_action, ALWAYS, 0, act_put_actions, NULL, NULL},
    {HTTP_PUT, "balloon", NULL, &fields_balloon, BEFORE_START, 1, act_put_balloon, NULL, NULL},
    {HTTP_PUT, "boot-source", NULL, &fields_boot_source, BEFORE_START, 1, act_put_boot_source, NULL, NULL},
    {HTTP_PUT, "drives", "", &fields_drive, BEFORE_START, 1, act_put_drive, "drive_id", DRIVE_MISMATCH},
    {HTTP_PUT, "entropy", NULL, &fields_entropy, BEFORE_START, 1, act_put_entropy, NULL, NULL},
    {HTTP_PUT, "logger", NULL, &fields_logger, BEFORE_START, 0, act_put_logger, NULL, NULL},
    {HTTP_PUT, "machine-config", NULL, &fields_machine, BEFORE_START, 1, act_put_machine, NULL, NULL},
    {HTTP_PUT, "metrics", NULL, &fields_metrics, BEFORE_START, 0, act_put_metrics, NULL, NULL},
    {HTTP_PUT, "mmds", "config", &fields_mmds_config, BEFORE_START, 1, act_put_mmds_config, NULL, NULL},
    {HTTP_PUT, "mmds", NULL, NULL, ALWAYS, 0, act_put_mmds, NULL, NULL},
    {HTTP_PUT, "network-interfaces", "", &fields_net, BEFORE_START, 1, act_put_net, "iface_id", NULL},
    {HTTP_PUT, "snapshot", "create", &fields_snapshot_create, AFTER_START, 0, act_put_snapshot_create, NULL,
     NULL},
    {HTTP_PUT, "snapshot", "load", &fields_snapshot_load, BEFORE_START, 0, act_put_snapshot_load, NULL, NULL},
    {HTTP_PUT, "vsock", NULL, &fields_vsock, BEFORE_START, 1, act_put_vsock, NULL, NULL},
    {HTTP_PATCH, "balloon", NULL, &fields_balloon_update, AFTER_START, 0, act_patch_balloon, NULL, NULL},
    {HTTP_PATCH, "drives", "", &fields_drive_update, AFTER_START, 0, act_patch_drive, "drive_id",
     DRIVE_MISMATCH},
    {HTTP_PATCH, "machine-config", NULL, &fields_machine_update, BEFORE_START, 1, act_patch_machine, NULL,
     NULL},
    {HTTP_PATCH, "network-interfaces", "", &fields_net_update, AFTER_START, 0, act_patch_net, "iface_id",
     NULL},
    {HTTP_PATCH, "vm", NULL, &fields_vm, AFTER_START, 0, act_patch_vm, NULL, NULL},
};

static int fits(const struct route *r, const struct http_request *q, const char *first, const char *second)
{
    if (r->method != q->method || strcmp(r->path, first) != 0)
        return 0;
    return r->second && *r->second ? second && strcmp(r->second, second) == 0 : 1;
}

/* ---- understanding ---- */

static int check_id(struct call *c)
{
    if (!c->id || !*c->id)
        return fault_set(&c->fault, "The ID cannot be empty.");
    for (const char *p = c->id; *p; p++)
        if (*p != '_' && !isalnum((unsigned char)*p))
            return fault_set(&c->fault,
                             "API Resource IDs can only contain alphanumeric characters and underscores.");
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

    if (r->second && !*r->second && check_id(c) != 0)
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
        return fault_set(&c->fault, ACT_AFTER_TEXT);
    if (r->when == AFTER_START && !started)
        return fault_set(&c->fault, ACT_BEFORE_TEXT);
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
