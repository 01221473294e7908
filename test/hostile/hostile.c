/* hostile.c: stands in for the browser: runs the real one as itself, beside it an agent that attacks.
 *
 * The agent takes orders from HOSTILE_FOLDER/orders ("<number> <attack> <argument>…\n", appended by the test,
 * which sees the folder through /proc/<agent>/root) and leaves what an attack printed in
 * HOSTILE_FOLDER/<number>. Each attack runs in a process of its own, so that one that is killed is an answer
 * too. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOSTILE_FOLDER "/tmp/hostile"
#define ORDER_MAX      8192
#define WORDS_MAX      256
#define LOOK_US        10000

static const struct {
    const char *name;
    hostile_attack *run;
} attacks[] = {
    {"tcp", attack_tcp},
    {"udp", attack_udp},
    {"unix", attack_unix},
    {"files", attack_files},
    {"write", attack_write},
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
    char part[64], path[64], *words[WORDS_MAX], *save = NULL;
    int count = 0, status = 0;
    pid_t pid;

    for (char *w = strtok_r(order, " ", &save); w && count < WORDS_MAX; w = strtok_r(NULL, " ", &save))
        words[count++] = w;
    if (count < 2)
        return;
    snprintf(part, sizeof(part), HOSTILE_FOLDER "/%.20s.part", words[0]);
    snprintf(path, sizeof(path), HOSTILE_FOLDER "/%.20s", words[0]);
    answer = fopen(part, "w");
    if (!answer)
        return;
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
    fclose(answer);
    rename(part, path);
}

static void agent(void)
{
    static char text[ORDER_MAX];
    size_t len = 0;
    int fd;

    setsid();
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "hostile-agent", 0, 0, 0);
    umask(0);
    mkdir(HOSTILE_FOLDER, 0777);
    fd = open(HOSTILE_FOLDER "/orders", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        _exit(1);
    close(open(HOSTILE_FOLDER "/ready", O_WRONLY | O_CREAT, 0666));
    for (;;) {
        ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);
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
                                           "/usr/lib/chromium/chromium"};

    (void)argc;
    if (fork() == 0)
        agent();
    for (size_t i = 0; i < sizeof(browsers) / sizeof(browsers[0]); i++)
        execv(browsers[i], argv);
    perror("hostile: no browser");
    return 127;
}
