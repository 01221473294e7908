/* processes.h: the processes of a machine as a /proc directory tells of them. */
#ifndef BERTH_GUEST_PROCESSES_H
#define BERTH_GUEST_PROCESSES_H
#include <sys/types.h>

#define PROCESSES_PROC "/proc"

struct process {
    pid_t pid;
    char state;     /* R, S, D, Z … */
    unsigned flags; /* PROCESS_KERNEL … */
    unsigned long long
        ticks; /* CPU used so far, user and system, of all its threads: sysconf(_SC_CLK_TCK) a second */
    unsigned long long start; /* ticks after boot: with the pid, who it is */
};

#define PROCESS_KERNEL 0x00200000u /* a thread of the kernel's */

/* proc: the directory. 0, or -1: there is no such process (any more). */
int process_read(const char *proc, pid_t pid, struct process *out) __attribute__((warn_unused_result));
/* Whether one of its arguments is this one. A process forked from Chromium's zygote has them as one text with
 * blanks between; a zombie has none. */
int process_has_argument(const char *proc, pid_t pid, const char *argument);
/* each: for every process; what is gone meanwhile is left out. Ends when each returns other than 0, with
 * that. -1 with errno: proc cannot be read. */
int processes_walk(const char *proc, int (*each)(void *arg, const struct process *p), void *arg)
    __attribute__((warn_unused_result));

#endif
