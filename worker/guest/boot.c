/* boot.c: see boot.h. */
#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOT_DEVICE "/dev/vda"
#define DEVICE_MS   10000

static int uevents = -1; /* the kernel's word about devices: what to wait for */

void boot_fail(const char *what)
{
    fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
    fflush(stderr);
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

double boot_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1000.0 + (double)t.tv_nsec / 1e6;
}

static void must_mount(const char *what, const char *where, const char *type, unsigned long flags,
                       const char *options)
{
    mkdir(where, 0755);
    if (mount(what, where, type, flags, options) != 0)
        boot_fail(where);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), result;

    if (fd < 0)
        return -1;
    result = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
    close(fd);
    return result;
}

/* ---- devices ---- */

static int exists(void *path)
{
    return access(path, F_OK) == 0;
}

/* Looks, and looks again whenever the kernel has told of a device. 0, or -1: not in time. */
static int wait_for(int (*there)(void *arg), void *arg)
{
    char event[4096];
    double limit = boot_now_ms() + DEVICE_MS;

    while (!there(arg)) {
        struct pollfd p = {.fd = uevents, .events = POLLIN};
        double left = limit - boot_now_ms();
        if (left <= 0 || poll(&p, 1, (int)left + 1) <= 0)
            return -1;
        while (recv(uevents, event, sizeof(event), MSG_DONTWAIT) > 0)
            ;
    }
    return 0;
}

static void load_module(const char *name)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "/modules/%s.ko", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST))
        boot_fail(path);
    close(fd);
    unlink(path); /* it would stay in memory */
}

void boot_modules(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    char name[64];
    FILE *order;

    must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    must_mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    must_mount("dev", "/dev", "devtmpfs", MS_NOSUID, NULL);
    uevents = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
    if (uevents < 0 || bind(uevents, (struct sockaddr *)&address, sizeof(address)) != 0)
        boot_fail("uevents");
    order = fopen("/modules/order", "re");
    if (!order)
        boot_fail("/modules/order");
    while (fscanf(order, "%63s", name) == 1)
        load_module(name);
    fclose(order);
}

struct port {
    const char *name;
    char *out;
    size_t size;
};

static int find_port(void *arg)
{
    struct port *port = arg;
    DIR *dir = opendir("/sys/class/virtio-ports");
    struct dirent *entry;
    int found = 0;

    while (dir && !found && (entry = readdir(dir))) {
        char path[320], name[64] = "";
        FILE *file;
        snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
        file = fopen(path, "re");
        if (file && fscanf(file, "%63s", name) == 1 && !strcmp(name, port->name)) {
            snprintf(port->out, port->size, "/dev/%s", entry->d_name);
            found = access(port->out, F_OK) == 0;
        }
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Whether a virtio-serial device is there at all: only then a port may still come. */
static int has_console(void)
{
    DIR *dir = opendir("/sys/bus/virtio/drivers/virtio_console");
    struct dirent *entry;
    int found = 0;

    while (dir && !found && (entry = readdir(dir)))
        found = !strncmp(entry->d_name, "virtio", 6);
    if (dir)
        closedir(dir);
    return found;
}

int boot_find_port(const char *name, char *out, unsigned long size)
{
    struct port port = {name, out, size};

    return has_console() ? wait_for(find_port, &port) : -1;
}

/* ---- the root ---- */

void boot_root(void)
{
    char device[] = ROOT_DEVICE;

    if (wait_for(exists, device) != 0)
        boot_fail(ROOT_DEVICE);
    must_mount(ROOT_DEVICE, "/lower", "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL);
    must_mount("upper", "/upper", "tmpfs", MS_NODEV | MS_NOSUID, "size=25%,mode=755");
    mkdir("/upper/up", 0755);
    mkdir("/upper/work", 0755);
    must_mount("root", "/root", "overlay", MS_NODEV | MS_NOSUID,
               "lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work");
    if (mount("/proc", "/root/proc", NULL, MS_MOVE, NULL) != 0 ||
        mount("/sys", "/root/sys", NULL, MS_MOVE, NULL) != 0 ||
        mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) != 0)
        boot_fail("moving mounts");
    if (chdir("/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 ||
        chdir("/") != 0)
        boot_fail("changing the root");
}

void boot_ready(void)
{
    struct rlimit files = {8192, 8192};

    must_mount("shm", "/dev/shm", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=50%,mode=1777");
    must_mount("tmp", "/tmp", "tmpfs", MS_NODEV | MS_NOSUID, "size=50%,mode=1777");
    must_mount("run", "/run", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=1m,mode=755");
    must_mount("pts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666");
    mkdir("/home", 0755);
    mkdir(BROWSER_HOME, 0700);
    if (chown(BROWSER_HOME, BROWSER_UID, BROWSER_UID) != 0)
        boot_fail(BROWSER_HOME);
    /* Renderers reserve far more than they use; the kernel would refuse them in a small guest. */
    if (write_file("/proc/sys/vm/overcommit_memory", "1") != 0)
        boot_fail("overcommit_memory");
    write_file("/proc/sys/kernel/printk", "1 1 1 1");
    write_file("/proc/self/oom_score_adj", "-1000");
    setrlimit(RLIMIT_NOFILE, &files);
    if (uevents >= 0)
        close(uevents);
    uevents = -1;
}

int boot_option(const char *key, char *out, unsigned long size)
{
    char line[4096], *rest = line, *word;
    size_t length = strlen(key);
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = '\0';
    while ((word = strsep(&rest, " \n"))) {
        if (!strncmp(word, key, length) && word[length] == '=' && strlen(word + length + 1) < size) {
            strcpy(out, word + length + 1);
            return 0;
        }
    }
    return -1;
}
