/* guest.h: what runs in the machine: an init that speaks worker/guest/protocol.h over vsock as the real one
 * does (worker/guest/init.c), with a browser (browser.h) that can be reached once it has been told who it is.
 */
#ifndef FAKE_GUEST_H
#define FAKE_GUEST_H
#include "reader.h"
#include "text.h"

/* What the jailer left, if it did: its network. */
void guest_inherit(int tap, int listener);
int guest_tap(void); /* -1: it has none */
const unsigned char *guest_mac(void);

void guest_boot(const unsigned char *mac); /* NULL: it makes one up */
int guest_listens(void);                   /* on its vsock port */
void guest_connected(int fd);              /* there; the guest's from now on */
void guest_deafen(void);                   /* its control port hears nothing any more */
void guest_stop_clock(void);
void guest_start_clock(void);
/* The machine's clock jumps to now, as clock_realtime of a load makes it. */
void guest_set_clock_now(void);

/* Its part of a snapshot, as members of a JSON object. */
extern const struct table guest_state;
void guest_save(struct text *out);
void guest_load(const struct value *v);

#endif
