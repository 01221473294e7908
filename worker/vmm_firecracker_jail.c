/* vmm_firecracker_jail.c: the folders that jailed monitors run in; see vmm_firecracker.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/random.h"
#include "host_lock.h"
#include "image.h"
#include "net_clean.h"
#include "snapshot.h"
#include "vmm_firecracker.h"

#define MAX_FILES    "no-file=1024"
#define CLONE_WRITES "fsize=4194304" /* its process number; it need not fill the disk */
#define DEPTH_MAX    32

/* ---- removing ---- */

static int clear_at(int parent, const char *name, int depth);

static int clear_below(int folder, int depth)
{
    DIR *d = fdopendir(folder);
    struct dirent *e;
    int result = 0;

    if (!d) {
        close(folder);
        return -1;
    }
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            clear_at(dirfd(d), e->d_name, depth) != 0)
            result = -1;
    }
    closedir(d);
    return result;
}

static int clear_at(int parent, const char *name, int depth)
{
    int folder;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    if (depth == DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || clear_below(folder, depth + 1) != 0)
        return -1;
    return unlinkat(parent, name, AT_REMOVEDIR);
}

int fc_jail_clear(const char *folder)
{
    return clear_at(AT_FDCWD, folder, 0);
}

void fc_jail_clear_dead(const char *jails)
{
    DIR *d = opendir(jails);
    struct dirent *e;
    char name[320];
    int lock;

    while (d && (e = readdir(d))) {
        snprintf(name, sizeof(name), NET_CLEAN_WORKER_LOCK, e->d_name);
        lock = e->d_name[0] == '.' ? -1 : host_lock_take(name, 0);
        if (lock < 0)
            continue; /* it lives, or is this one */
        log_info("jails_removed", "worker=%s result=%d", e->d_name, clear_at(dirfd(d), e->d_name, 0));
        close(lock);
    }
    if (d)
        closedir(d);
}

void fc_jail_remove(struct fc_jail *j)
{
    if (j->root >= 0)
        close(j->root);
    j->root = -1;
    if (j->folder[0] && fc_jail_clear(j->folder) != 0)
        log_warn("jail_not_removed", "folder=%s error=%s", j->folder, strerror(errno));
    j->folder[0] = '\0';
}

/* ---- making ---- */

static int make_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* One file of the outside, to be seen in the jail under this name. */
static int add_file(struct fc_jail *j, const char *from, const char *name, int writable)
{
    int i = j->bind_count++, fd = openat(j->root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);

    if (fd < 0)
        return -1;
    close(fd);
    if (snprintf(j->from[i], sizeof(j->from[i]), "%s", from) >= (int)sizeof(j->from[i]) ||
        snprintf(j->to[i], sizeof(j->to[i]), "%s/root/%s", j->folder, name) >= (int)sizeof(j->to[i])) {
        errno = ENAMETOOLONG;
        return -1;
    }
    j->binds[i] = (struct child_bind){j->from[i], j->to[i], writable};
    return 0;
}

static int add_files(struct fc_jail *j, const struct vmm_spec *spec)
{
    const struct image *image = spec->machine.image;
    char memory[512], state[512];
    int template = spec->kind == VMM_TEMPLATE;

    snprintf(memory, sizeof(memory), "%s/" SNAPSHOT_MEMORY, spec->folder);
    snprintf(state, sizeof(state), "%s/" FC_STATE, spec->folder);
    if (add_file(j, image->paths[IMAGE_ROOT], "root.image", 0) != 0 ||
        (!j->paged && add_file(j, memory, SNAPSHOT_MEMORY, template) != 0) ||
        add_file(j, state, FC_STATE, template) != 0)
        return -1;
    if (!template)
        return 0;
    return add_file(j, image->paths[IMAGE_KERNEL], "kernel", 0) == 0 &&
                   add_file(j, image->paths[IMAGE_INITRD], "initrd", 0) == 0
               ? 0
               : -1;
}

/* The name that the jailer gives to the folder of a program's jails. */
static const char *name_of(const struct vmm_host *h)
{
    const char *slash = strrchr(h->program, '/');

    return slash ? slash + 1 : h->program;
}

int fc_jail_make(struct fc_jail *j, const struct vmm_host *h, const struct vmm_spec *spec)
{
    char path[700];

    memset(j, 0, sizeof(*j));
    j->root = -1;
    /* The first clone maps the file in any case: what it touches is recorded (working_set.h). But huge pages
     * cannot be restored from a file. */
    j->paged = h->uffd && spec->kind == VMM_CLONE && (spec->set || spec->machine.huge_pages);
    random_hex(j->id, 17);
    snprintf(path, sizeof(path), "%s/%s", h->base, name_of(h));
    if (make_folder(path) != 0)
        return -1;
    if (snprintf(j->folder, sizeof(j->folder), "%s/%s", path, j->id) >= (int)sizeof(j->folder)) {
        j->folder[0] = '\0';
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(path, sizeof(path), "%s/root", j->folder);
    if (mkdir(j->folder, 0700) != 0 || mkdir(path, 0700) != 0)
        return -1;
    j->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->root < 0 || mkdirat(j->root, "run", 0700) != 0)
        return -1;
    return add_files(j, spec);
}

void fc_jail_args(const struct fc_jail *j, const struct vmm_host *h, const struct vmm_spec *spec,
                  const char *args[FC_ARGS_MAX], char text[256])
{
    int n = 0;

    snprintf(text, 256, "%ld", spec->place.uid);
    /* The change of user ends what would kill the monitor with the worker: that falls to a shell, the PID
     * namespace's first process, with whom the kernel ends all others. */
    args[n++] = "/bin/sh";
    args[n++] = "-c";
    args[n++] = "\"$@\"; exit $?";
    args[n++] = "sh";
    args[n++] = h->jailer;
    args[n++] = "--id";
    args[n++] = j->id;
    args[n++] = "--exec-file";
    args[n++] = h->program;
    args[n++] = "--uid";
    args[n++] = text;
    args[n++] = "--gid";
    args[n++] = text;
    args[n++] = "--chroot-base-dir";
    args[n++] = h->base;
    args[n++] = "--resource-limit";
    args[n++] = MAX_FILES;
    if (spec->kind == VMM_CLONE) {
        args[n++] = "--resource-limit";
        args[n++] = CLONE_WRITES;
    }
    args[n] = NULL;
}

/* ---- its sockets ---- */

int fc_jail_find(const struct fc_jail *j, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, j->root, path, &how, sizeof(how));
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode))) {
        close(fd);
        errno = ENOTSOCK;
        return -1;
    }
    return fd;
}

int fc_jail_connect(int found, long uid, pid_t *pid)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

    snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", found);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
        if ((long)peer.uid == uid) {
            *pid = peer.pid;
            return fd;
        }
        errno = EACCES;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
