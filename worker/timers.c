/* timers.c: see timers.h. */
#include "timers.h"

#include <math.h>
#include <string.h>

void timers_reset(struct timers *t, struct timers_rules rules)
{
    memset(t, 0, sizeof(*t));
    t->rules = rules;
}

void timers_bind(struct timers *t, struct timers_limits limits, double now)
{
    t->limits = limits;
    t->bound = t->active = now;
    /* A client that came and went before the session was known has its grace from now. */
    t->left = now;
}

void timers_clients(struct timers *t, int n, double now)
{
    if (n > 0)
        t->connected = 1;
    if (n > t->clients)
        t->active = now;
    if (n == 0 && t->clients > 0)
        t->left = now;
    t->clients = n;
}

void timers_activity(struct timers *t, double now)
{
    t->active = now;
}

static void earlier(double *at, const char **reason, double candidate, const char *why)
{
    if (candidate < *at) {
        *at = candidate;
        *reason = why;
    }
}

double timers_next(const struct timers *t, const char **reason)
{
    double at = INFINITY;

    *reason = "";
    if (t->limits.timeout_ms > 0)
        earlier(&at, reason, t->bound + t->limits.timeout_ms, "timeout");
    if (t->limits.idle_ms > 0)
        earlier(&at, reason, t->active + t->limits.idle_ms, "idle");
    if (t->limits.keep_alive)
        return at;
    if (!t->connected && t->rules.connect_ms >= 0)
        earlier(&at, reason, t->bound + t->rules.connect_ms, "disconnected");
    if (t->connected && t->clients == 0 && t->rules.grace_ms >= 0)
        earlier(&at, reason, t->left + t->rules.grace_ms, "disconnected");
    return at;
}
