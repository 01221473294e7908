/* vmm_qemu.c: see vmm.h: a QEMU process, driven over QMP.
 *
 * A template keeps the guest's memory in a shared file; with the x-ignore-shared capability a migration then
 * carries the devices alone, a few dozen kilobytes, and takes milliseconds. A clone maps that memory
 * privately and takes the devices from the file. */
#include "vmm_qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "image.h"
#include "qmp.h"
#include "vmm_process.h"

#define STATE_NAME "state"
#define KVM_MAJOR  10
#define KVM_MINOR  232

struct vmm {
    struct vmm_process process;
    struct vmm_host *host;
    enum vmm_kind kind;
    struct qmp *qmp;
    int state; /* a template's, to be saved into; -1 */
    int migrating;
    enum vmm_step migration; /* what a finished migration means */
    char kvm_node[96];
};

/* ---- steps ---- */

static void finish_step(struct vmm *v, enum vmm_step step, const char *error)
{
    vmm_process_step(&v->process, step, error);
}

static void on_spawn_reply(void *arg, const cJSON *result, const char *error)
{
    (void)result;
    finish_step(arg, VMM_SPAWN, error);
}

static void on_boot_reply(void *arg, const cJSON *result, const char *error)
{
    (void)result;
    finish_step(arg, VMM_BOOT, error);
}

static void on_pause_reply(void *arg, const cJSON *result, const char *error)
{
    (void)result;
    finish_step(arg, VMM_PAUSE, error);
}

static void on_resume_reply(void *arg, const cJSON *result, const char *error)
{
    (void)result;
    finish_step(arg, VMM_RESUME, error);
}

/* That it began; its end is an event. */
static void on_migrate_reply(void *arg, const cJSON *result, const char *error)
{
    struct vmm *v = arg;

    (void)result;
    if (error && v->migrating) {
        v->migrating = 0;
        finish_step(v, v->migration, error);
    }
}

/* After a failure: QEMU's own reason, where it has one. */
static void on_query_reply(void *arg, const cJSON *result, const char *error)
{
    struct vmm *v = arg;
    const char *desc = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(result, "error-desc"));
    char text[240];

    snprintf(text, sizeof(text), "the migration failed: %.160s",
             desc    ? desc
             : error ? error
                     : v->process.tail.last);
    finish_step(v, v->migration, text);
}

static void on_qmp_event(void *arg, const char *name, const cJSON *data)
{
    struct vmm *v = arg;
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "status"));

    log_debug("vm_event", "pid=%d event=%s status=%s",
              v->process.child ? (int)child_pid(v->process.child) : 0, name, status ? status : "");
    if (strcmp(name, "MIGRATION") != 0 || !status || !v->migrating)
        return;
    if (strcmp(status, "completed") != 0 && strcmp(status, "failed") != 0 && strcmp(status, "cancelled") != 0)
        return;
    v->migrating = 0;
    if (strcmp(status, "completed") == 0)
        finish_step(v, v->migration, NULL);
    else
        qmp_call(v->qmp, "query-migrate", NULL, on_query_reply, v);
}

static void add_capability(cJSON *list, const char *name)
{
    cJSON *item = cJSON_CreateObject();

    cJSON_AddStringToObject(item, "capability", name);
    cJSON_AddTrueToObject(item, "state");
    cJSON_AddItemToArray(list, item);
}

static void on_qmp_open(void *arg, const char *version)
{
    struct vmm *v = arg;
    cJSON *args = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(args, "capabilities");

    (void)version;
    if (v->kvm_node[0])
        unlink(v->kvm_node);
    v->kvm_node[0] = '\0';
    add_capability(list, "events");
    add_capability(list, "x-ignore-shared");
    qmp_call(v->qmp, "migrate-set-capabilities", args, on_spawn_reply, v);
}

static void on_qmp_close(void *arg, const char *why)
{
    struct vmm *v = arg;

    if (!v->process.why[0])
        snprintf(v->process.why, sizeof(v->process.why), "%s", why);
    vmm_process_kill(v); /* its end is told by on_exit */
}

static void migrate(struct vmm *v, const char *command, const char *uri, enum vmm_step step)
{
    cJSON *args = cJSON_CreateObject();

    cJSON_AddStringToObject(args, "uri", uri);
    v->migrating = 1;
    v->migration = step;
    qmp_call(v->qmp, command, args, on_migrate_reply, v);
}

static void qemu_boot(struct vmm *v)
{
    qmp_call(v->qmp, "cont", NULL, on_boot_reply, v);
}

static void on_state_reply(void *arg, const cJSON *result, const char *error)
{
    struct vmm *v = arg;

    (void)result;
    if (error)
        finish_step(v, VMM_SAVE, error);
    else
        migrate(v, "migrate", "fd:" STATE_NAME, VMM_SAVE);
}

static void qemu_save(struct vmm *v)
{
    /* An outgoing migration takes only descriptors that came this way. */
    qmp_give_fd(v->qmp, v->state, STATE_NAME, on_state_reply, v);
}

static void qemu_load(struct vmm *v)
{
    char uri[16];

    snprintf(uri, sizeof(uri), "fd:%d", QEMU_FD_STATE);
    migrate(v, "migrate-incoming", uri, VMM_LOAD);
}

static void qemu_pause(struct vmm *v)
{
    qmp_call(v->qmp, "stop", NULL, on_pause_reply, v);
}

static void qemu_resume(struct vmm *v)
{
    qmp_call(v->qmp, "cont", NULL, on_resume_reply, v);
}

static void release(struct vmm *v)
{
    qmp_free(v->qmp);
    if (v->state >= 0)
        close(v->state);
    if (v->kvm_node[0])
        unlink(v->kvm_node);
}

/* ---- spawning ---- */

/* A device file that this user may open, as /dev/kvm is usually for root alone. "" where there is no KVM. */
static void make_kvm_node(struct vmm *v, const struct vmm_spec *spec)
{
    if (strcmp(spec->machine.accel, "kvm") != 0)
        return;
    (void)mkdir("/run/berth", 0755);
    snprintf(v->kvm_node, sizeof(v->kvm_node), "/run/berth/kvm-%ld", spec->place.uid);
    unlink(v->kvm_node);
    if (mknod(v->kvm_node, S_IFCHR | 0600, makedev(KVM_MAJOR, KVM_MINOR)) != 0 ||
        chown(v->kvm_node, (uid_t)spec->place.uid, (gid_t)spec->place.uid) != 0) {
        log_warn("kvm_node", "path=%s error=%s", v->kvm_node, strerror(errno));
        unlink(v->kvm_node);
        v->kvm_node[0] = '\0';
    }
}

static int open_state(const struct vmm_spec *spec)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/" VMM_QEMU_STATE, spec->folder);
    return open(path,
                spec->kind == VMM_TEMPLATE ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC,
                0600);
}

/* Opens what the process gets, in the order of vmm_qemu_fd. 0, or -1 with errno and what is missing. */
static int open_files(const struct vmm_spec *spec, int fds[QEMU_FDS], const char **what)
{
    static const enum image_part parts[] = {IMAGE_ROOT, IMAGE_KERNEL, IMAGE_INITRD};

    *what = "the snapshot's state";
    fds[QEMU_FD_STATE] = open_state(spec);
    if (fds[QEMU_FD_STATE] < 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        *what = spec->machine.image->paths[parts[i]];
        fds[QEMU_FD_ROOT + i] = open(*what, O_RDONLY | O_CLOEXEC);
        if (fds[QEMU_FD_ROOT + i] < 0)
            return -1;
    }
    return 0;
}

static int start(struct vmm *v, const struct vmm_spec *spec, int fds[QEMU_FDS])
{
    struct child_spec child = {.fd_count = QEMU_FDS, .uid = spec->place.uid};
    char **args = vmm_qemu_args(v->host, spec, v->kvm_node);
    int result;

    child.argv = args;
    memcpy(child.fds, fds, QEMU_FDS * sizeof(*fds));
    result = vmm_process_start(&v->process, v->host->loop, &spec->place, &child);
    vmm_qemu_args_free(args);
    return result;
}

static struct vmm *qemu_spawn(struct vmm_host *h, const struct vmm_spec *spec,
                              const struct vmm_events *events, char *err, size_t errlen)
{
    struct qmp_events qmp_events = {on_qmp_open, on_qmp_event, on_qmp_close, NULL};
    struct vmm *v = mem_alloc(sizeof(*v));
    int fds[QEMU_FDS], qmp = -1, ok = 0;
    const char *what = "descriptors";

    memset(fds, -1, sizeof(fds));
    vmm_process_init(&v->process, "QEMU", events, release);
    v->host = h;
    v->kind = spec->kind;
    v->state = -1;
    if (vmm_process_pair(&qmp, &fds[QEMU_FD_QMP]) != 0 ||
        vmm_process_pair(&v->process.control, &fds[QEMU_FD_CONTROL]) != 0)
        goto cleanup;
    fds[QEMU_FD_TAP] = spec->place.tap;
    fds[QEMU_FD_MEMORY] = spec->memory;
    if (open_files(spec, fds, &what) != 0)
        goto cleanup;
    if (v->kind == VMM_TEMPLATE) {
        v->state = fcntl(fds[QEMU_FD_STATE], F_DUPFD_CLOEXEC, 0);
        if (v->state < 0)
            goto cleanup;
    }
    make_kvm_node(v, spec);
    what = "the process";
    ok = start(v, spec, fds) == 0;
cleanup:
    if (!ok)
        snprintf(err, errlen, "cannot start QEMU: %.200s: %s", what, strerror(errno));
    for (int i = QEMU_FD_QMP; i < QEMU_FDS; i++) {
        if (fds[i] >= 0 && i != QEMU_FD_TAP && i != QEMU_FD_MEMORY)
            close(fds[i]);
    }
    if (!ok) {
        if (qmp >= 0)
            close(qmp);
        vmm_process_release(v);
        return NULL;
    }
    qmp_events.arg = v;
    v->qmp = qmp_new(h->loop, qmp, &qmp_events);
    return v;
}

const struct vmm_ops vmm_qemu = {
    .name = "qemu",
    .open = vmm_qemu_open,
    .close = vmm_qemu_close,
    .accels = vmm_qemu_accels,
    .identify = vmm_qemu_identify,
    .overhead_mb = vmm_qemu_overhead_mb,
    .spawn = qemu_spawn,
    .control = vmm_process_control,
    .boot = qemu_boot,
    .save = qemu_save,
    .load = qemu_load,
    .pause = qemu_pause,
    .resume = qemu_resume,
    .kill = vmm_process_kill,
    .finish = vmm_process_finish,
    .pid = vmm_process_pid,
    .said = vmm_process_said,
};
