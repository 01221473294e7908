/* reconcile.c: see reconcile.h. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/keys.h"
#include "../shared/log.h"
#include "../shared/random.h"
#include "turn.h"
#include "worker.h"

#define SOON_S   1.0
#define SECOND_S 5.0
#define EVERY_S  30.0

static const char *const names[] = {"fine", "ghost", "orphan", "unheard", "rewound"};
static const char *const states[RECONCILE_STATES] = {"free", "starting", "warm", "taken", "cleaning"};

int reconcile_parse(const char *text, struct reconcile_record *out)
{
    size_t word = strcspn(text, "|"), len;
    const char *session;
    char *end;

    memset(out, 0, sizeof(*out));
    while (out->state < RECONCILE_STATES &&
           (strlen(states[out->state]) != word || strncmp(text, states[out->state], word) != 0))
        out->state++;
    if (out->state == RECONCILE_STATES || text[word] != '|')
        return -1;
    out->turn = strtoll(text + word + 1, &end, 10);
    if (end == text + word + 1 || *end != '|' || out->turn < 0)
        return -1;
    session = strchr(end + 1, '|');
    if (!session)
        return -1;
    len = strcspn(++session, "|");
    if (len >= sizeof(out->session))
        return -1;
    memcpy(out->session, session, len);
    return 0;
}

/* The same turn is here and in Redis. */
static enum reconcile_verdict judge_live(const struct berth *b, const struct reconcile_record *r)
{
    int ours = strcmp(b->order.session, r->session) == 0;

    switch (r->state) {
    case RECONCILE_STARTING:
        if (!ours)
            return RECONCILE_GHOST;
        return b->state == BERTH_WARM || b->state == BERTH_TAKEN ? RECONCILE_UNHEARD : RECONCILE_FINE;
    case RECONCILE_WARM:
        /* A session had it of which Redis has lost the memory: nobody else may get this browser. */
        return b->state == BERTH_TAKEN ? RECONCILE_GHOST : RECONCILE_FINE;
    case RECONCILE_TAKEN:
        return b->state == BERTH_TAKEN && !ours ? RECONCILE_GHOST : RECONCILE_FINE;
    case RECONCILE_FREE:
    case RECONCILE_CLEANING:
    case RECONCILE_STATES:
        break;
    }
    return RECONCILE_GHOST;
}

enum reconcile_verdict reconcile_judge(const struct berth *b, const struct reconcile_record *r)
{
    int live = berth_is_live(b);

    if (r->turn < b->seen)
        return RECONCILE_REWOUND;
    if (r->state == RECONCILE_FREE)
        return live ? RECONCILE_ORPHAN : RECONCILE_FINE;
    if (b->next && b->next->turn == r->turn)
        return RECONCILE_FINE;
    if (live && b->order.turn == r->turn)
        return judge_live(b, r);
    if (b->state == BERTH_CLEANING && b->free_turn == r->turn)
        return RECONCILE_FINE;
    return RECONCILE_GHOST;
}

static void act(struct berth *b, const struct reconcile_record *r, enum reconcile_verdict v)
{
    log_warn("reconcile",
             "worker=%s berth=%d state=%s turn=%lld seen=%lld redis_state=%s redis_turn=%lld verdict=%s",
             b->worker->id, b->index, berth_state_name(b->state), b->order.turn, b->seen, states[r->state],
             r->turn, names[v]);
    if (v == RECONCILE_UNHEARD) {
        if (b->state == BERTH_WARM)
            report_offer(b);
        else
            report_ready(b);
        return;
    }
    if (berth_is_live(b) && (v == RECONCILE_ORPHAN || b->order.turn != r->turn))
        turn_abort(b, "worker_lost");
    if (v == RECONCILE_REWOUND) {
        berth_saw(b, r->turn, b->order.turn == r->turn ? b->order.session : "");
        v = reconcile_judge(b, r); /* what Redis remembers is an old turn's, and that browser is long gone */
    }
    if (v == RECONCILE_GHOST)
        turn_stop(b, r->turn, "worker_lost");
}

int reconcile_look(struct berth *b, const struct reconcile_record *r)
{
    enum reconcile_verdict v = reconcile_judge(b, r);
    int again = b->suspect_kind == (int)v && b->suspect == r->turn;

    b->suspect_kind = v;
    b->suspect = r->turn;
    if (v == RECONCILE_FINE)
        return 0;
    if (again) {
        act(b, r, v);
        b->suspect_kind = RECONCILE_FINE;
    }
    return 1;
}

static void arm(struct worker *w, double seconds)
{
    ev_timer_stop(w->loop, &w->reconcile.timer);
    ev_timer_set(&w->reconcile.timer, seconds, 0);
    ev_timer_start(w->loop, &w->reconcile.timer);
}

static int look_all(struct worker *w, const redisReply *flat)
{
    struct reconcile_record record;
    int differ = 0;

    for (size_t i = 0; i + 1 < flat->elements; i += 2) {
        long long index = redis_int(flat, i, -1);
        const char *text = redis_str(flat, i + 1);

        if (index < 0 || index >= w->capacity || !text || reconcile_parse(text, &record) != 0)
            log_error("berth_record_odd", "worker=%s berth=%lld", w->id, index);
        else
            differ += reconcile_look(&w->berths[index], &record);
    }
    return differ;
}

static void on_berths_reply(void *arg, const redisReply *reply)
{
    struct worker *w = arg;
    int differ = 0;

    w->reconcile.looking = 0;
    /* No berths at all: the worker is not registered any more, which the heartbeat finds out. */
    if (reply && reply->type == REDIS_REPLY_ARRAY && w->control.state == CONTROL_REGISTERED)
        differ = look_all(w, reply);
    arm(w, differ ? SECOND_S : EVERY_S * (0.75 + random_unit() / 2));
}

static void on_reconcile_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *w = timer->data;
    char key[KEYS_MAX];

    (void)loop;
    (void)revents;
    if (w->control.state != CONTROL_REGISTERED || !redis_is_up(w->redis) || w->reconcile.looking) {
        arm(w, EVERY_S);
        return;
    }
    w->reconcile.looking = 1;
    keys_berths(key, w->settings->cell, w->id);
    redis_call(w->redis, on_berths_reply, w, "HGETALL", key, NULL);
}

void reconcile_init(struct worker *w)
{
    ev_init(&w->reconcile.timer, on_reconcile_timer);
    w->reconcile.timer.data = w;
}

void reconcile_cleanup(struct worker *w)
{
    ev_timer_stop(w->loop, &w->reconcile.timer);
}

void reconcile_soon(struct worker *w)
{
    arm(w, SOON_S * (0.5 + random_unit()));
}
