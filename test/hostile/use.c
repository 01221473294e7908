/* use.c: attacks that use things up, each within a bound that the test gives, and that give back what they
 * took. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB (1024L * 1024)

/* Children that wait, without end. All of them end with this one's process group. */
void attack_forks(int argc, char **argv)
{
    long most = argc > 0 ? atol(argv[0]) : 1, made = 0;
    pid_t leader = fork();

    if (leader == 0) {
        int saved = 0;

        setpgid(0, 0);
        while (made < most) {
            pid_t pid = fork();

            if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                for (;;)
                    pause();
            }
            if (pid < 0) {
                saved = errno;
                break;
            }
            made++;
        }
        errno = saved;
        hostile_outcome("end of forks", saved ? -1 : 0);
        hostile_say("forks %ld", made);
        kill(0, SIGKILL);
    }
    if (leader < 0)
        hostile_outcome("end of forks", -1);
    else
        waitpid(leader, NULL, 0);
    /* They are the agent's now, or process 1's. */
    while (leader > 0 && kill(-leader, 0) == 0)
        usleep(10000);
}

void attack_memory(int argc, char **argv)
{
    long most = argc > 0 ? atol(argv[0]) : 1;
    volatile long *held = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0, fd;
    pid_t pid = fork();

    if (pid == 0) {
        /* The one to be killed, before the browser. */
        fd = open("/proc/self/oom_score_adj", O_WRONLY);
        (void)!write(fd, "1000", 4);
        while (*held < most) {
            char *chunk = mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

            if (chunk == MAP_FAILED)
                _exit(1);
            memset(chunk, 7, MB);
            ++*held;
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    hostile_say("memory %ld %s", *held, WIFSIGNALED(status) ? "killed" : "ended");
}

/* argv[0]: "/dev/shm" or another folder. */
void attack_fill(int argc, char **argv)
{
    static char chunk[MB];
    long most = argc > 1 ? atol(argv[1]) : 1, written = 0;
    char path[300];
    ssize_t n = 0;
    int fd, saved;

    if (argc < 2)
        return;
    snprintf(path, sizeof(path), "%.250s/hostile-fill", argv[0]);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(chunk, 7, sizeof(chunk));
    while (fd >= 0 && written < most * MB && (n = write(fd, chunk, sizeof(chunk))) > 0)
        written += n;
    saved = errno;
    unlink(path);
    close(fd); /* before the answer, which may need the room */
    errno = saved;
    if (fd < 0 || n <= 0)
        hostile_outcome("end of fill", -1);
    hostile_say("fill %ld", written / MB);
}

void attack_descriptors(int argc, char **argv)
{
    long most = argc > 0 ? atol(argv[0]) : 1, count = 0;
    struct rlimit l;

    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    while (count < most && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        count++;
    hostile_say("descriptors %ld", count);
}

/* What the browser prints is the worker's to read: lines, and one that does not end. */
void attack_output(int argc, char **argv)
{
    static char chunk[65536];
    long bytes = (argc > 0 ? atol(argv[0]) : 1) * MB, written = 0;

    for (size_t i = 0; i < sizeof(chunk); i++)
        chunk[i] = i % 128 == 127 && i < sizeof(chunk) / 2 ? '\n' : (char)(i * 7);
    while (written < bytes) {
        ssize_t n = write(2, chunk, sizeof(chunk));

        if (n <= 0)
            break;
        written += n;
    }
    hostile_say("output %ld", written / MB);
}

void attack_burn(int argc, char **argv)
{
    int count = argc > 0 ? atoi(argv[0]) : 1;
    rlim_t seconds = argc > 1 ? (rlim_t)atoi(argv[1]) : 1;

    for (int i = 0; i < count; i++) {
        if (fork() == 0) {
            setrlimit(RLIMIT_CPU, &(struct rlimit){seconds, seconds});
            for (volatile unsigned long n = 0;; n++)
                ;
        }
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    hostile_say("burn %d", count);
}
