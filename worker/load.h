/* load.h: how busy the host is: CPU, memory, load average, and whether that is too much to start further
 * browsers. One for a process; sampled every second. */
#ifndef BERTH_LOAD_H
#define BERTH_LOAD_H
#include <ev.h>

struct settings;

struct load {
    double cpu;     /* percent of all cores, smoothed over about five seconds */
    double mem;     /* percent in use, of the host or of the control group that is tighter */
    double average; /* over one minute */
    int pressure;   /* 1: above a limit; goes back when well below both */

    struct ev_loop *loop;
    double cpu_limit, mem_limit;
    double busy, total; /* the CPU's counters at the last sample */
    double sampled;     /* monotonic ms; 0: never */
    ev_timer timer;
};

void load_init(struct load *l, struct ev_loop *loop, const struct settings *s);
void load_cleanup(struct load *l);

/* The arithmetic, for the timer and for tests. */
/* The first line of /proc/stat: jiffies spent working and in all. 0, or -1 if the text has another form. */
int load_parse_stat(const char *text, double *busy, double *total);
/* /proc/meminfo: kB in all and available. 0 or -1. */
int load_parse_meminfo(const char *text, double *total_kb, double *available_kb);
/* Moves an average towards a sample that stands for dt ms, with a memory of tau ms. */
double load_smooth(double average, double sample, double dt_ms, double tau_ms);
/* The next value of pressure. */
int load_judge(int pressure, double cpu, double cpu_limit, double mem, double mem_limit);

#endif
