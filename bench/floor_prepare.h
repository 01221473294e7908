/* floor_prepare.h: what bench/floor.c finds in Redis when it begins: played workers with warm berths, or with
 * running sessions and a queue behind them. Blocking calls, in pipelines; a failure ends the program. */
#ifndef BERTH_BENCH_FLOOR_PREPARE_H
#define BERTH_BENCH_FLOOR_PREPARE_H
#include <stdint.h>

#include "../shared/keys.h"
#include "../shared/redis.h"

#define FLOOR_TIMINGS    "{\"totalMs\":86.4,\"warmupMs\":86.4}" /* as a sim worker says */
#define FLOOR_ADMIT_ARGS 15

struct host { /* one played worker */
    char id[32], epoch[24];
    int jobs; /* written and not yet read */
};

struct lane { /* one lifecycle at a time */
    struct host *host;
    char session[KEYS_SESSION_MAX], berth[16], turn[24];
    int64_t begun, sent;
};

struct floor_options {
    const char *redis, *cell, *profile, *prefix; /* prefix: of the workers' ids; digits follow */
    double seconds, warmup;
    int lanes, workers, berths, projects;
    long queue, seed, seed_queue;
};

struct floor_admit {
    char session[KEYS_SESSION_MAX], project[32];
};

/* A new session and the arguments of its `admit`, as the API gives them for `{}`; they point into a. */
void floor_admit(const struct floor_options *o, struct floor_admit *a, const char *argv[FLOOR_ADMIT_ARGS]);
void floor_secret(const char *berth, char out[64]);
/* Where the session (a flat list) was placed. */
void floor_take_place(const struct floor_options *o, struct host *hosts, struct lane *l,
                      const redisReply *session);
/* Registers the workers and puts there what o asks for; each lane gets its worker and, with a queue, the
 * session that runs on it. The caller frees the result. */
struct host *floor_prepare(const struct floor_options *o, struct lane *lanes);

#endif
