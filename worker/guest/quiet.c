/* quiet.c: see quiet.h. */
#include "quiet.h"

#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "processes.h"

static int add_process(void *arg, const struct process *p)
{
    struct quiet_sample *s = arg;

    if (p->pid == 1 || p->flags & PROCESS_KERNEL)
        return 0;
    s->ticks += p->ticks;
    s->who += ((unsigned long long)p->pid << 32 ^ p->start) * 0x9e3779b97f4a7c15U;
    return 0;
}

int quiet_look(const char *proc, struct quiet_sample *out)
{
    *out = (struct quiet_sample){0, 0};
    return processes_walk(proc, add_process, out);
}

int quiet_step(struct quiet *q, const struct quiet_sample *s, double ms, long ticks_per_s)
{
    int same = q->sampled && s->who == q->last.who && s->ticks >= q->last.ticks;
    double used_ms = same ? (double)(s->ticks - q->last.ticks) * 1000.0 / (double)ticks_per_s : 0;

    q->windows = same && used_ms * 1000.0 <= ms * QUIET_SHARE ? q->windows + 1 : 0;
    q->last = *s;
    q->sampled = 1;
    return q->windows >= QUIET_WINDOWS;
}

int quiet_wait(int limit_ms)
{
    const struct timespec window = {.tv_sec = QUIET_WINDOW_MS / 1000,
                                    .tv_nsec = QUIET_WINDOW_MS % 1000 * 1000000L};
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    double start = boot_now_ms(), last = start;
    struct quiet q = {0};

    for (;;) {
        struct quiet_sample sample;
        double now = boot_now_ms();
        if (quiet_look(PROCESSES_PROC, &sample) != 0)
            return 0;
        if (quiet_step(&q, &sample, now - last, ticks_per_s))
            return 1;
        if (now - start + QUIET_WINDOW_MS > limit_ms)
            return 0;
        last = now;
        nanosleep(&window, NULL);
    }
}
