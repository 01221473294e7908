/* jail.c: see jail.h. */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/mem.h"
#include "jail_filter.h"

#define ARGS_MAX 512
#define FILES    5
#define FIRST_FD 3

#define LOCAL_SETTINGS "/usr/local/etc"

#define JAIL_UID "1000" /* inside; outside it is the berth's own */

struct jail {
    char bwrap[64];
    /* What bubblewrap reads: the filter, then files for /etc. Opened anew for each start, as reading moves
     * the position. */
    int filter;
    struct {
        const char *path;
        int fd;
    } files[FILES];
};

/* Data in a file without a name. -1 with errno. */
static int memory_file(const char *name, const void *data, size_t len)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd >= 0 && write(fd, data, len) != (ssize_t)len) {
        close(fd);
        return -1;
    }
    return fd;
}

struct jail *jail_new(const char *resolv_conf, char *err, size_t errlen)
{
    const char *texts[FILES][2] = {
        {"/etc/passwd", "berth:x:" JAIL_UID ":" JAIL_UID ":berth:/tmp/home:/usr/sbin/nologin\n"},
        {"/etc/group", "berth:x:" JAIL_UID ":\n"},
        {"/etc/hosts", "127.0.0.1 localhost berth\n"},
        {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
        {"/etc/resolv.conf", resolv_conf},
    };
    struct jail *j = mem_alloc(sizeof(*j));
    struct buf filter = {0};
    int ok;

    if (child_find_program("bwrap", j->bwrap, sizeof(j->bwrap)) != 0) {
        snprintf(err, errlen, "the program bwrap is missing: install the Debian package bubblewrap");
        free(j);
        return NULL;
    }
    jail_filter_build(&filter);
    j->filter = filter.len ? memory_file("filter", filter.data, filter.len) : -1;
    ok = !filter.len || j->filter >= 0;
    buf_cleanup(&filter);
    for (int i = 0; i < FILES; i++) {
        j->files[i].path = texts[i][0];
        j->files[i].fd = memory_file(texts[i][0], texts[i][1], strlen(texts[i][1]));
        ok &= j->files[i].fd >= 0;
    }
    if (!ok) {
        snprintf(err, errlen, "cannot make the jail's files: %s", strerror(errno));
        jail_free(j);
        return NULL;
    }
    return j;
}

void jail_free(struct jail *j)
{
    if (!j)
        return;
    for (int i = 0; i < FILES; i++) {
        if (j->files[i].fd >= 0)
            close(j->files[i].fd);
    }
    if (j->filter >= 0)
        close(j->filter);
    free(j);
}

/* ---- the command line ---- */

struct args {
    char **list;
    size_t count;
};

static void add(struct args *a, const char *s)
{
    if (a->count % 64 == 0)
        a->list = mem_realloc(a->list, (a->count + 65) * sizeof(*a->list));
    a->list[a->count++] = mem_strdup(s);
    a->list[a->count] = NULL;
}

#define ADD(a, ...)                                                                                          \
    do {                                                                                                     \
        const char *const words[] = {__VA_ARGS__};                                                           \
        for (size_t word = 0; word < sizeof(words) / sizeof(words[0]); word++)                               \
            add(a, words[word]);                                                                             \
    } while (0)

/* A merged /usr has links for /bin and the like; an unmerged one has folders. */
static void add_system(struct args *a)
{
    static const char *const tops[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    /* Fonts and certificates, and what makes finding them and the libraries quick. */
    static const char *const shown[] = {"/etc/fonts",        "/etc/ssl/certs",   "/etc/ca-certificates",
                                        "/etc/alternatives", "/etc/ld.so.cache", "/var/cache/fontconfig"};

    ADD(a, "--ro-bind", "/usr", "/usr");
    for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
        char target[PATH_MAX];
        ssize_t n = readlink(tops[i], target, sizeof(target) - 1);

        if (n > 0) {
            target[n] = '\0';
            ADD(a, "--symlink", target, tops[i]);
        } else {
            ADD(a, "--ro-bind-try", tops[i], tops[i]);
        }
    }
    /* The machine's own settings, not a part of any program. */
    if (access(LOCAL_SETTINGS, F_OK) == 0)
        ADD(a, "--tmpfs", LOCAL_SETTINGS, "--remount-ro", LOCAL_SETTINGS);
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        ADD(a, "--ro-bind-try", shown[i], shown[i]);
}

static void add_writable(struct args *a, const struct jail_args *args)
{
    char size[32];

    ADD(a, "--proc", "/proc", "--dev", "/dev");
    /* No terminals: their number is one for the whole machine, and a browser has no use for one. */
    ADD(a, "--tmpfs", "/dev/pts", "--remount-ro", "/dev/pts");
    snprintf(size, sizeof(size), "%lld", args->shm_mb * 1048576LL);
    ADD(a, "--perms", "1777", "--size", size, "--tmpfs", "/dev/shm");
    snprintf(size, sizeof(size), "%lld", args->tmp_mb * 1048576LL);
    ADD(a, "--perms", "1777", "--size", size, "--tmpfs", "/tmp");
    ADD(a, "--dir", "/tmp/home", "--dir", JAIL_PROFILE_DIR, "--dir", "/tmp/downloads", "--symlink", "../tmp",
        "/var/tmp", "--dir", "/run");
}

static void add_localtime(struct args *a)
{
    char target[PATH_MAX];

    if (realpath("/etc/localtime", target) && strncmp(target, "/usr/", 5) == 0)
        ADD(a, "--symlink", target, "/etc/localtime");
    else
        ADD(a, "--ro-bind-try", "/etc/localtime", "/etc/localtime");
}

/* A browser outside /usr (an own build, say): its folder, at the same place. 0, or -1 with errno. */
static int add_program_folder(struct args *a, const char *program, char real[PATH_MAX])
{
    char folder[PATH_MAX], *slash;

    if (!realpath(program, real))
        return -1;
    if (strncmp(real, "/usr/", 5) == 0)
        return 0;
    snprintf(folder, sizeof(folder), "%s", real);
    slash = strrchr(folder, '/');
    if (slash == folder) {
        errno = EINVAL; /* the whole root would be shown */
        return -1;
    }
    *slash = '\0';
    ADD(a, "--ro-bind", folder, folder);
    return 0;
}

static int open_again(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The next descriptor of the child, as text for the command line; -1 with errno. */
static int pass(struct child_spec *spec, int fd, char number[16])
{
    int again = open_again(fd);

    if (again < 0)
        return -1;
    snprintf(number, 16, "%d", spec->fd_count);
    spec->fds[spec->fd_count++] = again;
    return 0;
}

int jail_prepare(struct jail *j, const struct jail_args *args, struct child_spec *spec)
{
    static char *const env[] = {(char *)"PATH=/usr/bin:/bin",
                                (char *)"HOME=/tmp/home",
                                (char *)"USER=berth",
                                (char *)"LANG=C.UTF-8",
                                (char *)"TMPDIR=/tmp",
                                (char *)"XDG_RUNTIME_DIR=/tmp/home",
                                (char *)"DBUS_SESSION_BUS_ADDRESS=disabled:",
                                (char *)"DBUS_SYSTEM_BUS_ADDRESS=disabled:",
                                NULL};
    struct args a = {0};
    char real[PATH_MAX], number[16];

    spec->fd_count = FIRST_FD;
    ADD(&a, j->bwrap, "--unshare-user", "--uid", JAIL_UID, "--gid", JAIL_UID, "--unshare-pid",
        "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "berth", "--die-with-parent",
        "--new-session", "--chdir", "/tmp");
    add_system(&a);
    add_writable(&a, args);
    add_localtime(&a);
    spec->argv = a.list;
    spec->envp = env;
    for (int i = 0; i < FILES; i++) {
        if (pass(spec, j->files[i].fd, number) != 0)
            goto fail;
        ADD(&a, "--perms", "0444", "--file", number, j->files[i].path);
    }
    if (add_program_folder(&a, args->program, real) != 0)
        goto fail;
    ADD(&a, "--chmod", "0755", "/etc", "--remount-ro", "/dev", "--remount-ro", "/");
    if (j->filter >= 0) {
        if (pass(spec, j->filter, number) != 0)
            goto fail;
        ADD(&a, "--seccomp", number);
    }
    ADD(&a, "--", real);
    for (char *const *arg = args->args; arg && *arg; arg++)
        add(&a, *arg);
    spec->argv = a.list;
    return 0;
fail:
    spec->argv = a.list;
    jail_release(spec);
    return -1;
}

void jail_release(struct child_spec *spec)
{
    int saved = errno;

    for (int i = FIRST_FD; i < spec->fd_count; i++)
        close(spec->fds[i]);
    spec->fd_count = 0;
    for (char *const *arg = spec->argv; arg && *arg; arg++)
        free(*arg);
    free((void *)spec->argv);
    spec->argv = NULL;
    errno = saved;
}
