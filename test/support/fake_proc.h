/* fake_proc.h: a /proc directory that a test fills. */
#ifndef BERTH_TEST_FAKE_PROC_H
#define BERTH_TEST_FAKE_PROC_H
#include <stddef.h>

struct fake_process {
    int pid;
    const char *name; /* what stands between the brackets of its stat */
    char state;
    unsigned flags;
    unsigned long long user, system, start; /* ticks */
    const char *cmdline;                    /* with its NULs */
    size_t cmdline_size;
};

/* The directory; one at a time. */
const char *fake_proc_open(void);
void fake_proc_close(void); /* with all that was put */
/* Adds it, or changes the one with its pid. */
void fake_proc_put(const struct fake_process *p);
void fake_proc_remove(int pid);
void fake_proc_write(const char *path,
                     const char *text); /* path: below the directory, which has its folder */

#endif
