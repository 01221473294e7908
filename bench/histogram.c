/* histogram.c: see histogram.h. */
#include "histogram.h"

#include <math.h>

/* A value v of octave o (0: below HISTOGRAM_LINEAR) is in the bucket of its leading bits:
 * [2^(k+o-1), 2^(k+o)) is cut into HISTOGRAM_LINEAR parts, where 2^k is HISTOGRAM_LINEAR. */
static int bucket_of(int64_t value)
{
    uint64_t v = value > 0 ? (uint64_t)value : 0;
    int octave;

    if (v < HISTOGRAM_LINEAR)
        return (int)v;
    octave = 63 - __builtin_clzll(v / HISTOGRAM_LINEAR);
    if (octave >= HISTOGRAM_OCTAVES)
        return HISTOGRAM_BUCKETS - 1;
    return (octave + 1) * HISTOGRAM_LINEAR + (int)((v >> octave) - HISTOGRAM_LINEAR);
}

static int64_t greatest_of(int bucket)
{
    int octave = bucket / HISTOGRAM_LINEAR - 1, part = bucket % HISTOGRAM_LINEAR;

    if (octave < 0)
        return bucket;
    return ((int64_t)(HISTOGRAM_LINEAR + part + 1) << octave) - 1;
}

void histogram_add(struct histogram *h, int64_t value)
{
    if (value < 0)
        value = 0;
    if (h->total == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->total++;
    h->sum += (double)value;
    h->counts[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->total == 0)
        return;
    if (into->total == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->total += from->total;
    into->sum += from->sum;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
}

int64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)h->total), seen = 0;
    int64_t value;

    if (h->total == 0)
        return 0;
    if (rank < 1)
        rank = 1;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            value = greatest_of(i);
            return i == HISTOGRAM_BUCKETS - 1 || value > h->max ? h->max : value;
        }
    }
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->total ? h->sum / (double)h->total : 0;
}

void histogram_add_json(const struct histogram *h, struct buf *out)
{
    static const struct {
        const char *name;
        double q;
    } points[] = {{"p50", .5}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p999", .999}};

    buf_addf(out, "{\"n\":%llu,\"mean\":%.1f,\"min\":%lld", (unsigned long long)h->total, histogram_mean(h),
             (long long)h->min);
    for (unsigned i = 0; i < sizeof(points) / sizeof(points[0]); i++)
        buf_addf(out, ",\"%s\":%lld", points[i].name, (long long)histogram_quantile(h, points[i].q));
    buf_addf(out, ",\"max\":%lld}", (long long)h->max);
}
