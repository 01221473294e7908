/* jail_filter.c: see jail_filter.h.
 *
 * A short list of what no browser needs: ways into the kernel that namespaces do not close, what is counted
 * for the whole machine and so could be used up for all others, and AF_VSOCK, which leads past the network
 * namespace to the host's hypervisor. Chromium's own filters are far stricter
 * for its renderers; this one holds for all its processes. What its sandbox uses (clone with namespaces,
 * chroot, ptrace-free) stays. */
#include "jail_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef FILTER_ARCH
#define X32_BIT 0x40000000U

static const unsigned denied[] = {
    /* kernel modules, other kernels, the machine */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_syslog,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_quotactl,
    SYS_vhangup,
    /* interfaces with a long list of kernel bugs behind them */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_fanotify_init,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    /* fs.aio-max-nr is one number for all users */
    SYS_io_setup,
    /* mounts: bubblewrap has made them */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_setns,
    /* other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    SYS_migrate_pages,
    SYS_move_pages,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
    SYS__sysctl,
    SYS_create_module,
#endif
};

/* Everything but these and AF_NETLINK answers "address family not supported", as on a kernel built without
 * it. Of netlink there is only NETLINK_ROUTE, which tells of interfaces: a browser may make user namespaces,
 * and in one of its own it could configure packet filters (nf_tables), IPsec and the like, a popular way into
 * kernels. */
static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6};

static void add(struct buf *out, unsigned short code, unsigned k, unsigned char jt, unsigned char jf)
{
    struct sock_filter f = {code, jt, jf, k};

    buf_add(out, &f, sizeof(f));
}

static void load(struct buf *out, size_t offset)
{
    add(out, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void give(struct buf *out, unsigned verdict)
{
    add(out, BPF_RET | BPF_K, verdict, 0, 0);
}

void jail_filter_build(struct buf *out)
{
    size_t count = sizeof(families) / sizeof(families[0]);

    load(out, offsetof(struct seccomp_data, arch));
    add(out, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
    give(out, SECCOMP_RET_ERRNO | ENOSYS); /* 32-bit system calls */
    load(out, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    add(out, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    give(out, SECCOMP_RET_ERRNO | ENOSYS);
#endif
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        add(out, BPF_JMP | BPF_JEQ | BPF_K, denied[i], 0, 1);
        give(out, SECCOMP_RET_ERRNO | EPERM);
    }
    add(out, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, (unsigned char)(6 + count));
    load(out, offsetof(struct seccomp_data, args[0]));
    for (size_t i = 0; i < count; i++)
        add(out, BPF_JMP | BPF_JEQ | BPF_K, families[i], (unsigned char)(count + 4 - i), 0);
    add(out, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3);
    load(out, offsetof(struct seccomp_data, args[2]));
    add(out, BPF_JMP | BPF_JEQ | BPF_K, NETLINK_ROUTE, 2, 0);
    give(out, SECCOMP_RET_ERRNO | EPROTONOSUPPORT);
    give(out, SECCOMP_RET_ERRNO | EAFNOSUPPORT);
    give(out, SECCOMP_RET_ALLOW);
}

#else

void jail_filter_build(struct buf *out)
{
    (void)out;
}

#endif
