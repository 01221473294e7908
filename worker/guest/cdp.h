/* cdp.h: as much CDP as the guest speaks with its own browser over the loopback, before anybody else may.
 * Blocking, with a limit; no JSON library: Chromium writes its answers always in the same form. */
#ifndef BERTH_GUEST_CDP_H
#define BERTH_GUEST_CDP_H

#define CDP_PORT     9222 /* on the guest's loopback */
#define CDP_PATH_MAX 128

/* 0, or -1 with what went wrong in why (size bytes). path: of the browser's WebSocket. */

/* Renders a page in the about:blank that is there and goes back, as the worker's warm-up does
 * (worker/warmup.c says why so), and asks what clients ask first. Leaves no connection. */
int cdp_warm(const char *path, char *why, unsigned long size);
/* A new page takes the place of the one that is there, in a renderer that has just been started: every
 * renderer that was there is killed before (guard.h), and that none is left and a new one runs is checked. */
int cdp_renew(const char *path, char *why, unsigned long size);
/* Whether it answers HTTP, in two halves, so that it works while the guest does something else. cdp_ask: a
 * connection with the question sent, for cdp_answered alone; -1 with errno. cdp_answered waits, and closes
 * it; -1 is an answer that did not come. */
int cdp_ask(void);
int cdp_answered(int fd, char *why, unsigned long size);

#endif
