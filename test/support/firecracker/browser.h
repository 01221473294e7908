/* browser.h: the guest's browser, as far as a worker and a bare CDP client need one: /json/version and a
 * WebSocket that answers a few methods. `Fake.guest` tells who the guest is; `Browser.crash` ends the
 * browser. */
#ifndef FAKE_BROWSER_H
#define FAKE_BROWSER_H
#include <netinet/in.h>

#include "text.h"

void browser_init(const char *id);                        /* of its WebSocket's path */
int browser_open(int listener, struct in_addr only_from); /* 0, or -1 with errno */
void browser_close(void);                                 /* and all connections */

/* guest.c's */
void guest_tell(struct text *out);
long long guest_clock_ms(void);
void guest_browser_died(void);

#endif
