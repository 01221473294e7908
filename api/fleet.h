/* fleet.h: how the whole cell stands: workers, profiles, projects, read from Redis in two pipelined rounds.
 * Readings are shared: whoever asks while one is under way gets that one, and a caller that can do with an
 * older one says so. */
#ifndef BERTH_FLEET_H
#define BERTH_FLEET_H
#include <stddef.h>

#include "../shared/buf.h"
#include "../shared/keys.h"
#include "api.h"

#define FLEET_MAX 5000 /* workers, profiles, projects: as many are read */

enum fleet_berth { FLEET_FREE, FLEET_STARTING, FLEET_WARM, FLEET_TAKEN, FLEET_CLEANING, FLEET_BERTHS };
enum fleet_session { FLEET_S_QUEUED, FLEET_S_STARTING, FLEET_S_RUNNING, FLEET_S_ENDING, FLEET_SESSIONS };
extern const char *const fleet_berth_names[FLEET_BERTHS];
extern const char *const fleet_session_names[FLEET_SESSIONS];

struct fleet_worker {
    char id[KEYS_ID_MAX + 1];
    char state[16]; /* ready, draining, lost */
    char *gateway, *driver, *profiles, *info;
    long long epoch, capacity, berths[FLEET_BERTHS], crashes, registered, seen, lease;
    int pressure;
    double cpu, mem, load;
};

struct fleet_profile {
    char name[KEYS_ID_MAX + 1];
    long long queued, warm;
};

struct fleet_project {
    char name[KEYS_ID_MAX + 1];
    long long sessions[FLEET_SESSIONS];
};

struct fleet_state {
    struct fleet_worker *workers;
    struct fleet_profile *profiles;
    struct fleet_project *projects;
    size_t workers_n, profiles_n, projects_n;
    double read_ms; /* monotonic */
};

struct fleet;
/* state is NULL when Redis did not answer; it lives as long as the callback. */
typedef void fleet_cb(void *arg, const struct fleet_state *state);

struct fleet *fleet_new(struct api *api);
/* Readers still waiting are called with NULL when redis_free has answered its commands; then this frees the
 * rest. */
void fleet_free(struct fleet *f);
/* A reading not older than max_age_ms; cb may be called at once. */
void fleet_read(struct fleet *f, double max_age_ms, fleet_cb *cb, void *arg);
/* "healthy", "no-admit" (ready, but under pressure), "draining", "lost": what an operator wants to know of a
 * worker. */
const char *fleet_worker_status(const struct fleet_worker *w);
/* Sums over the fleet; project NULL: over all projects. */
long long fleet_berths(const struct fleet_state *s, enum fleet_berth b);
long long fleet_sessions(const struct fleet_state *s, enum fleet_session which, const char *project);
/* Prometheus text. */
void fleet_print(const struct fleet_state *s, struct buf *out);

#endif
