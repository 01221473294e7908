/* vmm_firecracker_open.c: what of Firecracker this machine has: programs, versions, a place for jails, and
 * what a snapshot depends on; see vmm_firecracker.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/settings.h"
#include "vmm_firecracker.h"

#define RUN_LIMIT_MS 10000

/* ---- versions ---- */

int fc_version_parse(const char *line, const char *name, struct fc_version *out)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) != 0 || strncmp(line + len, " v", 2) != 0)
        return -1;
    return sscanf(line + len + 2, "%4d.%4d.%4d", &out->major, &out->minor, &out->patch) == 3 &&
                   out->major >= 0 && out->minor >= 0 && out->patch >= 0
               ? 0
               : -1;
}

static int is_at_least(const struct fc_version *v, int major, int minor, int patch)
{
    if (v->major != major)
        return v->major > major;
    return v->minor != minor ? v->minor > minor : v->patch >= patch;
}

const char *fc_versions_refuse(const struct fc_version *program, const struct fc_version *jailer)
{
    /* Before, what the guest sends over vsock may get stuck after a restore. */
    if (!is_at_least(program, 1, 16, 1))
        return "is too old: 1.16.1 or later is needed";
    if (memcmp(program, jailer, sizeof(*program)) != 0)
        return "and the jailer are of different versions";
    return NULL;
}

static int ask_version(char *program, const char *name, struct fc_version *out, char *err, size_t errlen)
{
    char *argv[] = {program, (char *)"--version", NULL};
    struct buf output = {0};
    int ok = child_run(argv, NULL, &output, RUN_LIMIT_MS) == 0 && output.data &&
             fc_version_parse(output.data, name, out) == 0;

    if (!ok)
        snprintf(err, errlen, "%s --version does not say its version: %.100s", program,
                 output.data ? output.data : "nothing");
    buf_cleanup(&output);
    return ok ? 0 : -1;
}

/* ---- opening ---- */

/* The program of a setting, or of that name in the usual folders; without symbolic links, as the jailer names
 * its folder after it. */
static int find_program(const char *setting, const char *value, const char *name, char out[256], char *err,
                        size_t errlen)
{
    char path[256], real[PATH_MAX];

    snprintf(path, sizeof(path), "%s", value);
    if (!*value && child_find_program(name, path, sizeof(path)) != 0) {
        snprintf(err, errlen,
                 "the program %s is missing: the firecracker driver needs firecracker and its jailer; "
                 "%s says where it is",
                 name, setting);
        return -1;
    }
    if (!realpath(path, real) || access(real, X_OK) != 0) {
        snprintf(err, errlen, "%s: %s cannot be run: %s", setting, path, strerror(errno));
        return -1;
    }
    if (strlen(real) >= 256) {
        snprintf(err, errlen, "%s: the path is too long", setting);
        return -1;
    }
    strcpy(out, real);
    return 0;
}

static int find_programs(struct vmm_host *h, const struct settings *s, char *err, size_t errlen)
{
    struct fc_version jailer;
    const char *refused;

    if (find_program("BERTH_FIRECRACKER", s->firecracker, "firecracker", h->program, err, errlen) != 0 ||
        find_program("BERTH_JAILER", s->jailer, "jailer", h->jailer, err, errlen) != 0 ||
        ask_version(h->program, "Firecracker", &h->version, err, errlen) != 0 ||
        ask_version(h->jailer, "Jailer", &jailer, err, errlen) != 0)
        return -1;
    refused = fc_versions_refuse(&h->version, &jailer);
    if (refused)
        snprintf(err, errlen, "%s (%d.%d.%d) %s", h->program, h->version.major, h->version.minor,
                 h->version.patch, refused);
    return refused ? -1 : 0;
}

static int make_folder(const char *path, mode_t mode)
{
    return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -1;
}

/* An empty folder for this worker's jails: what is there is a dead worker's. */
static int open_base(struct vmm_host *h, const char *state, const char *worker_id, char *err, size_t errlen)
{
    struct statvfs fs;
    char jails[300];

    snprintf(jails, sizeof(jails), "%.256s/jails", state);
    snprintf(h->base, sizeof(h->base), "%s/%.64s", jails, worker_id);
    if (make_folder(state, 0755) != 0 || make_folder(jails, 0700) != 0 || fc_jail_clear(h->base) != 0 ||
        make_folder(h->base, 0700) != 0) {
        snprintf(err, errlen, "cannot make a folder for jails: %s (BERTH_STATE): %s", h->base,
                 strerror(errno));
        return -1;
    }
    fc_jail_clear_dead(jails);
    if (statvfs(h->base, &fs) == 0 && fs.f_flag & (ST_NODEV | ST_NOEXEC))
        log_warn("jails_unusable", "folder=%s why=%s", h->base,
                 "its file system is mounted nodev or noexec: Firecracker cannot run there");
    return 0;
}

struct vmm_host *fc_open(const struct vmm_host_config *config, char *err, size_t errlen)
{
    struct vmm_host *h = mem_alloc(sizeof(*h));

    h->loop = config->loop;
    h->inotify = -1;
    if (strcmp(config->settings->vm_accel, "tcg") == 0) {
        snprintf(err, errlen, "Firecracker has KVM only: BERTH_VM_ACCEL has to be auto or kvm");
        goto fail;
    }
    h->uffd = strcmp(config->settings->vm_memory, "uffd") == 0;
    h->prefetch = strcmp(config->settings->vm_prefetch, "on") == 0;
    if (!h->uffd && strcmp(config->settings->vm_huge_pages, "on") == 0) {
        snprintf(err, errlen,
                 "BERTH_VM_HUGE_PAGES: Firecracker restores huge pages from a server of pages only: "
                 "BERTH_VM_MEMORY has to be uffd");
        goto fail;
    }
    if (find_programs(h, config->settings, err, errlen) != 0 ||
        open_base(h, config->settings->state, config->worker_id, err, errlen) != 0)
        goto fail;
    h->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (h->inotify < 0) {
        snprintf(err, errlen, "inotify: %s", strerror(errno));
        goto fail;
    }
    if (access("/dev/kvm", R_OK | W_OK) != 0)
        log_warn("no_kvm", "path=/dev/kvm error=%s", strerror(errno));
    if (!fc_can_pause(h) && strcmp(config->settings->vm_warm, "paused") == 0)
        log_warn("not_paused", "why=%s",
                 "Firecracker before 1.17 loses its guests' control port at a pause: warm microVMs are kept "
                 "running");
    log_debug("firecracker", "program=%s version=%d.%d.%d", h->program, h->version.major, h->version.minor,
              h->version.patch);
    return h;
fail:
    free(h);
    return NULL;
}

void fc_close(struct vmm_host *h)
{
    ev_io_stop(h->loop, &h->told);
    close(h->inotify);
    if (fc_jail_clear(h->base) != 0)
        log_warn("jails_not_removed", "folder=%s error=%s", h->base, strerror(errno));
    free(h);
}

const char *const *fc_accels(const struct vmm_host *h)
{
    static const char *const kvm[] = {"kvm", NULL};

    (void)h;
    return kvm;
}

/* Until 1.17 nothing gets through to the guest any more after a bare pause and resume. */
int fc_can_pause(const struct vmm_host *h)
{
    return is_at_least(&h->version, 1, 17, 0);
}

void fc_identify(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out)
{
    struct vmm_spec spec = {.kind = VMM_TEMPLATE, .machine = *m, .place = {.mac = "*"}, .folder = ""};
    struct fc_request requests[FC_REQUESTS_MAX];
    int n = fc_boot_requests(&spec, requests);

    buf_addf(out, "firecracker %d.%d.%d\n", h->version.major, h->version.minor, h->version.patch);
    for (int i = 0; i < n; i++) {
        buf_addf(out, "%s %s %s\n", requests[i].method, requests[i].path, requests[i].json);
        fc_request_free(&requests[i]);
    }
    vmm_process_add_cpu(out);
}
