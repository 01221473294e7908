/* histogram.h: counts of latencies in log-linear buckets (as HDR histograms have them): values from 0 to
 * about 2^40 microseconds, each told to within 1/128 of itself, in a fixed 35 KB, so that a quantile costs
 * nothing while a benchmark runs. */
#ifndef BERTH_BENCH_HISTOGRAM_H
#define BERTH_BENCH_HISTOGRAM_H
#include <stdint.h>

#include "../shared/buf.h"

#define HISTOGRAM_LINEAR  128 /* values below are exact; above, each octave has so many buckets */
#define HISTOGRAM_OCTAVES 33
#define HISTOGRAM_BUCKETS (HISTOGRAM_LINEAR * (HISTOGRAM_OCTAVES + 1))

struct histogram { /* zeroed: empty */
    uint64_t total;
    int64_t min, max; /* exact */
    double sum;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* A negative value counts as 0, one beyond the range as the range's end (max stays exact). */
void histogram_add(struct histogram *h, int64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The greatest value that the bucket of the q-quantile (0 to 1) stands for, at most max; 0 when empty. */
int64_t histogram_quantile(const struct histogram *h, double q);
double histogram_mean(const struct histogram *h);
/* {"n":…,"mean":…,"min":…,"p50":…,"p90":…,"p95":…,"p99":…,"p999":…,"max":…} */
void histogram_add_json(const struct histogram *h, struct buf *out);

#endif
