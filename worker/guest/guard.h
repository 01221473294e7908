/* guard.h: no page of a clone runs in a renderer that came out of its snapshot: V8 takes the seed of
 * Math.random when a renderer starts and never again, so clones that share a renderer share its sequences.
 * Chromium may have renderers besides its pages' (a spare one for the next page), so who is there is asked of
 * the kernel. */
#ifndef BERTH_GUEST_GUARD_H
#define BERTH_GUEST_GUARD_H
#include <sys/types.h>

#define GUARD_MAX 64

struct guard {
    int count;
    struct guard_renderer {
        pid_t pid;
        unsigned long long start; /* ticks after boot: a pid may come again */
    } renderers[GUARD_MAX];
};

/* The renderers that live now. proc: the directory of processes. 0, or -1 with errno: it cannot be read, or
 * there are more than GUARD_MAX. */
int guard_look(const char *proc, struct guard *out) __attribute__((warn_unused_result));
int guard_has(const struct guard *g, pid_t pid);
/* How many of then are still there now. */
int guard_left(const struct guard *then, const struct guard *now);
/* Kills them and waits until they are dead. Blocks. 0, or -1 with errno: ETIMEDOUT, or one cannot be killed.
 */
int guard_kill(const char *proc, const struct guard *g, int limit_ms) __attribute__((warn_unused_result));

#endif
