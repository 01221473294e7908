/* api.h: what every part of the API process shares. One struct api a process; it owns all it points to. */
#ifndef BERTH_API_H
#define BERTH_API_H
#include <ev.h>

#include "../shared/settings.h"
#include "gate.h"
#include "outage.h"

struct auth;
struct call;
struct fetch;
struct fleet;
struct http_server;
struct link;
struct metrics;
struct redis;
struct redis_sub;
struct sweeper;
struct waits;

#define API_REDIS_TIMEOUT_MS 5000 /* in which Redis answers a call, or is taken for lost */

struct api {
    struct ev_loop *loop;
    struct settings settings;
    struct redis *redis;
    struct redis_sub *sub;
    struct http_server *server;
    struct auth *auth;
    struct metrics *metrics;
    struct waits *waits;
    struct gate creates; /* those that are with Redis, and the line before it */
    struct outage outage;
    struct fleet *fleet;
    struct fetch *fetch;
    struct sweeper *sweeper;
    struct call *calls; /* every request that has not been answered yet */
    struct link *links; /* CDP connections relayed or about to be */
    int draining;       /* 1: SIGTERM came, no new sessions; 2: and nobody may wait any longer */
    int settling;       /* cancels and releases sent to Redis and not answered yet */
};

/* Ends a session that nobody waits for any more, for as long as it takes Redis to answer. project "" means
 * any. */
void api_cancel(struct api *api, const char *session, const char *project);
/* Releases a session for `reason` ("disconnected"), as stubbornly. */
void api_release(struct api *api, const char *session, const char *reason);

#endif
