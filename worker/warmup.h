/* warmup.h: makes a browser that has just come up as fast as it can be before it is handed to anybody: over
 * CDP it renders one page (written into its about:blank: no navigation, no network), starts what a first goto
 * would wait for, goes back to about:blank, drops the history. Afterwards it has its one page, at
 * about:blank, as after its launch. What pages see does not change. */
#ifndef BERTH_WARMUP_H
#define BERTH_WARMUP_H
#include <ev.h>

struct warmup;

/* fd: a socket to the browser's CDP port (connected or connecting, non-blocking; the warm-up's from now on).
 * on_done is called once, never from inside this call, with 0, or -1 and why; the warm-up frees itself after
 * it. limit_ms: gives up after this. */
struct warmup *warmup_start(struct ev_loop *loop, int fd, const char *ws_path, int limit_ms,
                            void (*on_done)(void *arg, int result, const char *why), void *arg);
void warmup_cancel(struct warmup *w); /* no on_done */

#endif
