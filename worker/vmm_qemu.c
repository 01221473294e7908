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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "image.h"
#include "qmp.h"
#include "vmm_tail.h"

#define MAX_FILES    1024
#define OOM_SCORE    100
#define OVERHEAD_MB  96  /* devices, stacks, QEMU's own heap */
#define TCG_EXTRA_MB 192 /* translated code and what describes it */
#define STATE_NAME   "state"
#define KVM_MAJOR    10
#define KVM_MINOR    232

struct vmm {
    struct vmm_host *host;
    struct vmm_events events;
    enum vmm_kind kind;
    struct child *child;
    struct qmp *qmp;
    struct vmm_tail tail;
    int control; /* our end; -1 once taken */
    int state;   /* a template's, to be saved into; -1 */
    int migrating;
    enum vmm_step migration; /* what a finished migration means */
    char kvm_node[96];
    char why[300]; /* first thing that went wrong */
};

const char *vmm_step_name(enum vmm_step step)
{
    static const char *const names[] = {"spawn", "boot", "save", "load", "pause", "resume"};

    return names[step];
}

/* ---- steps ---- */

static void finish_step(struct vmm *v, enum vmm_step step, const char *error)
{
    if (error && !v->why[0])
        snprintf(v->why, sizeof(v->why), "%s: %s", vmm_step_name(step), error);
    v->events.on_step(v->events.arg, step, error);
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

    snprintf(text, sizeof(text), "the migration failed: %.160s", desc ? desc : error ? error : v->tail.last);
    finish_step(v, v->migration, text);
}

static void on_qmp_event(void *arg, const char *name, const cJSON *data)
{
    struct vmm *v = arg;
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "status"));

    log_debug("vm_event", "pid=%d event=%s status=%s", v->child ? (int)child_pid(v->child) : 0, name,
              status ? status : "");
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

    if (!v->why[0])
        snprintf(v->why, sizeof(v->why), "%s", why);
    child_kill(v->child); /* its end is told by on_exit */
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

/* ---- end ---- */

static void release(struct vmm *v)
{
    qmp_free(v->qmp);
    vmm_tail_cleanup(&v->tail);
    if (v->control >= 0)
        close(v->control);
    if (v->state >= 0)
        close(v->state);
    if (v->kvm_node[0])
        unlink(v->kvm_node);
    free(v);
}

static void on_child_exit(void *arg, int status)
{
    struct vmm *v = arg;
    char why[400], how[80];

    v->child = NULL;
    vmm_tail_drain(&v->tail);
    child_describe(status, how, sizeof(how));
    snprintf(why, sizeof(why), "QEMU %s%s%s%s%.100s", how, v->tail.last[0] ? ": " : "", v->tail.last,
             v->why[0] ? "; " : "", v->why);
    v->events.on_exit(v->events.arg, why);
    release(v);
}

static void qemu_kill(struct vmm *v)
{
    child_kill(v->child);
}

static int qemu_finish(struct vmm *v, int limit_ms)
{
    int result = child_finish(v->child, limit_ms);

    release(v);
    return result;
}

static pid_t qemu_pid(const struct vmm *v)
{
    return child_pid(v->child);
}

static int qemu_control(struct vmm *v)
{
    int fd = v->control;

    v->control = -1;
    if (fd < 0)
        errno = EBADF;
    return fd;
}

static const char *qemu_said(const struct vmm *v)
{
    return v->tail.last;
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
    static char *const env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LANG=C.UTF-8", NULL};
    struct child_spec child = {.envp = env,
                               .fd_count = QEMU_FDS,
                               .pid_ns = 1,
                               .net_ns = spec->place.net_ns,
                               .cgroups = spec->place.cgroups,
                               .cgroup_count = spec->place.cgroup_count,
                               .uid = spec->place.uid,
                               .oom_score_adj = OOM_SCORE};
    char **args = vmm_qemu_args(v->host, spec, v->kvm_node);

    child.argv = args;
    memcpy(child.fds, fds, QEMU_FDS * sizeof(*fds));
    child.limits[child.limit_count++] = (struct child_limit){RLIMIT_CORE, 0};
    child.limits[child.limit_count++] = (struct child_limit){RLIMIT_NOFILE, MAX_FILES};
    v->child = child_start(v->host->loop, &child, on_child_exit, v);
    vmm_qemu_args_free(args);
    return v->child ? 0 : -1;
}

/* Two ends of a stream; ours is non-blocking. */
static int make_pair(int *ours, int *theirs)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    *ours = pair[0];
    *theirs = pair[1];
    return fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

static struct vmm *qemu_spawn(struct vmm_host *h, const struct vmm_spec *spec,
                              const struct vmm_events *events, char *err, size_t errlen)
{
    struct qmp_events qmp_events = {on_qmp_open, on_qmp_event, on_qmp_close, NULL};
    struct vmm *v = mem_alloc(sizeof(*v));
    int fds[QEMU_FDS], pipe_fds[2] = {-1, -1}, qmp = -1, ok = 0;
    const char *what = "descriptors";

    memset(fds, -1, sizeof(fds));
    v->host = h;
    v->events = *events;
    v->kind = spec->kind;
    v->control = v->state = -1;
    fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0 || pipe2(pipe_fds, O_CLOEXEC) != 0 || fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) != 0 ||
        make_pair(&qmp, &fds[QEMU_FD_QMP]) != 0 || make_pair(&v->control, &fds[QEMU_FD_CONTROL]) != 0)
        goto cleanup;
    fds[1] = fds[2] = pipe_fds[1];
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
    for (int i = 0; i < QEMU_FDS; i++) {
        if (fds[i] >= 0 && i != 1 && i != 2 && i != QEMU_FD_TAP && i != QEMU_FD_MEMORY)
            close(fds[i]);
    }
    if (pipe_fds[1] >= 0)
        close(pipe_fds[1]);
    if (!ok) {
        if (pipe_fds[0] >= 0)
            close(pipe_fds[0]);
        if (qmp >= 0)
            close(qmp);
        release(v);
        return NULL;
    }
    vmm_tail_init(&v->tail, h->loop, pipe_fds[0]);
    qmp_events.arg = v;
    v->qmp = qmp_new(h->loop, qmp, &qmp_events);
    return v;
}

static int qemu_overhead_mb(const struct vmm_machine *m)
{
    return OVERHEAD_MB + (strcmp(m->accel, "tcg") == 0 ? TCG_EXTRA_MB : 0);
}

const struct vmm_ops vmm_qemu = {
    .name = "qemu",
    .open = vmm_qemu_open,
    .close = vmm_qemu_close,
    .accels = vmm_qemu_accels,
    .identify = vmm_qemu_identify,
    .overhead_mb = qemu_overhead_mb,
    .spawn = qemu_spawn,
    .control = qemu_control,
    .boot = qemu_boot,
    .save = qemu_save,
    .load = qemu_load,
    .pause = qemu_pause,
    .resume = qemu_resume,
    .kill = qemu_kill,
    .finish = qemu_finish,
    .pid = qemu_pid,
    .said = qemu_said,
};
