/* http_fixture.h: an HTTP server under test in a loop that its clients (http_client.h) share with it. A wait
 * turns the loop until something is there, no fixed time.
 *
 * Any path is answered at once with what the server saw (method, path, q, host, x, body); /later when told
 * to; /big with 4 MB; /ws is an upgrade; /204 and /headers are replies of a kind. */
#ifndef BERTH_TEST_HTTP_FIXTURE_H
#define BERTH_TEST_HTTP_FIXTURE_H
#include <ev.h>

#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/http.h"

#define HTTP_FIXTURE_PATIENCE_MS 90000

struct http_fixture {
    struct ev_loop *loop;
    struct http_server *server;
    struct http_exchange *waiting[4096]; /* of /later */
    int waiting_count;
    int gone, requests, done; /* exchanges that ended while they waited; begun; answered */
    int upgraded;             /* the socket of /ws; -1 */
    struct buf upgraded_early;
};
extern struct http_fixture http_fixture;

void http_fixture_start(const struct http_limits *limits); /* NULL: ample ones */
void http_fixture_stop(void);
/* cmocka's: a server with ample limits for each test. */
int http_fixture_setup(void **state);
int http_fixture_teardown(void **state);
/* Answers the waiting exchange i; the last one takes its place. */
void http_fixture_answer(int i);
/* Lets the server take everything that is in its sockets now. */
void http_fixture_turn(void);

/* Runs the loop until the condition holds. The tick only lets the clients look. */
void http_fixture_on_tick(struct ev_loop *loop, ev_timer *w, int revents);
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        const double end_ = clock_mono_ms() + HTTP_FIXTURE_PATIENCE_MS;                                      \
        ev_timer tick_;                                                                                      \
        ev_timer_init(&tick_, http_fixture_on_tick, 0.001, 0.001);                                           \
        ev_timer_start(http_fixture.loop, &tick_);                                                           \
        while (!(condition)) {                                                                               \
            if (clock_mono_ms() > end_)                                                                      \
                fail_msg("waited in vain for %s", #condition);                                               \
            ev_run(http_fixture.loop, EVRUN_ONCE);                                                           \
        }                                                                                                    \
        ev_timer_stop(http_fixture.loop, &tick_);                                                            \
    } while (0)

#endif
