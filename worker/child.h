/* child.h: child processes: started in namespaces and cgroups, watched, killed, reaped.
 *
 * A child with pid_ns is process 1 of a new PID namespace, and the kernel kills it when the worker dies:
 * nothing below it can outlive it or the worker, and once it has been reaped everything below it is gone.
 * Needs the default loop, whose SIGCHLD handling also reaps processes that were handed to the worker as
 * subreaper. */
#ifndef BERTH_CHILD_H
#define BERTH_CHILD_H
#include <ev.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "../shared/buf.h"
#include "../shared/errors.h"

#define CHILD_FDS_MAX    16
#define CHILD_LIMITS_MAX 8

struct child_limit {
    int resource; /* RLIMIT_… */
    rlim_t value; /* soft and hard; never above what the worker itself has */
};

struct child_bind {
    const char *from, *to; /* files; both exist */
    int writable;
};

struct child_spec {
    char *const *argv;      /* argv[0] is an absolute path */
    char *const *envp;      /* NULL: an empty environment */
    int fds[CHILD_FDS_MAX]; /* fds[i] becomes descriptor i; all others are closed */
    int fd_count;
    int pid_ns;         /* 1: a PID namespace of its own, and die with the worker */
    int user_ns;        /* 1: also a user namespace (what makes pid_ns possible without root) */
    int net_ns;         /* descriptor of a network namespace to join, or -1 */
    const int *cgroups; /* open files of cgroups to join (cgroup_open) */
    int cgroup_count;
    long uid;          /* user and group to become, without supplementary groups; -1: stay */
    int oom_score_adj; /* 0: stay */
    struct child_limit limits[CHILD_LIMITS_MAX];
    int limit_count;
    /* With pid_ns: mounted in a mount namespace of the child's own, so that nobody has to unmount them. */
    const struct child_bind *binds;
    int bind_count;
};

struct child;

/* Processes below a child that lose their parent become the worker's. 0, or -1 with errno. */
int child_init_subreaper(void);
/* NULL with errno. Steps that fail after the fork are told on the child's descriptor 2, with exit status 127.
 * on_exit: called once from the loop with waitpid's status; the child is freed after it. */
struct child *child_start(struct ev_loop *loop, const struct child_spec *spec,
                          void (*on_exit)(void *arg, int status), void *arg) MUST_USE;
pid_t child_pid(const struct child *c);
void child_kill(struct child *c); /* SIGKILL; may be repeated */
/* Kills, waits for the end (blocks, at most limit_ms) and frees; no on_exit. 0, or -1 if it did not end. */
int child_finish(struct child *c, int limit_ms);

/* Runs a program to its end, blocking, for opening and closing: input (may be NULL) on its standard input,
 * what it prints on both outputs appended to output. Its exit status; -1 with errno if it could not be run or
 * took over limit_ms. */
int child_run(char *const argv[], const char *input, struct buf *output, int limit_ms);
/* The same for a full spec, whose descriptors 0 to 2 are set here. */
int child_run_spec(struct child_spec *spec, const char *input, struct buf *output, int limit_ms);

/* A descriptor from which the text is read (NULL: nothing), also by programs that open /dev/stdin anew. -1
 * with errno. */
int child_input(const char *text) MUST_USE;

/* "exited with status 3", "was killed by signal 9 (Killed)". */
void child_describe(int status, char *out, size_t outlen);
/* The path of a program in the system's usual folders. 0, or -1 if there is none. */
int child_find_program(const char *name, char *out, size_t outlen);

#endif
