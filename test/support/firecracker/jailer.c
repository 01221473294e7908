/* jailer.c: the fake of Firecracker's jailer. Arguments, checks, the jail's layout and what it does to the
 * process are the real one's; so are its words. Beyond it: it makes the guest's network (net.h) and leaves
 * that and the faults' file to what it executes. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "faults.h"
#include "jail_cgroup.h"
#include "net.h"
#include "text.h"

#define NO_FILE_DEFAULT 2048

static struct arg args[] = {
    {.name = "cgroup", .kind = ARGS_MANY},
    {.name = "cgroup-version", .kind = ARGS_VALUE, .fallback = "1"},
    {.name = "chroot-base-dir", .kind = ARGS_VALUE, .fallback = "/srv/jailer"},
    {.name = "daemonize"},
    {.name = "exec-file", .kind = ARGS_VALUE, .required = 1},
    {.name = "gid", .kind = ARGS_VALUE, .required = 1},
    {.name = "id", .kind = ARGS_VALUE, .required = 1},
    {.name = "netns", .kind = ARGS_VALUE},
    {.name = "new-pid-ns"},
    {.name = "parent-cgroup", .kind = ARGS_VALUE},
    {.name = "resource-limit", .kind = ARGS_MANY},
    {.name = "uid", .kind = ARGS_VALUE, .required = 1},
    {.name = "version"},
    {.name = NULL},
};

static struct {
    const char *id, *name; /* of the instance; of the program */
    char exec[PATH_MAX], root[PATH_MAX];
    uid_t uid;
    gid_t gid;
    char **extra;
    struct rlimit no_file, fsize;
    int has_fsize;
} jail;

static struct fault fault;

#define FAIL(...) return fault_set(&fault, __VA_ARGS__)

/* ---- arguments ---- */

static int number(const char *text, unsigned long long max, unsigned long long *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text < '0' || *text > '9' || *end || errno || *out > max ? -1 : 0;
}

static int take_limits(void)
{
    const struct arg *limits = args_find(args, "resource-limit");

    jail.no_file.rlim_cur = jail.no_file.rlim_max = NO_FILE_DEFAULT;
    for (int i = 0; i < limits->count; i++) {
        const char *given = limits->values[i], *equals = strchr(given, '=');
        unsigned long long n;

        if (!equals)
            FAIL("Invalid format for resources limits: %s", given);
        if (number(equals + 1, ULLONG_MAX, &n) != 0)
            FAIL("Invalid limit value for resource: %s: invalid digit found in string", equals + 1);
        if (strncmp(given, "no-file=", 8) == 0)
            jail.no_file.rlim_cur = jail.no_file.rlim_max = n;
        else if (strncmp(given, "fsize=", 6) == 0) {
            jail.fsize.rlim_cur = jail.fsize.rlim_max = n;
            jail.has_fsize = 1;
        } else {
            FAIL("Invalid resource argument: %.*s", (int)(equals - given), given);
        }
    }
    return 0;
}

static int take_args(void)
{
    const char *exec = args_get(args, "exec-file"), *base = args_get(args, "chroot-base-dir");
    char why[200], path[PATH_MAX];
    unsigned long long n;
    struct stat st;

    jail.id = args_get(args, "id");
    if (args_check_id(jail.id, why, sizeof(why)) != 0)
        FAIL("Invalid instance ID: %s", why);
    if (!realpath(exec, jail.exec))
        FAIL("Failed to canonicalize path %s: %s", exec, os_error(errno));
    if (stat(jail.exec, &st) != 0 || !S_ISREG(st.st_mode))
        FAIL("%s is not a file", jail.exec);
    jail.name = strrchr(jail.exec, '/') + 1;
    if (!realpath(base, path))
        FAIL("Failed to canonicalize path %s: %s", base, os_error(errno));
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        FAIL("%s is not a directory", path);
    snprintf(jail.root, sizeof(jail.root), "%.2000s/%.255s/%.64s/root", path, jail.name, jail.id);
    if (number(args_get(args, "uid"), UINT_MAX, &n) != 0)
        FAIL("Invalid uid: %s", args_get(args, "uid"));
    jail.uid = (uid_t)n;
    if (number(args_get(args, "gid"), UINT_MAX, &n) != 0)
        FAIL("Invalid gid: %s", args_get(args, "gid"));
    jail.gid = (gid_t)n;
    if (jail_cgroup_check(args, jail.name, &fault) != 0)
        return -1;
    return take_limits();
}

/* ---- the jail ---- */

static int make_folders(const char *path)
{
    char copy[PATH_MAX];

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *at = strchr(copy + 1, '/');; at = strchr(at + 1, '/')) {
        if (at)
            *at = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST)
            FAIL("Failed to create directory %s: %s", path, os_error(errno));
        if (!at)
            return 0;
        *at = '/';
    }
}

static int copy_exec(void)
{
    static char block[1 << 16];
    char path[PATH_MAX + 256];
    int from = open(jail.exec, O_RDONLY | O_CLOEXEC), to;
    struct stat st;
    ssize_t n;

    if (from < 0 || fstat(from, &st) != 0)
        FAIL("Failed to open %s: %s", jail.exec, os_error(errno));
    snprintf(path, sizeof(path), "%s/%s", jail.root, jail.name);
    to = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, st.st_mode & 07777);
    if (to < 0)
        FAIL("Failed to open %s: %s", path, os_error(errno));
    if (fstat(to, &st) == 0 && st.st_nlink > 1)
        FAIL("Detected hard link at: %s", path);
    if (fchown(to, jail.uid, jail.gid) != 0)
        FAIL("Failed to change owner for %s: %s", path, os_error(errno));
    while ((n = read(from, block, sizeof(block))) > 0)
        if (write(to, block, (size_t)n) != n)
            n = -1;
    if (n < 0)
        FAIL("Failed to copy %s to %s: %s", jail.exec, path, os_error(errno));
    close(from);
    close(to);
    return 0;
}

static int join_network(void)
{
    const char *path = args_get(args, "netns");
    int fd;

    if (!path)
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        FAIL("Failed to open file %s: %s", path, os_error(errno));
    if (setns(fd, CLONE_NEWNET) != 0)
        FAIL("Failed to join network namespace: netns: %s", os_error(errno));
    close(fd);
    return 0;
}

static int set_limits(void)
{
    if (jail.has_fsize && setrlimit(RLIMIT_FSIZE, &jail.fsize) != 0)
        FAIL("Failed to set limit for resource: fsize");
    if (setrlimit(RLIMIT_NOFILE, &jail.no_file) != 0)
        FAIL("Failed to set limit for resource: no-file");
    return 0;
}

static int change_root(void)
{
    if (unshare(CLONE_NEWNS) != 0)
        FAIL("Failed to unshare into new mount namespace: %s", os_error(errno));
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0)
        FAIL("Failed to change the propagation type to slave: %s", os_error(errno));
    if (mount(jail.root, jail.root, NULL, MS_BIND | MS_REC, NULL) != 0)
        FAIL("Failed to bind mount the jail root directory: %s", os_error(errno));
    if (chdir(jail.root) != 0)
        FAIL("Failed to change current directory: %s", os_error(errno));
    if (mkdir("old_root", 0600) != 0)
        FAIL("Failed to create the jail root directory before pivoting root: %s", os_error(errno));
    if (syscall(SYS_pivot_root, ".", "old_root") != 0)
        FAIL("Failed to pivot root: %s", os_error(errno));
    if (chdir("/") != 0)
        FAIL("Failed to chdir into chroot directory: %s", os_error(errno));
    if (umount2("old_root", MNT_DETACH) != 0)
        FAIL("Failed to unmount the old jail root: %s", os_error(errno));
    if (rmdir("old_root") != 0)
        FAIL("Failed to remove old jail root directory: %s", os_error(errno));
    return 0;
}

static int make_device(const char *path, unsigned major_number, unsigned minor_number)
{
    if (mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number)) != 0)
        FAIL("Failed to create %s via mknod inside the jail: %s", path, os_error(errno));
    if (chown(path, jail.uid, jail.gid) != 0)
        FAIL("Failed to change owner for %s: %s", path, os_error(errno));
    return 0;
}

/* Its number is the kernel's choice; -1: there is none. */
static int userfaultfd_minor(void)
{
    FILE *f = fopen("/proc/misc", "re");
    char name[64];
    int n, found = -1;

    while (f && fscanf(f, "%d %63s", &n, name) == 2)
        if (strcmp(name, "userfaultfd") == 0)
            found = n;
    if (f)
        fclose(f);
    return found;
}

static int furnish(int uffd_minor)
{
    static const char *const folders[] = {"/", "/dev", "/dev/net", "/run"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (mkdir(folders[i], 0700) != 0 && errno != EEXIST)
            FAIL("Failed to create directory %s: %s", folders[i], os_error(errno));
        if (chmod(folders[i], 0700) != 0)
            FAIL("Failed to change permissions on %s: %s", folders[i], os_error(errno));
        if (chown(folders[i], jail.uid, jail.gid) != 0)
            FAIL("Failed to change owner for %s: %s", folders[i], os_error(errno));
    }
    if (make_device("/dev/net/tun", 10, 200) != 0 || make_device("/dev/kvm", 10, 232) != 0)
        return -1;
    if (make_device("/dev/urandom", 1, 9) != 0)
        printf("Warning! Could not create /dev/urandom device inside jailer.\n");
    return uffd_minor >= 0 ? make_device("/dev/userfaultfd", 10, (unsigned)uffd_minor) : 0;
}

/* ---- the program ---- */

static void save_pid(int pid)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof(path), "/%.255s.pid", jail.name);
    f = fopen(path, "wxe");
    if (!f || fprintf(f, "%d", pid) < 0) {
        fprintf(stderr, "Failed to open file %s: %s\n", path, os_error(errno));
        exit(1);
    }
    fclose(f);
}

static void execute(void)
{
    char path[300], now[32],
        *argv[128] = {path,
                      (char *)"--id",
                      (char *)jail.id,
                      (char *)"--start-time-us",
                      now,
                      (char *)"--start-time-cpu-us",
                      (char *)"1000",
                      (char *)"--parent-cpu-time-us",
                      (char *)"1000"};
    static char inherited[] = FAKE_FD_ENV "=1";
    char *env[] = {inherited, NULL};
    struct timespec t;
    int n = 9;

    clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(now, sizeof(now), "%lld", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    snprintf(path, sizeof(path), "/%.255s", jail.name);
    for (char **e = jail.extra; *e && n < 127; e++)
        argv[n++] = *e;
    if (setgroups(0, NULL) == 0 && setgid(jail.gid) == 0 && setuid(jail.uid) == 0)
        execve(path, argv, env);
    fprintf(stderr, "Failed to exec into Firecracker: %s\n", os_error(errno));
    exit(1);
}

/* null: a descriptor of it, from before the jail. */
static void launch(int null)
{
    int leader = getsid(0) == getpid();
    long pid;

    if (args_get(args, "daemonize")) {
        if (fork() != 0)
            exit(0);
        setsid();
        if (fork() != 0)
            exit(0);
        for (int fd = 0; null >= 0 && fd < 3; fd++)
            dup2(null, fd);
        leader = 0;
    }
    if (!args_get(args, "new-pid-ns")) {
        save_pid(getpid());
        execute();
    }
    pid = syscall(SYS_clone, CLONE_NEWPID, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        if (leader)
            setsid();
        execute();
    }
    if (pid < 0) {
        fprintf(stderr, "Failed cloning into a new child process: %s\n", os_error(errno));
        exit(1);
    }
    save_pid((int)pid);
    exit(0);
}

static void keep(int fd, int as)
{
    if (dup2(fd, as) < 0)
        abort();
    close(fd);
}

static int run(void)
{
    int tap, listener, uffd_minor = userfaultfd_minor(), null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (take_args() != 0 || make_folders(jail.root) != 0 || copy_exec() != 0 || join_network() != 0)
        return -1;
    if (net_make_guest(&tap, &listener) != 0)
        FAIL("fake: the guest's network cannot be made: %s", os_error(errno));
    keep(tap, FAKE_FD_TAP);
    keep(listener, FAKE_FD_LISTENER);
    if (set_limits() != 0 || jail_cgroup_setup(args, jail.name, &fault) != 0 || change_root() != 0 ||
        furnish(uffd_minor) != 0)
        return -1;
    launch(null);
    return 0;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX] = "", err[400];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);
    const char *elsewhere = getenv("FAKE_FIRECRACKER_FAULTS");

    (void)argc;
    syscall(SYS_close_range, 3, ~0U, 0);
    if (n > 0)
        strcpy(strrchr(path, '/') + 1, "faults");
    faults_open(elsewhere ? elsewhere : path);
    clearenv();
    if (faults_has("jailer", "die")) {
        fprintf(stderr, "fake: the jailer gives up, as it was told\n");
        return 1;
    }
    if (args_parse(args, argv, &jail.extra, err, sizeof(err)) != 0) {
        fprintf(stderr, "Failed to parse arguments: %s\n", err);
        return 1;
    }
    if (args_get(args, "version")) {
        printf("Jailer v%s\n\n", faults_get("version") ? faults_get("version") : "1.16.1");
        return 0;
    }
    if (run() != 0)
        fprintf(stderr, "%s\n", fault.text);
    return 1;
}
