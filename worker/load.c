/* load.c: see load.h. */
#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/kernel_file.h"
#include "../shared/log.h"
#include "../shared/settings.h"

#define SAMPLE_S 1.0
#define TAU_MS   5000.0
#define BACK     0.9 /* pressure ends below this share of the limit */
#define TEXT_MAX 8192

int load_parse_stat(const char *text, double *busy, double *total)
{
    unsigned long long user, nice, system, idle, iowait = 0, irq = 0, softirq = 0, steal = 0;

    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
               &irq, &softirq, &steal) < 4)
        return -1;
    *busy = (double)(user + nice + system + irq + softirq + steal);
    *total = *busy + (double)(idle + iowait);
    return 0;
}

static int meminfo_line(const char *text, const char *name, double *kb)
{
    const char *at = strstr(text, name);
    unsigned long long value;

    if (!at || sscanf(at + strlen(name), "%llu", &value) != 1)
        return -1;
    *kb = (double)value;
    return 0;
}

int load_parse_meminfo(const char *text, double *total_kb, double *available_kb)
{
    if (meminfo_line(text, "MemTotal:", total_kb) != 0 ||
        meminfo_line(text, "MemAvailable:", available_kb) != 0)
        return -1;
    return *total_kb > 0 ? 0 : -1;
}

double load_smooth(double average, double sample, double dt_ms, double tau_ms)
{
    if (dt_ms <= 0)
        return average;
    return average + (sample - average) * (1 - exp(-dt_ms / tau_ms));
}

int load_judge(int pressure, double cpu, double cpu_limit, double mem, double mem_limit)
{
    double share = pressure ? BACK : 1;

    return cpu > cpu_limit * share || mem > mem_limit * share;
}

static void sample_cpu(struct load *l, double now)
{
    char text[TEXT_MAX];
    double busy, total;

    if (kernel_file_read("/proc/stat", text, sizeof(text)) < 0 || load_parse_stat(text, &busy, &total) != 0)
        return;
    if (l->sampled > 0 && total > l->total)
        l->cpu = load_smooth(l->cpu, 100 * (busy - l->busy) / (total - l->total), now - l->sampled, TAU_MS);
    if (l->cpu < 0)
        l->cpu = 0;
    l->busy = busy;
    l->total = total;
    l->sampled = now;
}

/* A number in a file of a control group; -1 where there is none (also for "max"). */
static double group_number(const char *path)
{
    char text[64], *end;
    double value;

    if (kernel_file_read(path, text, sizeof(text)) < 0)
        return -1;
    value = strtod(text, &end);
    return end == text ? -1 : value;
}

/* In a container the group's limit comes before the host's memory. The page cache counts as used there, so
 * the group's figure is only taken where the limit is really lower than the host's memory. */
static double group_percent(double host_total_kb)
{
    double limit = group_number("/sys/fs/cgroup/memory.max"),
           used = group_number("/sys/fs/cgroup/memory.current");
    char text[TEXT_MAX];
    double inactive = 0;

    if (limit <= 0 || used < 0 || limit / 1024 >= host_total_kb)
        return 0;
    if (kernel_file_read("/sys/fs/cgroup/memory.stat", text, sizeof(text)) >= 0)
        (void)meminfo_line(text, "inactive_file", &inactive);
    return 100 * (used > inactive ? used - inactive : 0) / limit;
}

static void sample_mem(struct load *l)
{
    char text[TEXT_MAX];
    double total, available, group;

    if (kernel_file_read("/proc/meminfo", text, sizeof(text)) < 0 ||
        load_parse_meminfo(text, &total, &available) != 0)
        return;
    l->mem = 100 * (1 - available / total);
    group = group_percent(total);
    if (group > l->mem)
        l->mem = group;
    if (l->mem < 0)
        l->mem = 0;
}

static void sample(struct load *l)
{
    int pressure;

    sample_cpu(l, clock_mono_ms());
    sample_mem(l);
    if (getloadavg(&l->average, 1) != 1)
        l->average = 0;
    pressure = load_judge(l->pressure, l->cpu, l->cpu_limit, l->mem, l->mem_limit);
    if (pressure != l->pressure)
        log_info("pressure", "on=%d cpu=%.1f mem=%.1f load=%.2f", pressure, l->cpu, l->mem, l->average);
    l->pressure = pressure;
}

static void on_load_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    sample(timer->data);
}

void load_init(struct load *l, struct ev_loop *loop, const struct settings *s)
{
    memset(l, 0, sizeof(*l));
    l->loop = loop;
    l->cpu_limit = (double)s->pressure_cpu;
    l->mem_limit = (double)s->pressure_mem;
    sample(l);
    ev_timer_init(&l->timer, on_load_timer, SAMPLE_S, SAMPLE_S);
    l->timer.data = l;
    ev_timer_start(loop, &l->timer);
}

void load_cleanup(struct load *l)
{
    ev_timer_stop(l->loop, &l->timer);
}
