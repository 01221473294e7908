/* turn.h: the life of one turn of a berth: what jobs, the pool, the driver, the gateway, the clock and Redis'
 * answers do to it. Every function may be called in every state; what does not fit the state any more is a
 * repeat or a latecomer and harmless. */
#ifndef BERTH_TURN_H
#define BERTH_TURN_H
#include "berth.h"

/* Sets the berth up; its counterpart is berth_cleanup. */
void turn_init(struct berth *b, struct worker *w, int index);

/* Start a browser as ordered: at once, or when the older turn that is still here has been cleaned. The order
 * is copied. */
void turn_start(struct berth *b, const struct berth_order *order);
/* claim: the warm browser of order->turn belongs to order->session. */
void turn_claim(struct berth *b, const struct berth_order *order);
/* stop: end this turn, then say `freed`; says so again when it is long gone. reason: a session end reason. */
void turn_stop(struct berth *b, long long turn, const char *reason);
/* The worker itself ends what is here: a session is released with this reason, a browser without one is
 * cleaned. */
void turn_end(struct berth *b, const char *reason);
/* Ends what is here and tells Redis nothing. */
void turn_abort(struct berth *b, const char *reason);
/* A new registration: turn numbers heard of under the old epoch mean nothing any more. */
void turn_forget(struct berth *b);
/* Takes a warm berth back, if Redis agrees. */
void turn_withdraw(struct berth *b);

/* The driver and the gateway. */
void turn_on_up(struct berth *b, const char *ws_path, const struct driver_timings *t);
void turn_on_down(struct berth *b, const char *why);
void turn_on_clean(struct berth *b);
void turn_on_clients(struct berth *b, int n);
void turn_on_activity(struct berth *b);

/* Redis' answers: the turn is not this berth's any more; its session is over; a withdrawal was granted or
 * not. */
void turn_on_stale(struct berth *b, long long turn);
void turn_on_gone(struct berth *b, long long turn);
void turn_on_withdrawn(struct berth *b, long long turn, int granted);

#endif
