/* metrics.h: what this process counts, in Prometheus' text form. Counters only go up; gauges are read when
 * printed. */
#ifndef BERTH_METRICS_H
#define BERTH_METRICS_H
#include <stddef.h>

#include "../shared/buf.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* route: the pattern ("/v1/sessions/:id"; "other" where none matched), a string that lives as long as the
 * process. */
void metrics_request(struct metrics *m, const char *route, const char *method, int status, double ms);
/* result: "created", or the code of an error, or "gone"; how: "warm", "cold", "queued" or "" where there is
 * no session. */
void metrics_create(struct metrics *m, const char *result, const char *how, double ms);
/* The steps of a browser's launch that a session brought with it: JSON as the worker wrote it, "" where there
 * is none. */
void metrics_launch(struct metrics *m, const char *timings);
void metrics_redis(struct metrics *m, double ms);
/* Gauges: add 1 or -1. */
enum metrics_gauge {
    METRICS_WAITING_CREATES,
    METRICS_LONG_POLLS,
    METRICS_RELAYS,
    METRICS_CREATES_IN_LINE,
    METRICS_CREATES_WITH_REDIS,
    METRICS_GAUGES
};
void metrics_gauge(struct metrics *m, enum metrics_gauge g, int by);
int metrics_gauge_value(const struct metrics *m, enum metrics_gauge g);
/* Swept: sessions and workers that sweep had to act on. */
void metrics_swept(struct metrics *m, long long done);
void metrics_print(const struct metrics *m, int redis_up, int connections, struct buf *out);
/* A label's value, escaped as Prometheus wants it, quotes included. */
void metrics_add_label(struct buf *out, const char *value);

#endif
