/* metrics.c: counters in small arrays that are searched from the front: a process knows a few dozen label
 * sets at most. */
#include "metrics.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/mem.h"

static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
#define BOUNDS (sizeof(bounds) / sizeof(*bounds))

struct histogram {
    uint64_t buckets[BOUNDS + 1]; /* not cumulated; the last is +Inf */
    double sum;                   /* seconds */
};

struct request_count {
    const char *route, *method;
    int status;
    uint64_t n;
};

struct route_time {
    const char *route, *method;
    struct histogram times;
};

struct create_count {
    const char *result;
    uint64_t n;
};

enum { HOW_WARM, HOW_COLD, HOW_QUEUED, HOWS };
static const char *const how_names[HOWS] = {"warm", "cold", "queued"};

static const struct {
    const char *name, *label; /* in launchTimings; of the metric */
} steps[] = {
#define STEP(field, name, label, part) {"\"" name "\":", label},
#include "../shared/launch_steps.def"
#undef STEP
    {"\"totalMs\":", "total"},
};
#define STEPS       (sizeof(steps) / sizeof(*steps))
#define DRIVERS_MAX 8

struct launches {
    char driver[24];
    struct histogram times[STEPS];
};

struct metrics {
    struct launches *launches;
    size_t launches_n;
    struct request_count *requests;
    size_t requests_n;
    struct route_time *routes;
    size_t routes_n;
    struct create_count *creates;
    size_t creates_n;
    struct histogram create_times[HOWS];
    struct histogram redis_times;
    int gauges[METRICS_GAUGES];
    uint64_t swept;
    int64_t started_ms;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_alloc(sizeof(*m));

    m->started_ms = clock_wall_ms();
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    free(m->requests);
    free(m->routes);
    free(m->creates);
    free(m->launches);
    free(m);
}

static void observe(struct histogram *h, double ms)
{
    double seconds = ms / 1000.0;
    size_t i = 0;

    while (i < BOUNDS && seconds > bounds[i])
        i++;
    h->buckets[i]++;
    h->sum += seconds;
}

void metrics_request(struct metrics *m, const char *route, const char *method, int status, double ms)
{
    size_t i;

    for (i = 0; i < m->requests_n; i++)
        if (m->requests[i].status == status && !strcmp(m->requests[i].route, route) &&
            !strcmp(m->requests[i].method, method))
            break;
    if (i == m->requests_n) {
        m->requests = mem_realloc(m->requests, ++m->requests_n * sizeof(*m->requests));
        m->requests[i] = (struct request_count){route, method, status, 0};
    }
    m->requests[i].n++;
    for (i = 0; i < m->routes_n; i++)
        if (!strcmp(m->routes[i].route, route) && !strcmp(m->routes[i].method, method))
            break;
    if (i == m->routes_n) {
        m->routes = mem_realloc(m->routes, ++m->routes_n * sizeof(*m->routes));
        memset(&m->routes[i], 0, sizeof(m->routes[i]));
        m->routes[i].route = route;
        m->routes[i].method = method;
    }
    observe(&m->routes[i].times, ms);
}

void metrics_create(struct metrics *m, const char *result, const char *how, double ms)
{
    size_t i;

    for (i = 0; i < m->creates_n; i++)
        if (!strcmp(m->creates[i].result, result))
            break;
    if (i == m->creates_n) {
        m->creates = mem_realloc(m->creates, ++m->creates_n * sizeof(*m->creates));
        m->creates[i] = (struct create_count){result, 0};
    }
    m->creates[i].n++;
    for (i = 0; i < HOWS; i++)
        if (!strcmp(how_names[i], how))
            observe(&m->create_times[i], ms);
}

/* The driver's own numbers; NULL for one too many, or none that is a word. */
static struct launches *launches_of(struct metrics *m, const char *timings)
{
    static const char key[] = "\"driver\":\"";
    const char *at = strstr(timings, key);
    size_t len, i;

    if (!at)
        return NULL;
    at += sizeof(key) - 1;
    len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    if (len == 0 || len >= sizeof(m->launches->driver) || at[len] != '"')
        return NULL;
    for (i = 0; i < m->launches_n; i++)
        if (strlen(m->launches[i].driver) == len && !memcmp(m->launches[i].driver, at, len))
            return &m->launches[i];
    if (i == DRIVERS_MAX)
        return NULL;
    m->launches = mem_realloc(m->launches, ++m->launches_n * sizeof(*m->launches));
    memset(&m->launches[i], 0, sizeof(m->launches[i]));
    memcpy(m->launches[i].driver, at, len);
    return &m->launches[i];
}

void metrics_launch(struct metrics *m, const char *timings)
{
    struct launches *l = launches_of(m, timings);
    size_t i;

    for (i = 0; l && i < STEPS; i++) {
        const char *at = strstr(timings, steps[i].name);

        if (at)
            observe(&l->times[i], strtod(at + strlen(steps[i].name), NULL));
    }
}

void metrics_redis(struct metrics *m, double ms)
{
    observe(&m->redis_times, ms);
}

void metrics_gauge(struct metrics *m, enum metrics_gauge g, int by)
{
    m->gauges[g] += by;
}

int metrics_gauge_value(const struct metrics *m, enum metrics_gauge g)
{
    return m->gauges[g];
}

void metrics_swept(struct metrics *m, long long done)
{
    m->swept += (uint64_t)done;
}

/* ---- text ---- */

void metrics_add_label(struct buf *out, const char *value)
{
    buf_adds(out, "\"");
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buf_adds(out, "\\");
        buf_add(out, *value == '\n' ? " " : value, 1);
    }
    buf_adds(out, "\"");
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* labels: `route="/x",` with a trailing comma, or "". */
static void print_histogram(struct buf *out, const char *name, const char *labels, const struct histogram *h)
{
    uint64_t total = 0;
    int bare = (int)strlen(labels) - (*labels != '\0');
    size_t i;

    for (i = 0; i < BOUNDS; i++) {
        total += h->buckets[i];
        buf_addf(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, labels, bounds[i], (unsigned long long)total);
    }
    total += h->buckets[BOUNDS];
    buf_addf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, (unsigned long long)total);
    buf_addf(out, *labels ? "%s_sum{%.*s} %.6f\n" : "%s_sum%.*s %.6f\n", name, bare, labels, h->sum);
    buf_addf(out, *labels ? "%s_count{%.*s} %llu\n" : "%s_count%.*s %llu\n", name, bare, labels,
             (unsigned long long)total);
}

static void print_requests(const struct metrics *m, struct buf *out)
{
    char labels[128];
    size_t i;

    head(out, "berth_http_requests_total", "counter", "Requests answered, by route, method and status.");
    for (i = 0; i < m->requests_n; i++)
        buf_addf(out, "berth_http_requests_total{route=\"%s\",method=\"%s\",status=\"%d\"} %llu\n",
                 m->requests[i].route, m->requests[i].method, m->requests[i].status,
                 (unsigned long long)m->requests[i].n);
    head(out, "berth_http_request_duration_seconds", "histogram", "From a request's last byte to its reply.");
    for (i = 0; i < m->routes_n; i++) {
        snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\",", m->routes[i].route,
                 m->routes[i].method);
        print_histogram(out, "berth_http_request_duration_seconds", labels, &m->routes[i].times);
    }
}

static void print_creates(const struct metrics *m, struct buf *out)
{
    char labels[64];
    size_t i;

    head(out, "berth_creates_total", "counter", "Session creates by result.");
    for (i = 0; i < m->creates_n; i++)
        buf_addf(out, "berth_creates_total{result=\"%s\"} %llu\n", m->creates[i].result,
                 (unsigned long long)m->creates[i].n);
    head(out, "berth_create_duration_seconds", "histogram",
         "From a create's last byte to its reply, by how it was served.");
    for (i = 0; i < HOWS; i++) {
        snprintf(labels, sizeof(labels), "start=\"%s\",", how_names[i]);
        print_histogram(out, "berth_create_duration_seconds", labels, &m->create_times[i]);
    }
}

static void print_launches(const struct metrics *m, struct buf *out)
{
    char labels[96];
    size_t i, k;

    head(out, "berth_launch_step_seconds", "histogram",
         "Steps of the launches of the browsers that sessions created here got.");
    for (i = 0; i < m->launches_n; i++) {
        for (k = 0; k < STEPS; k++) {
            const struct histogram *h = &m->launches[i].times[k];

            if (h->sum <= 0)
                continue; /* the driver has no such step */
            snprintf(labels, sizeof(labels), "driver=\"%s\",step=\"%s\",", m->launches[i].driver,
                     steps[k].label);
            print_histogram(out, "berth_launch_step_seconds", labels, h);
        }
    }
}

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = -3; /* ".", ".." and d's own */

    if (!d)
        return -1;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void print_process(const struct metrics *m, struct buf *out)
{
    struct rusage use;
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    struct rlimit files;

    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        pages = resident = 0;
    if (f)
        fclose(f);
    getrusage(RUSAGE_SELF, &use);
    getrlimit(RLIMIT_NOFILE, &files);
    head(out, "process_cpu_seconds_total", "counter", "CPU time of this process.");
    buf_addf(out, "process_cpu_seconds_total %.3f\n",
             (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    head(out, "process_resident_memory_bytes", "gauge", "Memory in use.");
    buf_addf(out, "process_resident_memory_bytes %lld\n", (long long)resident * sysconf(_SC_PAGESIZE));
    head(out, "process_open_fds", "gauge", "Open file descriptors.");
    buf_addf(out, "process_open_fds %d\n", open_files());
    head(out, "process_max_fds", "gauge", "Limit of open file descriptors.");
    buf_addf(out, "process_max_fds %llu\n", (unsigned long long)files.rlim_cur);
    head(out, "process_start_time_seconds", "gauge", "When the process started, seconds since 1970.");
    buf_addf(out, "process_start_time_seconds %.3f\n", (double)m->started_ms / 1000.0);
}

static void print_gauge(struct buf *out, const char *name, const char *help, int value)
{
    head(out, name, "gauge", help);
    buf_addf(out, "%s %d\n", name, value);
}

void metrics_print(const struct metrics *m, int redis_up, int connections, struct buf *out)
{
    print_requests(m, out);
    print_creates(m, out);
    print_launches(m, out);
    print_gauge(out, "berth_waiting_creates", "Creates of this process that wait for a browser.",
                m->gauges[METRICS_WAITING_CREATES]);
    print_gauge(out, "berth_creates_in_line",
                "Creates of this process that wait until Redis has done earlier ones.",
                m->gauges[METRICS_CREATES_IN_LINE]);
    print_gauge(out, "berth_creates_with_redis",
                "Creates of this process that Redis has been asked to admit.",
                m->gauges[METRICS_CREATES_WITH_REDIS]);
    print_gauge(out, "berth_long_polls", "Long polls under way.", m->gauges[METRICS_LONG_POLLS]);
    print_gauge(out, "berth_relays", "CDP connections relayed.", m->gauges[METRICS_RELAYS]);
    print_gauge(out, "berth_http_connections", "Open client connections.", connections);
    print_gauge(out, "berth_redis_up", "1 while Redis answers.", redis_up);
    head(out, "berth_redis_command_duration_seconds", "histogram",
         "Round trips of scripts on behalf of requests.");
    print_histogram(out, "berth_redis_command_duration_seconds", "", &m->redis_times);
    head(out, "berth_swept_total", "counter", "Sessions and workers that this process' sweeps acted on.");
    buf_addf(out, "berth_swept_total %llu\n", (unsigned long long)m->swept);
    print_process(m, out);
}
