/* vmm_firecracker_api.c: what Firecracker's API is told and what its refusals become; see vmm_firecracker.h.
 * Paths are the jail's: the same for a template and all its clones, which the snapshot counts on. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json.h"
#include "../shared/mem.h"
#include "guest/protocol.h"
#include "image.h"
#include "net_tap.h"
#include "snapshot.h"
#include "vmm_firecracker.h"

#define GUEST_CID 3
/* No PCI, and of the keyboard's controller only what a reset needs. */
#define CMDLINE_MORE "pci=off i8042.noaux i8042.nomux i8042.dumbkbd"

static int add(struct fc_request *out, int n, const char *method, const char *path, cJSON *body)
{
    out[n] = (struct fc_request){method, path, json_print(body)};
    cJSON_Delete(body);
    return n + 1;
}

static cJSON *machine_config(const struct vmm_machine *m)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddNumberToObject(body, "vcpu_count", m->vcpus);
    cJSON_AddNumberToObject(body, "mem_size_mib", m->memory_mb);
    if (m->huge_pages)
        cJSON_AddStringToObject(body, "huge_pages", "2M");
    return body;
}

static cJSON *boot_source(const struct image *image)
{
    cJSON *body = cJSON_CreateObject();
    char *cmdline = mem_printf("%s " CMDLINE_MORE, image->cmdline);

    cJSON_AddStringToObject(body, "kernel_image_path", "/kernel");
    cJSON_AddStringToObject(body, "initrd_path", "/initrd");
    cJSON_AddStringToObject(body, "boot_args", cmdline);
    free(cmdline);
    return body;
}

static cJSON *root_drive(void)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, "drive_id", "root");
    cJSON_AddStringToObject(body, "path_on_host", "/root.image");
    /* Nothing is added to the kernel's command line: the guest's init mounts it. */
    cJSON_AddFalseToObject(body, "is_root_device");
    cJSON_AddTrueToObject(body, "is_read_only");
    return body;
}

static cJSON *card(const char *mac)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, "iface_id", "eth0");
    cJSON_AddStringToObject(body, "host_dev_name", NET_TAP_NAME);
    cJSON_AddStringToObject(body, "guest_mac", mac);
    return body;
}

static cJSON *vsock(void)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddNumberToObject(body, "guest_cid", GUEST_CID);
    cJSON_AddStringToObject(body, "uds_path", "/" FC_VSOCK);
    return body;
}

static cJSON *one(const char *name, const char *value)
{
    cJSON *body = cJSON_CreateObject();

    cJSON_AddStringToObject(body, name, value);
    return body;
}

int fc_boot_requests(const struct vmm_spec *spec, struct fc_request out[FC_REQUESTS_MAX])
{
    int n = add(out, 0, "PUT", "/machine-config", machine_config(&spec->machine));

    n = add(out, n, "PUT", "/boot-source", boot_source(spec->machine.image));
    n = add(out, n, "PUT", "/drives/root", root_drive());
    n = add(out, n, "PUT", "/network-interfaces/eth0", card(spec->place.mac));
    n = add(out, n, "PUT", "/vsock", vsock());
    n = add(out, n, "PUT", "/entropy", cJSON_CreateObject());
    return add(out, n, "PUT", "/actions", one("action_type", "InstanceStart"));
}

int fc_state_request(int paused, struct fc_request out[FC_REQUESTS_MAX])
{
    return add(out, 0, "PATCH", "/vm", one("state", paused ? "Paused" : "Resumed"));
}

int fc_save_requests(struct fc_request out[FC_REQUESTS_MAX])
{
    cJSON *body = cJSON_CreateObject();
    int n = fc_state_request(1, out);

    cJSON_AddStringToObject(body, "snapshot_type", "Full");
    cJSON_AddStringToObject(body, "snapshot_path", "/" FC_STATE);
    cJSON_AddStringToObject(body, "mem_file_path", "/" SNAPSHOT_MEMORY);
    return add(out, n, "PUT", "/snapshot/create", body);
}

int fc_load_requests(int paged, struct fc_request out[FC_REQUESTS_MAX])
{
    cJSON *body = cJSON_CreateObject(), *memory = cJSON_CreateObject();

    cJSON_AddStringToObject(memory, "backend_type", paged ? "Uffd" : "File");
    cJSON_AddStringToObject(memory, "backend_path", paged ? "/" FC_PAGES : "/" SNAPSHOT_MEMORY);
    cJSON_AddStringToObject(body, "snapshot_path", "/" FC_STATE);
    cJSON_AddItemToObject(body, "mem_backend", memory);
    cJSON_AddTrueToObject(body, "resume_vm");
    return add(out, 0, "PUT", "/snapshot/load", body);
}

void fc_request_free(struct fc_request *r)
{
    free(r->json);
    r->json = NULL;
}

/* The first line of text, what is not printable replaced. */
static void add_line(char *out, size_t outlen, const char *text)
{
    size_t used = strlen(out);

    for (; *text && *text != '\n' && used < outlen - 1; text++)
        out[used++] = isprint((unsigned char)*text) ? *text : '?';
    out[used] = '\0';
}

void fc_describe(const char *path, int status, const char *body, size_t len, const char *words,
                 char out[FC_WHY_MAX])
{
    char err[80];
    cJSON *json = status ? json_parse(body, len, err, sizeof(err)) : NULL;
    const char *fault = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "fault_message"));

    if (status == 0)
        snprintf(out, FC_WHY_MAX, "%s: no reply from Firecracker: ", path);
    else
        snprintf(out, FC_WHY_MAX, "%s: Firecracker (%d): ", path, status);
    add_line(out, FC_WHY_MAX, status == 0 ? words : fault && *fault ? fault : "it did not say why");
    cJSON_Delete(json);
}
