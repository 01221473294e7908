/* fake_cdp.h: the browser's end of one CDP connection, played by the test over a socket pair in the loop of
 * what is tested. */
#ifndef BERTH_TEST_FAKE_CDP_H
#define BERTH_TEST_FAKE_CDP_H
#include <ev.h>

#include "shared/buf.h"

struct fake_cdp {
    struct ev_loop *loop;
    int client_fd; /* for what is tested; it closes it */
    int fd;        /* -1: closed */
    struct buf in; /* received and not yet taken */
    ev_timer guard;
};

void fake_cdp_init(struct fake_cdp *c);
void fake_cdp_cleanup(struct fake_cdp *c);

/* Turns the loop until the condition holds; the test fails after ten seconds. */
void fake_cdp_wait_begin(struct fake_cdp *c);
void fake_cdp_wait_step(struct fake_cdp *c, const char *condition, const char *file, int line);
#define UNTIL(c, condition)                                                                                  \
    do {                                                                                                     \
        fake_cdp_wait_begin(c);                                                                              \
        while (!(condition))                                                                                 \
            fake_cdp_wait_step(c, #condition, __FILE__, __LINE__);                                           \
    } while (0)

/* Waits for the handshake and answers it; behind is sent in the same write. */
void fake_cdp_accept(struct fake_cdp *c, const char *behind);
/* Waits for the handshake and answers with text as it is. */
void fake_cdp_refuse(struct fake_cdp *c, const char *text);
void fake_cdp_send_raw(struct fake_cdp *c, const void *data, size_t len);
void fake_cdp_send(struct fake_cdp *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* one text message */
/* The next whole message, its opcode in *opcode (may be NULL); caller frees. NULL: the client has closed. */
char *fake_cdp_receive(struct fake_cdp *c, int *opcode);
void fake_cdp_hang_up(struct fake_cdp *c);

#endif
