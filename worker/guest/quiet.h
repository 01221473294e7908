/* quiet.h: when a guest has come to rest. A browser goes on working for seconds after its first page has been
 * drawn; what it has not done before the snapshot, every clone does for itself. */
#ifndef BERTH_GUEST_QUIET_H
#define BERTH_GUEST_QUIET_H

#define QUIET_WINDOW_MS 1000
#define QUIET_WINDOWS   3  /* in a row */
#define QUIET_SHARE     20 /* thousandths of one CPU: what is almost none */

/* CPU time of all processes but init and the kernel's own, at one moment. */
struct quiet_sample {
    unsigned long long ticks;
    unsigned long long who; /* another set of processes has (as good as surely) another number */
};

struct quiet {
    struct quiet_sample last;
    int sampled, windows; /* so many windows in a row were quiet */
};

/* 0, or -1 with errno: proc cannot be read. */
int quiet_look(const char *proc, struct quiet_sample *out) __attribute__((warn_unused_result));
/* ms: since the last sample; ticks_per_s: of the samples. Whether the guest is at rest. A window in which a
 * process came or went is not quiet. Zeroed: ready. */
int quiet_step(struct quiet *q, const struct quiet_sample *s, double ms, long ticks_per_s);
/* Blocks until it is at rest: 1, or for limit_ms at most: 0. */
int quiet_wait(int limit_ms);

#endif
