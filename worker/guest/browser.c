/* browser.c: see browser.h.
 *
 * The browser runs under a seccomp filter with one rule: madvise(MADV_WIPEONFORK) fails. With it, BoringSSL
 * finds out about forks and so draws its random numbers from generators in each process' memory, which every
 * clone of a snapshot would have in the same state; without it, BoringSSL asks the kernel every time, and the
 * kernel is seeded anew in each clone (docs/microvm.md, Uniqueness). */
#include "browser.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot.h"
#include "flags.h"

#define BROWSER   "/usr/lib/chromium/chromium-headless-shell"
#define LISTENING "DevTools listening on ws://127.0.0.1:"

static const char *const own_flags[] = {
    BROWSER,
    "--remote-debugging-port=9222",
    "--user-data-dir=/home/browser/profile",
    /* A renderer that waits for its page would be the same in all clones of a snapshot (guard.h). */
    "--disable-features=SpareRendererForSitePerProcess",
#define BROWSER_FLAG(flag) flag,
#include "../browser_flags.def"
#undef BROWSER_FLAG
};

static int no_wipe_on_fork(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_WIPEONFORK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

_Noreturn static void become_browser(int output, char *const *argv)
{
    static const char *const environment[] = {"HOME=/home/browser", "PATH=/usr/bin", "LANG=C.UTF-8", "TZ=UTC",
                                              NULL};
    int null = open("/dev/null", O_RDWR);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "0", 1) != 1)
        perror("init: oom_score_adj");
    if (setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(output, 2) < 0 ||
        setgroups(0, NULL) != 0 || setresgid(BROWSER_UID, BROWSER_UID, BROWSER_UID) != 0 ||
        setresuid(BROWSER_UID, BROWSER_UID, BROWSER_UID) != 0 || chdir(BROWSER_HOME) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || no_wipe_on_fork() != 0)
        perror("init: becoming the browser");
    else
        execve(argv[0], argv, (char *const *)environment);
    perror("init: " BROWSER);
    _exit(127);
}

int browser_start(struct browser *b, char *const *more)
{
    struct flags f = {0};
    int ends[2], result = 0;

    for (size_t i = 0; i < sizeof(own_flags) / sizeof(own_flags[0]); i++)
        result |= flags_add(&f, own_flags[i]);
    while (*more)
        result |= flags_add(&f, *more++);
    if (result != 0 || flags_end(&f, "about:blank") != 0) {
        errno = E2BIG;
        return -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    b->pid = fork();
    if (b->pid == 0)
        become_browser(ends[1], (char *const *)f.argv);
    close(ends[1]);
    b->output = ends[0];
    fcntl(b->output, F_SETFL, O_NONBLOCK);
    return b->pid < 0 ? -1 : 0;
}

static void take_path(struct browser *b, const char *text)
{
    const char *at = strstr(text, LISTENING), *slash = at ? strchr(at + strlen(LISTENING), '/') : NULL;
    size_t n = slash ? strcspn(slash, "\n") : 0;

    if (n > 0 && slash[n] == '\n' && n < sizeof(b->path)) {
        memcpy(b->path, slash, n);
        b->path[n] = '\0';
    }
}

int browser_wait(struct browser *b, int limit_ms, char *why, unsigned long size)
{
    char text[8192];
    size_t used = 0;
    double limit = boot_now_ms() + limit_ms;

    b->path[0] = '\0';
    while (!b->path[0]) {
        struct pollfd p = {.fd = b->output, .events = POLLIN};
        double left = limit - boot_now_ms();
        if (left <= 0 || poll(&p, 1, (int)left + 1) == 0) {
            snprintf(why, size, "the browser does not come up");
            return -1;
        }
        if (used > sizeof(text) / 2)
            used = 0;
        ssize_t n = read(b->output, text + used, sizeof(text) - 1 - used);
        if (n == 0) {
            snprintf(why, size, "the browser ended: %.80s", used ? text : "without a word");
            return -1;
        }
        if (n < 0)
            continue;
        fprintf(stderr, "%.*s", (int)n, text + used);
        used += (size_t)n;
        text[used] = '\0';
        take_path(b, text);
    }
    return 0;
}

int browser_output(struct browser *b)
{
    char text[1024];
    ssize_t n;

    while ((n = read(b->output, text, sizeof(text))) > 0)
        if (write(2, text, (size_t)n) < 0)
            break;
    return n == 0 ? -1 : 0;
}
