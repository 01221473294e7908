/* vmm_firecracker.c: see vmm.h: a Firecracker process in its jail, driven over its API, one request at a
 * time. A step is a list of requests; the first that is refused ends it. */
#include "vmm_firecracker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/fetch.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "guest/protocol.h"
#include "page_server.h"
#include "vsock_link.h"

#define OVERHEAD_MB 64     /* the monitor itself, and the copy of its program in the jail */
#define CALL_MS     60000  /* a request */
#define SAVE_MS     180000 /* one that writes the guest's memory */

struct vmm {
    struct vmm_process process;
    struct vmm_host *host;
    enum vmm_kind kind;
    long uid;
    pid_t pid; /* of the monitor; -1 */
    struct fc_jail jail;
    struct fc_wait wait;
    int api; /* the API's socket, found; -1 */
    struct fetch *fetch;
    struct fc_request requests[FC_REQUESTS_MAX]; /* of the step under way */
    int request, request_count;
    enum vmm_step step;
    int state; /* a template's file, which is made ours when it is saved; -1 */
    struct vsock_link *link;
    struct page_server *pages; /* NULL: its memory is a file */
};

/* ---- requests ---- */

static void forget_requests(struct vmm *v)
{
    for (int i = 0; i < v->request_count; i++)
        fc_request_free(&v->requests[i]);
    v->request = v->request_count = 0;
}

static int open_vsock(void *arg)
{
    struct vmm *v = arg;
    int found = fc_jail_find(&v->jail, FC_VSOCK), fd, saved;
    pid_t pid;

    if (found < 0)
        return -1;
    fd = fc_jail_connect(found, v->uid, &pid);
    saved = errno;
    close(found);
    errno = saved;
    return fd;
}

static void end_step(struct vmm *v, const char *error)
{
    forget_requests(v);
    if (!error && (v->step == VMM_BOOT || v->step == VMM_LOAD))
        vsock_link_start(v->link, open_vsock, v);
    /* Clones' monitors read it, and no one writes it again. */
    if (!error && v->step == VMM_SAVE &&
        (fchown(v->state, geteuid(), getegid()) != 0 || fchmod(v->state, 0444) != 0))
        error = strerror(errno);
    vmm_process_step(&v->process, v->step, error);
}

static void send_request(struct vmm *v);

static void on_reply(void *arg, int status, const char *body, size_t len, const char *words)
{
    struct vmm *v = arg;
    char why[FC_WHY_MAX];

    if (status < 200 || status > 299) {
        fc_describe(v->requests[v->request].path, status, body, len, words, why);
        end_step(v, why);
    } else if (++v->request < v->request_count) {
        send_request(v);
    } else {
        end_step(v, NULL);
    }
}

static void send_request(struct vmm *v)
{
    const struct fc_request *r = &v->requests[v->request];
    char socket_path[32], url[80];
    struct fetch_request request = {.method = r->method,
                                    .url = url,
                                    .unix_socket = socket_path,
                                    .json = r->json,
                                    .timeout_ms = v->step == VMM_SAVE ? SAVE_MS : CALL_MS};

    snprintf(socket_path, sizeof(socket_path), "/proc/self/fd/%d", v->api);
    snprintf(url, sizeof(url), "http://localhost%s", r->path);
    fetch_start(v->fetch, &request, on_reply, v);
}

/* The step whose requests are in place: count of them. */
static void begin(struct vmm *v, enum vmm_step step, int count)
{
    v->step = step;
    v->request = 0;
    v->request_count = count;
    send_request(v);
}

static void fc_boot(struct vmm *v)
{
    begin(v, VMM_BOOT, v->request_count);
}

static void fc_save(struct vmm *v)
{
    begin(v, VMM_SAVE, fc_save_requests(v->requests));
}

static void fc_load(struct vmm *v)
{
    begin(v, VMM_LOAD, fc_load_requests(v->jail.paged, v->requests));
}

static void fc_pause(struct vmm *v)
{
    begin(v, VMM_PAUSE, fc_state_request(1, v->requests));
}

static void fc_resume(struct vmm *v)
{
    begin(v, VMM_RESUME, fc_state_request(0, v->requests));
}

static void on_socket(void *arg, int api, pid_t pid, const char *error)
{
    struct vmm *v = arg;

    v->api = api;
    v->pid = pid;
    vmm_process_step(&v->process, VMM_SPAWN, error);
}

/* ---- start and end ---- */

static void free_pages(struct vmm *v)
{
    struct page_server_stats s;

    if (!v->pages)
        return;
    page_server_stats(v->pages, &s);
    log_debug("pages_served", "jail=%s connected=%d faults=%llu prefetched=%llu zeros=%llu fault_us=%.0f",
              v->jail.id, s.connected, (unsigned long long)s.faults, (unsigned long long)s.prefetched,
              (unsigned long long)s.zeros, s.fault_us);
    page_server_free(v->pages);
    v->pages = NULL;
}

/* Whoever waits for a page waits for ever. */
static void on_pages_failure(void *arg, const char *why)
{
    struct vmm *v = arg;

    if (!v->process.why[0])
        snprintf(v->process.why, sizeof(v->process.why), "its memory: %.200s", why);
    vmm_process_kill(v);
}

const struct working_set *fc_ahead(const struct vmm_host *h, const struct vmm_spec *spec)
{
    return h->prefetch ? spec->set : NULL;
}

static int serve_pages(struct vmm *v, const struct vmm_spec *spec)
{
    char path[640];
    struct page_server_config config = {.loop = v->host->loop,
                                        .path = path,
                                        .uid = v->uid,
                                        .memory = spec->memory,
                                        .set = fc_ahead(v->host, spec),
                                        .on_failure = on_pages_failure,
                                        .arg = v};

    snprintf(path, sizeof(path), "%s/root/" FC_PAGES, v->jail.folder);
    v->pages = page_server_new(&config);
    return v->pages ? 0 : -1;
}

static void release(struct vmm *v)
{
    free_pages(v);
    fc_wait_end(&v->wait);
    fetch_free(v->fetch);
    forget_requests(v);
    vsock_link_free(v->link);
    if (v->api >= 0)
        close(v->api);
    if (v->state >= 0)
        close(v->state);
    fc_jail_remove(&v->jail);
}

/* A template's, for its user to write. */
static int make_state(const struct vmm_spec *spec)
{
    char path[600];
    int fd;

    snprintf(path, sizeof(path), "%s/" FC_STATE, spec->folder);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && fchown(fd, (uid_t)spec->place.uid, (gid_t)spec->place.uid) != 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int start(struct vmm *v, const struct vmm_spec *spec)
{
    const char *args[FC_ARGS_MAX];
    char text[256];
    struct child_spec child = {
        .fd_count = 3, .uid = -1, .binds = v->jail.binds, .bind_count = v->jail.bind_count};

    fc_jail_args(&v->jail, v->host, spec, args, text);
    child.argv = (char *const *)args;
    return vmm_process_start(&v->process, v->host->loop, &spec->place, &child);
}

static struct vmm *fc_spawn(struct vmm_host *h, const struct vmm_spec *spec, const struct vmm_events *events,
                            char *err, size_t errlen)
{
    struct vmm *v = mem_alloc(sizeof(*v));
    /* What it says of each request, and after it has said why it ends. */
    static const char *const dull[] = {"The API server received", "The request was executed",
                                       "Firecracker exiting with", NULL};
    const char *what = "the snapshot's state";
    int theirs = -1;

    vmm_process_init(&v->process, "Firecracker", events, release);
    v->host = h;
    v->kind = spec->kind;
    v->uid = spec->place.uid;
    v->pid = v->api = v->state = v->jail.root = -1;
    v->wait.watch = -1;
    v->fetch = fetch_new(h->loop);
    if (v->kind == VMM_TEMPLATE) {
        v->state = make_state(spec);
        if (v->state < 0)
            goto fail;
        v->request_count = fc_boot_requests(spec, v->requests);
    }
    what = "its jail";
    if (fc_jail_make(&v->jail, h, spec) != 0 ||
        fc_wait_begin(&v->wait, h, &v->jail, v->uid, on_socket, v) != 0)
        goto fail;
    what = "its memory's pages";
    if (v->jail.paged && serve_pages(v, spec) != 0)
        goto fail;
    what = "the control port";
    if (vmm_process_pair(&v->process.control, &theirs) != 0)
        goto fail;
    if (fcntl(theirs, F_SETFL, O_NONBLOCK) != 0) {
        close(theirs);
        goto fail;
    }
    v->link = vsock_link_new(h->loop, theirs, GUEST_VSOCK_PORT);
    what = "the process";
    if (start(v, spec) == 0) {
        v->process.tail.dull = dull;
        return v;
    }
fail:
    snprintf(err, errlen, "cannot start Firecracker: %s: %s", what, strerror(errno));
    vmm_process_release(v);
    return NULL;
}

static pid_t fc_pid(const struct vmm *v)
{
    return v->pid;
}

static int fc_overhead_mb(const struct vmm_host *h, const struct vmm_machine *m)
{
    (void)h;
    (void)m;
    return OVERHEAD_MB;
}

const struct vmm_ops vmm_firecracker = {
    .name = "firecracker",
    .maps_file = 1,
    .open = fc_open,
    .close = fc_close,
    .accels = fc_accels,
    .can_pause = fc_can_pause,
    .identify = fc_identify,
    .overhead_mb = fc_overhead_mb,
    .spawn = fc_spawn,
    .control = vmm_process_control,
    .boot = fc_boot,
    .save = fc_save,
    .load = fc_load,
    .pause = fc_pause,
    .resume = fc_resume,
    .kill = vmm_process_kill,
    .finish = vmm_process_finish,
    .pid = fc_pid,
    .said = vmm_process_said,
};
