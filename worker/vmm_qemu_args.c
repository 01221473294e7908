/* vmm_qemu_args.c: the command line of a QEMU process: bubblewrap (own namespaces, the host's /usr read-only
 * and nothing else of it), then the machine. All files are inherited descriptors: QEMU is told no path on the
 * host. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/mem.h"
#include "guest/protocol.h"
#include "image.h"
#include "vmm_qemu.h"

struct args {
    char **list;
    size_t count;
};

static void add(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct args *a, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    a->list = mem_realloc(a->list, (a->count + 2) * sizeof(*a->list));
    a->list[a->count++] = text;
    a->list[a->count] = NULL;
}

static void add_words(struct args *a, const char *const *words)
{
    while (*words)
        add(a, "%s", *words++);
}

/* ---- the jail ---- */

static void add_jail(struct args *a, const struct vmm_host *h, const char *kvm_node)
{
    static const char *const tops[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    static const char *const begin[] = {"--unshare-user",
                                        "--uid",
                                        "1000",
                                        "--gid",
                                        "1000",
                                        "--unshare-pid",
                                        "--unshare-ipc",
                                        "--unshare-uts",
                                        "--unshare-cgroup-try",
                                        "--hostname",
                                        "berth",
                                        "--die-with-parent",
                                        "--new-session",
                                        "--ro-bind",
                                        "/usr",
                                        "/usr",
                                        NULL};
    static const char *const middle[] = {"--ro-bind-try",
                                         "/etc/ld.so.cache",
                                         "/etc/ld.so.cache",
                                         "--ro-bind-try",
                                         "/etc/alternatives",
                                         "/etc/alternatives",
                                         "--proc",
                                         "/proc",
                                         "--dev",
                                         "/dev",
                                         "--tmpfs",
                                         "/dev/pts",
                                         "--remount-ro",
                                         "/dev/pts",
                                         NULL};
    static const char *const end[] = {"--remount-ro", "/dev", "--remount-ro", "/",
                                      "--chdir",      "/",    "--",           NULL};

    add(a, "%s", h->bwrap);
    add_words(a, begin);
    for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
        char target[PATH_MAX];
        ssize_t n = readlink(tops[i], target, sizeof(target) - 1);
        const char *const link[] = {"--symlink", target, tops[i], NULL};
        const char *const bind[] = {"--ro-bind-try", tops[i], tops[i], NULL};

        target[n > 0 ? n : 0] = '\0';
        add_words(a, n > 0 ? link : bind);
    }
    add_words(a, middle);
    if (*kvm_node) {
        const char *const kvm[] = {"--dev-bind", kvm_node, "/dev/kvm", NULL};

        add_words(a, kvm);
    }
    add_words(a, end);
}

/* ---- the machine ---- */

static void kernel_cmdline(const struct vmm_host *h, const struct vmm_machine *m, char *out, size_t outlen)
{
    int n = snprintf(out, outlen, "%s", m->image->cmdline);

    /* Under TCG the kernel's calibration against emulated timers can hang. */
    if (strcmp(m->accel, "tcg") == 0 && n > 0 && (size_t)n < outlen)
        snprintf(out + n, outlen - (size_t)n, " tsc=reliable tsc_early_khz=%ld", h->tsc_khz);
}

static void add_accel(struct args *a, const struct vmm_host *h, const struct vmm_machine *m)
{
    if (strcmp(m->accel, "kvm") == 0) {
        add(a, "-accel");
        add(a, "kvm");
        add(a, "-cpu");
        add(a, "host,migratable=on");
    } else {
        add(a, "-accel");
        if (h->tcg_mb > 0)
            add(a, "tcg,thread=multi,tb-size=%d", h->tcg_mb);
        else
            add(a, "tcg,thread=multi");
        add(a, "-cpu");
        add(a, "max");
    }
}

static void add_devices(struct args *a, const struct vmm_spec *spec)
{
    add(a, "-add-fd");
    add(a, "fd=%d,set=1", QEMU_FD_ROOT);
    add(a, "-blockdev");
    add(a, "driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=/dev/fdset/1,"
           "file.locking=off,file.aio=threads");
    add(a, "-device");
    add(a, "virtio-blk-device,drive=root,serial=root");
    add(a, "-netdev");
    add(a, "tap,id=net,fd=%d", QEMU_FD_TAP);
    add(a, "-device");
    add(a, "virtio-net-device,netdev=net,mac=%s", spec->place.mac);
    add(a, "-chardev");
    add(a, "socket,id=control,fd=%d", QEMU_FD_CONTROL);
    add(a, "-device");
    add(a, "virtio-serial-device,max_ports=2");
    add(a, "-device");
    add(a, "virtserialport,chardev=control,name=" GUEST_PORT_NAME);
    add(a, "-object");
    add(a, "rng-random,id=rng,filename=/dev/urandom");
    add(a, "-device");
    add(a, "virtio-rng-device,rng=rng");
}

/* A clone's memory is reserved only where that is huge pages: those there are none of end a process by a
 * signal at its first write, and like this before it begins. Their size is the file's. */
static void add_memory(struct args *a, const struct vmm_spec *spec)
{
    const char *clone = spec->machine.huge_pages ? "off" : "off,reserve=off";

    add(a, "-object");
    add(a, "memory-backend-file,id=mem,size=%dM,mem-path=/proc/self/fd/%d,share=%s,merge=off,dump=off",
        spec->machine.memory_mb, QEMU_FD_MEMORY, spec->kind == VMM_TEMPLATE ? "on" : clone);
}

static void add_machine(struct args *a, const struct vmm_host *h, const struct vmm_spec *spec)
{
    static const char *const begin[] = {
        "-nodefaults",
        "-no-user-config",
        "-nographic",
        "-no-reboot",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-M",
        "microvm,memory-backend=mem,acpi=on,isa-serial=on,rtc=on,pit=off,pic=off,mem-merge=off",
        NULL};
    const struct vmm_machine *m = &spec->machine;
    char cmdline[1400];

    add_words(a, begin);
    add_accel(a, h, m);
    add(a, "-smp");
    add(a, "%d", m->vcpus);
    add(a, "-m");
    add(a, "%d", m->memory_mb);
    add_memory(a, spec);
    add(a, "-kernel");
    add(a, "/proc/self/fd/%d", QEMU_FD_KERNEL);
    add(a, "-initrd");
    add(a, "/proc/self/fd/%d", QEMU_FD_INITRD);
    kernel_cmdline(h, m, cmdline, sizeof(cmdline));
    add(a, "-append");
    add(a, "%s", cmdline);
    add(a, "-chardev");
    add(a, "socket,id=qmp,fd=%d", QEMU_FD_QMP);
    add(a, "-mon");
    add(a, "chardev=qmp,mode=control");
    /* The guest's console, into the process's own output. */
    add(a, "-chardev");
    add(a, "stdio,id=console,signal=off");
    add(a, "-serial");
    add(a, "chardev:console");
    add_devices(a, spec);
    if (spec->kind == VMM_TEMPLATE) {
        add(a, "-S");
    } else {
        add(a, "-incoming");
        add(a, "defer");
    }
}

char **vmm_qemu_args(const struct vmm_host *h, const struct vmm_spec *spec, const char *kvm_node)
{
    struct args a = {0};

    add_jail(&a, h, kvm_node);
    add(&a, "%s", h->program);
    add_machine(&a, h, spec);
    return a.list;
}

void vmm_qemu_args_free(char **args)
{
    for (char **arg = args; arg && *arg; arg++)
        free(*arg);
    free(args);
}
