/* vmm_firecracker.h: Firecracker in its jailer: the parts of vmm_firecracker.c that are apart for their size
 * and for tests.
 *
 * A machine's jail is <BERTH_STATE>/jails/<worker>/<program's name>/<id>/root: nothing in it is ours to
 * trust once the monitor runs. Files from outside (kernel, initrd, root, the snapshot's two) are mounted over
 * empty ones in the process's own mount namespace, read-only but for what a template writes. */
#ifndef BERTH_VMM_FIRECRACKER_H
#define BERTH_VMM_FIRECRACKER_H
#include <stddef.h>

#include "child.h"
#include "vmm.h"
#include "vmm_process.h"

#define FC_API_SOCKET   "run/firecracker.socket" /* below the jail's root */
#define FC_VSOCK        "run/control.vsock"
#define FC_PAGES        "run/pages.socket"
#define FC_STATE        "state" /* device state, in the snapshot's folder and in the jail */
#define FC_REQUESTS_MAX 8
#define FC_FILES        5
#define FC_WHY_MAX      300

struct fc_version {
    int major, minor, patch;
};

struct vmm_host {
    struct ev_loop *loop;
    char program[256], jailer[256]; /* without symbolic links */
    char base[400];                 /* of this worker's jails */
    struct fc_version version;
    int uffd;     /* 1: clones are served their pages (page_server.h) */
    int prefetch; /* 1: and those that guests touch first ahead of demand */
    int inotify;  /* tells of the sockets that monitors make */
    ev_io told;
    struct fc_wait *waiting; /* for monitors without a socket so far */
};

/* What is copied into a clone that is served its pages before they are asked for; NULL: nothing. */
const struct working_set *fc_ahead(const struct vmm_host *h, const struct vmm_spec *spec);

/* ---- vmm_firecracker_open.c ---- */

struct vmm_host *fc_open(const struct vmm_host_config *config, char *err, size_t errlen);
void fc_close(struct vmm_host *h);
const char *const *fc_accels(const struct vmm_host *h);
int fc_can_pause(const struct vmm_host *h);
void fc_identify(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out);
/* Of "Firecracker v1.16.1" or "Jailer v1.16.1", name being the first word. 0, or -1. */
int fc_version_parse(const char *line, const char *name, struct fc_version *out) MUST_USE;
/* NULL, or what is wrong with this pair. */
const char *fc_versions_refuse(const struct fc_version *program, const struct fc_version *jailer);

/* ---- vmm_firecracker_jail.c ---- */

struct fc_jail {
    char id[24];
    char folder[560]; /* <base>/<name>/<id>; "": not made */
    int root;         /* descriptor; -1 */
    char from[FC_FILES][640], to[FC_FILES][640];
    struct child_bind binds[FC_FILES];
    int bind_count;
    int paged; /* 1: a clone whose memory comes through FC_PAGES, not from a file */
};

/* A new jail for the spec. 0, or -1 with errno; remove it in any case. */
int fc_jail_make(struct fc_jail *j, const struct vmm_host *h, const struct vmm_spec *spec) MUST_USE;
void fc_jail_remove(struct fc_jail *j); /* everything; may be repeated */
/* The jailer's command line: NULL-terminated, in the caller's array, text in the caller's buffer. */
#define FC_ARGS_MAX 24
void fc_jail_args(const struct fc_jail *j, const struct vmm_host *h, const struct vmm_spec *spec,
                  const char *args[FC_ARGS_MAX], char text[256]);
/* A socket the monitor made below the jail's root, found without following what it could have laid there: a
 * descriptor for use as /proc/self/fd/N; -1 with errno. */
int fc_jail_find(const struct fc_jail *j, const char *path) MUST_USE;
/* A new non-blocking connection to it, only if a process of this user listens, whose number goes to pid. -1
 * with errno. */
int fc_jail_connect(int found, long uid, pid_t *pid) MUST_USE;
/* Removes what workers that are dead left in the folder of all workers' jails. */
void fc_jail_clear_dead(const char *jails);
/* Removes a folder and all below it without following links. 0, or -1 with errno. */
int fc_jail_clear(const char *folder);

/* ---- vmm_firecracker_wait.c ---- */

struct fc_wait {
    struct vmm_host *host;
    const struct fc_jail *jail;
    long uid;
    int watch; /* of the jail's run folder; -1: does not wait */
    ev_timer listens;
    struct fc_wait *next;
    void (*on_end)(void *arg, int api, pid_t pid, const char *error);
    void *arg;
};

/* Waits until a monitor of this user listens on the jail's FC_API_SOCKET, or fc_wait_end. on_end, once, from
 * the loop, after the wait's end: the socket (as fc_jail_find has it; the caller's from now on) and who
 * listens; or -1, -1 and why it cannot be reached. 0, or -1 with errno. */
int fc_wait_begin(struct fc_wait *w, struct vmm_host *h, const struct fc_jail *jail, long uid,
                  void (*on_end)(void *arg, int api, pid_t pid, const char *error), void *arg) MUST_USE;
/* No on_end any more. May be repeated, and called where none began (watch is -1). */
void fc_wait_end(struct fc_wait *w);

/* ---- vmm_firecracker_api.c ---- */

struct fc_request {
    const char *method, *path;
    char *json; /* owned */
};

/* What makes a template of a fresh process, in order; the last starts it. Their number. */
int fc_boot_requests(const struct vmm_spec *spec, struct fc_request out[FC_REQUESTS_MAX]);
int fc_save_requests(struct fc_request out[FC_REQUESTS_MAX]);
int fc_load_requests(int paged, struct fc_request out[FC_REQUESTS_MAX]);
int fc_state_request(int paused, struct fc_request out[FC_REQUESTS_MAX]);
void fc_request_free(struct fc_request *r);
/* The sentence for a reply that is a failure: status 0 with curl's words, or what the body says. Always one
 * printable line. */
void fc_describe(const char *path, int status, const char *body, size_t len, const char *words,
                 char out[FC_WHY_MAX]);

#endif
