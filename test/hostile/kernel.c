/* kernel.c: attacks on the kernel's own interfaces, and what the process is allowed. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#define USERFAULTFD_USER_MODE_ONLY 1

static void map_self(unsigned uid, unsigned gid)
{
    char line[64];
    int fd = open("/proc/self/setgroups", O_WRONLY);

    (void)!write(fd, "deny", 4);
    close(fd);
    fd = open("/proc/self/uid_map", O_WRONLY);
    (void)!write(fd, line, (size_t)snprintf(line, sizeof(line), "0 %u 1", uid));
    close(fd);
    fd = open("/proc/self/gid_map", O_WRONLY);
    (void)!write(fd, line, (size_t)snprintf(line, sizeof(line), "0 %u 1", gid));
    close(fd);
}

/* Runs each in a process of its own: some change it for good. */
#define TRY(key, expression)                                                                                 \
    do {                                                                                                     \
        pid_t tried = fork();                                                                                \
        if (tried == 0) {                                                                                    \
            long result;                                                                                     \
            errno = 0;                                                                                       \
            result = (long)(expression);                                                                     \
            hostile_outcome(key, result);                                                                    \
            _exit(0);                                                                                        \
        }                                                                                                    \
        waitpid(tried, NULL, 0);                                                                             \
    } while (0)

/* With all capabilities in a user namespace of its own: what they are good for. */
static void as_root_of_own(void)
{
    unsigned uid = geteuid(), gid = getegid();

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER) != 0) {
        hostile_outcome("own mount", -1);
        return;
    }
    map_self(uid, gid);
    TRY("own mount", mount("hostile", "/tmp", "tmpfs", 0, NULL));
    TRY("own bind", mount("/proc", "/tmp", NULL, MS_BIND, NULL));
    TRY("own remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("own umount", umount2("/dev/shm", MNT_DETACH));
    TRY("own fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("own pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    TRY("own netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
    TRY("own xfrm", socket(AF_NETLINK, SOCK_RAW, 6));
    TRY("own packet", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("own sethostname", sethostname("hostile", 7));
}

void attack_syscalls(int argc, char **argv)
{
    static char memory[64];
    struct iovec iov = {memory, sizeof(memory)};
    unsigned long context = 0;
    pid_t pid;

    (void)argc;
    (void)argv;
    TRY("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
    TRY("add_key", syscall(SYS_add_key, "user", "hostile", "x", 1, KEY_SPEC_PROCESS_KEYRING));
    TRY("io_setup", syscall(SYS_io_setup, 1, &context));
    TRY("io_uring", syscall(SYS_io_uring_setup, 1, memory));
    TRY("userfaultfd", syscall(SYS_userfaultfd, USERFAULTFD_USER_MODE_ONLY));
    TRY("perf", syscall(SYS_perf_event_open, memory, 0, -1, -1, 0));
    TRY("bpf", syscall(SYS_bpf, 0, memory, sizeof(memory)));
    TRY("ptrace", syscall(SYS_ptrace, 0 /* TRACEME */, 0, 0, 0));
    TRY("vm_readv", process_vm_readv(getppid(), &iov, 1, &iov, 1, 0));
    TRY("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    TRY("mount", mount("hostile", "/tmp", "tmpfs", 0, NULL));
    TRY("umount", umount2("/tmp", MNT_DETACH));
    TRY("setns", setns(open("/proc/1/ns/net", O_RDONLY), 0));
    TRY("handle", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", memory, memory, 0));
    TRY("module", syscall(SYS_init_module, memory, sizeof(memory), ""));
    TRY("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    TRY("syslog", syscall(SYS_syslog, 10, NULL, 0));
    TRY("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
    TRY("acct", syscall(SYS_acct, "/tmp/hostile/acct"));
    TRY("fanotify", syscall(SYS_fanotify_init, 0, 0));
    TRY("raw", socket(AF_INET, SOCK_RAW, 1));
    TRY("packet", socket(AF_PACKET, SOCK_RAW, 0));
    TRY("vsock", socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    TRY("alg", socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    TRY("netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
    TRY("audit", socket(AF_NETLINK, SOCK_RAW, 9));
    TRY("settime", syscall(SYS_clock_settime, 0, NULL));
    TRY("nice", setpriority(PRIO_PROCESS, 0, -5));
    TRY("realtime", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}));
    pid = fork();
    if (pid == 0) {
        as_root_of_own();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void say_status(void)
{
    static const char *const keys[] = {"Uid:",    "Gid:",    "Groups:", "CapInh:",     "CapPrm:",
                                       "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"};
    char line[1024];
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                hostile_say("status %s", line);
        }
    }
    if (f)
        fclose(f);
}

void attack_privileges(int argc, char **argv)
{
    static const struct {
        const char *name;
        int resource;
    } limits[] = {{"core", RLIMIT_CORE}, {"nofile", RLIMIT_NOFILE}};
    char text[32] = "";
    int fd;

    (void)argc;
    (void)argv;
    say_status();
    TRY("setuid", syscall(SYS_setuid, 0));
    TRY("setgid", syscall(SYS_setgid, 0));
    TRY("setgroups", setgroups(1, &(gid_t){0}));
    TRY("chroot", chroot("/tmp"));
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit l = {0, 0};

        getrlimit(limits[i].resource, &l);
        hostile_say("limit %s %llu", limits[i].name, (unsigned long long)l.rlim_max);
    }
    TRY("raise core", setrlimit(RLIMIT_CORE, &(struct rlimit){1 << 20, 1 << 20}));
    TRY("raise nofile", setrlimit(RLIMIT_NOFILE, &(struct rlimit){1 << 15, 1 << 15}));
    fd = open("/proc/self/oom_score_adj", O_RDWR);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
        hostile_say("oom_score_adj %d", atoi(text));
    TRY("oom_score_adj", write(fd, "-500", 4));
}

void attack_namespaces(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    TRY("mnt", unshare(CLONE_NEWNS));
    TRY("uts", unshare(CLONE_NEWUTS));
    TRY("ipc", unshare(CLONE_NEWIPC));
    TRY("net", unshare(CLONE_NEWNET));
    TRY("cgroup", unshare(CLONE_NEWCGROUP));
    TRY("user", unshare(CLONE_NEWUSER));
    TRY("user+mnt", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    TRY("user+uts", unshare(CLONE_NEWUSER | CLONE_NEWUTS));
    TRY("user+ipc", unshare(CLONE_NEWUSER | CLONE_NEWIPC));
    TRY("user+cgroup", unshare(CLONE_NEWUSER | CLONE_NEWCGROUP));
}
