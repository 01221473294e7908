/* create_internal.h: what a create's way to a session (create.c) and its ends (create_end.c) share. */
#ifndef BERTH_CREATE_INTERNAL_H
#define BERTH_CREATE_INTERNAL_H
#include "call.h"
#include "create_order.h"
#include "gate.h"
#include "session_view.h"
#include "wait.h"

struct create {
    struct create_order order;
    char session[KEYS_SESSION_MAX];
    int mine;    /* made by this call: ends with it, as long as it has not been handed over */
    int settled; /* answered: nothing left to cancel */
    int asked;   /* Redis knows of the session, or will */
    struct gate *gate;
    struct gate_place place;
    struct waiter *waiter;
    ev_timer timer;
    struct ev_loop *loop;
    double waiting_since; /* 0: does not wait */
    double away_since;    /* Redis does not answer, 0: it does */
    double lost_since;    /* the first answer to admit that was lost, 0: none was */
    void (*on_running)(struct call *c, const struct session *s);
};

void create_stop_waiting(struct call *c);
/* Its session, if there may be one, is to end: nobody gets it. */
void create_cancel(struct call *c);

/* These answer the client; after them the call must not be touched. */
/* message and details as in call_error. */
void create_refuse(struct call *c, enum err e, const char *message, const char *details);
/* status: 201 it runs, 202 it does not yet, 200 it did (a repeated request). */
void create_answer(struct call *c, int status, const struct session *s, long long position);
/* Answers if the session has come to something; 0: it is still on its way. */
int create_settle(struct call *c, const struct session *s, long long position);

#endif
