/* create_order.h: what a client asks for with a create: the body (create_request.h), and what the rest of the
 * request says: how long it waits, the Idempotency-Key, whose project it is. */
#ifndef BERTH_CREATE_ORDER_H
#define BERTH_CREATE_ORDER_H
#include "call.h"
#include "create_request.h"

#define CREATE_IDEMPOTENCY_MAX 255

struct create_order {
    struct create_request request;
    char project[KEYS_ID_MAX + 1];
    char idempotency[CREATE_IDEMPOTENCY_MAX + 1];
    char body_hash[65]; /* only with an idempotency key */
    double patience_ms; /* how long the client waits for the session to run; -1: as long as it takes */
};

/* Reads the call's request. 0, or -1: something is wrong with it, and the call has been answered (and may be
 * gone, with the order in it). An order is cleaned up in every case. */
int create_order_read(struct call *c, struct create_order *o) MUST_USE;
/* The same from a body alone. */
int create_order_read_body(struct call *c, struct create_order *o, const char *body, size_t len) MUST_USE;
void create_order_cleanup(struct create_order *o);

#endif
