/* gateway_fixture.h: a gateway between raw sockets: the test plays the client and the browser byte by byte,
 * in the gateway's own loop and thread. A wait turns the loop until something is there, no fixed time. */
#ifndef BERTH_TEST_GATEWAY_FIXTURE_H
#define BERTH_TEST_GATEWAY_FIXTURE_H
#include <ev.h>
#include <stddef.h>

#include "shared/buf.h"
#include "worker/gateway.h"

#define FIXTURE_BERTHS 3
#define FIXTURE_SECRET "1-00112233445566778899aabbccddeeff"
#define FIXTURE_PATH   "/devtools/browser/11112222-3333-4444-5555-666677778888"
#define FIXTURE_KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define FIXTURE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct gateway_fixture {
    struct ev_loop *loop;
    struct gateway *gateway;
    int port;     /* of the gateway */
    int listener; /* of the browser; -1: it cannot be reached */
    int browser_port;
    int browser_sndbuf;                      /* bytes, 0: the system's */
    int clients, client_changes, activities; /* what events told of berth 1 */
    int on_clients_closes;                   /* set: on_clients calls gateway_close(1, "idle") */
    ev_timer guard;
};

/* A gateway with berth 1 open. ping_ms: a long one keeps pings out of the way. */
void gateway_fixture_init(struct gateway_fixture *f, long ping_ms, const char *public_url);
void gateway_fixture_cleanup(struct gateway_fixture *f);

/* Turns the loop until the condition holds; the test fails after ten seconds. */
void gateway_fixture_wait_begin(struct gateway_fixture *f);
void gateway_fixture_wait_step(struct gateway_fixture *f, const char *condition, const char *file, int line);
#define UNTIL(f, condition)                                                                                  \
    do {                                                                                                     \
        gateway_fixture_wait_begin(f);                                                                       \
        while (!(condition))                                                                                 \
            gateway_fixture_wait_step(f, #condition, __FILE__, __LINE__);                                    \
    } while (0)

/* A connection to the gateway with text sent. rcvbuf: 0 for the system's. */
int gateway_fixture_connect(struct gateway_fixture *f, const char *text, int rcvbuf);
/* The browser's side of the next connection the gateway makes, and its request's head. */
int gateway_fixture_accept(struct gateway_fixture *f, struct buf *head);
/* Reads what is there. 1: still open, 0: closed (or reset). */
int gateway_fixture_read(int fd, struct buf *in);
/* Reads until there are at least n bytes. */
void gateway_fixture_expect(struct gateway_fixture *f, int fd, struct buf *in, size_t n);
/* Reads until the other side has closed. */
void gateway_fixture_end(struct gateway_fixture *f, int fd, struct buf *in);
/* Writes all of it while the loop turns. */
void gateway_fixture_write(struct gateway_fixture *f, int fd, const void *data, size_t len);
/* One request, its whole reply; caller cleans up. Returns the status. */
int gateway_fixture_get(struct gateway_fixture *f, const char *request, struct buf *reply);

/* A WebSocket to `path` through the gateway, handshake done on both sides. */
struct gateway_pair {
    int client, browser;
};
struct gateway_pair gateway_fixture_pair(struct gateway_fixture *f, const char *path, int rcvbuf);
void gateway_fixture_unpair(struct gateway_pair *p);

/* Appends a frame. */
void gateway_fixture_frame(struct buf *out, int fin, int opcode, const void *payload, size_t len, int mask);

#endif
