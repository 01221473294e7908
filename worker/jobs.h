/* jobs.h: reads the worker's job stream on a connection of its own and hands each job to the berth it is for.
 *
 * An entry is acknowledged and deleted after its effect has begun and is remembered here. After a reconnect
 * the entries that were delivered and not acknowledged come first. A job may come twice; turn.c knows. */
#ifndef BERTH_JOBS_H
#define BERTH_JOBS_H
#include <ev.h>
#include <hiredis/hiredis.h>

#include "berth.h"

struct redis;
struct worker;

enum job_kind { JOB_CLAIM, JOB_START, JOB_STOP, JOB_DRAIN, JOB_UNDRAIN, JOB_KINDS };

/* Strings live as long as the reply they were read from. */
struct job {
    enum job_kind kind;
    long long epoch;
    int berth;
    long long turn;
    const char *session; /* "" where there is none */
    const char *profile;
    const char *reason;
    struct timers_limits limits;
};

struct jobs {
    struct redis *redis; /* NULL: not reading */
    int pending;         /* 1: entries that were delivered before are read first */
    int reading;         /* a read is without answer */
    ev_timer timer;      /* another try after an error */
};

/* Reads an entry's flat list of fields; the worker has so many berths. 0, or -1 with the mistake in *why. */
int jobs_parse(const redisReply *fields, int berths, struct job *out, const char **why);
/* Starts reading under the worker's epoch, anew if it had been reading under an older one. */
void jobs_start(struct worker *w);
/* Not from inside a job. */
void jobs_stop(struct worker *w);
void jobs_init(struct worker *w);

#endif
