/* wait.h: waiting for sessions to change. Each session waited for has one entry, whoever waits: its channel
 * is subscribed to, and the hash is read (script `get`) when the subscription is in force, at every hint, and
 * every few seconds in case a hint was lost. What was read goes to all who wait for that session. */
#ifndef BERTH_WAIT_H
#define BERTH_WAIT_H
#include "../shared/redis.h"
#include "api.h"

struct waits;
struct waiter;

/* reply: of script get; NULL while Redis does not answer. May remove its own waiter, or others. */
typedef void wait_look_fn(void *arg, const redisReply *reply);

struct waits *waits_new(struct api *api);
void waits_free(struct waits *w);
/* To be called with what the subscription connection says (redis_sub_cb). state: what the session has become,
 * NULL: not known. */
void waits_hint(struct waits *w, const char *channel, const char *state);

/* Redis came or went: every session waited for is looked at now. */
void waits_kick(struct waits *w);

struct waiter *wait_add(struct waits *w, const char *session, wait_look_fn *cb, void *arg) MUST_USE;
/* That the session is `starting` now is no news to this waiter: no look for its sake. */
void wait_skip_starting(struct waiter *one);
void wait_remove(struct waiter *one);
/* How many wait for this session here. */
int wait_count(const struct waits *w, const char *session);

#endif
