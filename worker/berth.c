/* berth.c: see berth.h. What happens in each state, and why, is in turn.c. */
#include "berth.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "worker.h"

static const char *const names[BERTH_STATES] = {"idle", "starting", "warming", "warm", "taken", "cleaning"};

/* From which state into which. What is missing here cannot happen. */
static const unsigned char allowed[BERTH_STATES][BERTH_STATES] = {
    [BERTH_IDLE] = {[BERTH_STARTING] = 1},
    [BERTH_STARTING] = {[BERTH_WARMING] = 1, [BERTH_WARM] = 1, [BERTH_TAKEN] = 1, [BERTH_CLEANING] = 1},
    [BERTH_WARMING] = {[BERTH_WARM] = 1, [BERTH_CLEANING] = 1},
    [BERTH_WARM] = {[BERTH_TAKEN] = 1, [BERTH_CLEANING] = 1},
    [BERTH_TAKEN] = {[BERTH_CLEANING] = 1},
    [BERTH_CLEANING] = {[BERTH_IDLE] = 1},
};

void berth_init(struct berth *b, struct worker *w, int index)
{
    memset(b, 0, sizeof(*b));
    b->worker = w;
    b->index = index;
    b->since = clock_mono_ms();
}

void berth_cleanup(struct berth *b)
{
    assert(!b->warmup);
    ev_timer_stop(b->worker->loop, &b->timer);
    free(b->ws_path);
    free(b->next);
    b->ws_path = NULL;
    b->next = NULL;
}

const char *berth_state_name(enum berth_state s)
{
    return s < BERTH_STATES ? names[s] : "?";
}

void berth_set(struct berth *b, enum berth_state to, const char *reason)
{
    enum berth_state from = b->state;
    double now = clock_mono_ms();

    assert(allowed[from][to]);
    ev_timer_stop(b->worker->loop, &b->timer);
    b->worker->counts[from]--;
    b->worker->counts[to]++;
    b->state = to;
    log_info("berth", "worker=%s berth=%d turn=%lld session=%s from=%s to=%s reason=%s ms=%.1f",
             b->worker->id, b->index, b->order.turn, b->order.session, names[from], names[to], reason,
             now - b->since);
    b->since = now;
    worker_on_berth(b->worker, b);
}

void berth_saw(struct berth *b, long long turn, const char *session)
{
    b->seen = turn;
    strncpy(b->seen_session, session, sizeof(b->seen_session) - 1);
    b->seen_session[sizeof(b->seen_session) - 1] = '\0';
}

int berth_is_pool(const struct berth *b)
{
    return !b->order.session[0] &&
           (b->state == BERTH_STARTING || b->state == BERTH_WARMING || b->state == BERTH_WARM);
}

int berth_is_live(const struct berth *b)
{
    return b->state != BERTH_IDLE && b->state != BERTH_CLEANING;
}
