/* hostile.c: stands in for the browser, or for the machine monitor: runs the real one as itself, beside it an
 * agent that attacks.
 *
 * The agent takes orders from a file in memory, descriptor FD_ORDERS ("<number> <attack> <argument>…\n",
 * appended by the test, which opens it through /proc/<agent>/fd: no place of a file system is needed), and
 * leaves what an attack printed in another, FD_ANSWERS, between "begin <number>" and "end <number>". Each
 * attack runs in a process of its own, so that one that is killed is an answer too. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FD_ORDERS  60 /* the tests' numbers too */
#define FD_ANSWERS 61
#define ORDER_MAX  8192
#define WORDS_MAX  256
#define LOOK_US    10000

static const struct {
    const char *name;
    hostile_attack *run;
} attacks[] = {
    {"tcp", attack_tcp},
    {"udp", attack_udp},
    {"unix", attack_unix},
    {"files", attack_files},
    {"write", attack_write},
    {"held", attack_held},
    {"mounts", attack_mounts},
    {"shm", attack_shm},
    {"processes", attack_processes},
    {"listen", attack_listen},
    {"hold", attack_hold},
    {"syscalls", attack_syscalls},
    {"privileges", attack_privileges},
    {"namespaces", attack_namespaces},
    {"forks", attack_forks},
    {"memory", attack_memory},
    {"fill", attack_fill},
    {"descriptors", attack_descriptors},
    {"output", attack_output},
    {"burn", attack_burn},
};

static FILE *answer;

void hostile_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(answer, fmt, ap);
    va_end(ap);
    fputc('\n', answer);
    fflush(answer);
}

void hostile_outcome(const char *key, long result)
{
    if (result >= 0)
        hostile_say("%s: yes", key);
    else
        hostile_say("%s: no %s", key, strerrorname_np(errno));
}

double hostile_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void carry_out(char *order)
{
    char *words[WORDS_MAX], *save = NULL;
    int count = 0, status = 0;
    pid_t pid;

    for (char *w = strtok_r(order, " ", &save); w && count < WORDS_MAX; w = strtok_r(NULL, " ", &save))
        words[count++] = w;
    if (count < 2)
        return;
    hostile_say("begin %s", words[0]);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "hostile-attack", 0, 0, 0);
        for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
            if (strcmp(attacks[i].name, words[1]) == 0) {
                attacks[i].run(count - 2, words + 2);
                _exit(0);
            }
        }
        hostile_say("there is no attack %s", words[1]);
        _exit(1);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0)
        hostile_outcome("fork", pid);
    else if (WIFSIGNALED(status))
        hostile_say("killed: %d", WTERMSIG(status));
    hostile_say("end %s", words[0]);
}

/* A file in memory as this descriptor. */
static void place_file(int fd)
{
    int made = memfd_create("hostile", MFD_CLOEXEC);

    if (made < 0 || dup2(made, fd) < 0)
        _exit(1);
    close(made);
}

static void agent(void)
{
    static char text[ORDER_MAX];
    size_t len = 0;

    setsid();
    signal(SIGPIPE, SIG_IGN);
    place_file(FD_ORDERS);
    place_file(FD_ANSWERS);
    answer = fdopen(FD_ANSWERS, "w");
    if (!answer)
        _exit(1);
    /* By this it is found. */
    prctl(PR_SET_NAME, "hostile-agent", 0, 0, 0);
    for (;;) {
        ssize_t n = read(FD_ORDERS, text + len, sizeof(text) - 1 - len);
        char *line = text, *end;

        if (n > 0)
            len += (size_t)n;
        text[len] = '\0';
        while ((end = strchr(line, '\n'))) {
            *end = '\0';
            carry_out(line);
            line = end + 1;
        }
        len -= (size_t)(line - text);
        memmove(text, line, len);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        usleep(LOOK_US);
    }
}

int main(int argc, char **argv)
{
    static const char *const browsers[] = {"/usr/lib/chromium/chromium-headless-shell",
                                           "/usr/lib/chromium/chromium", NULL};
    static const char *const monitors[] = {"/usr/bin/qemu-system-x86_64", NULL};
    const char *const *stand_in_for = argc > 0 && strstr(argv[0], "hostile-qemu") ? monitors : browsers;

    if (fork() == 0)
        agent();
    for (; *stand_in_for; stand_in_for++)
        execv(*stand_in_for, argv);
    perror("hostile: not installed");
    return 127;
}
