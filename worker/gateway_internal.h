/* gateway_internal.h: what gateway.c (berths, secrets, paths) and gateway_client.c (one client at a berth)
 * share; for nobody else. */
#ifndef BERTH_GATEWAY_INTERNAL_H
#define BERTH_GATEWAY_INTERNAL_H
#include "../shared/http.h"
#include "gateway.h"
#include "gateway_relay.h"

struct gateway_client;

struct gateway_berth {
    struct gateway *gateway;
    int index;
    char *secret; /* NULL: closed */
    char *ws_path;
    int clients;   /* WebSockets that relay */
    int visitors;  /* everybody in list */
    double active; /* loop time of the last on_activity */
    struct gateway_client *list;
};

struct gateway {
    struct gateway_config config;
    char *url;
    struct http_server *server;
    struct gateway_hub *hub;
    struct gateway_stats stats;
    struct gateway_berth *berths;
};

/* Leads the exchange, a WebSocket upgrade, to the browser's `path`. It is the client's from now on. */
void gateway_client_connect(struct gateway_berth *b, struct http_exchange *x, const char *path);
/* Answers the exchange with what the browser answers to `target`; its addresses are rewritten if rewrite is
 * set. */
void gateway_client_fetch(struct gateway_berth *b, struct http_exchange *x, const char *target, int rewrite);
/* The session is over for everybody at the berth: see gateway_close. */
void gateway_client_close_all(struct gateway_berth *b, const char *reason);
/* The same without a word, after the server and the hub are gone. */
void gateway_client_forget_all(struct gateway_berth *b);

#endif
