/* background.h: one blocking function in a thread of its own, its end told on the loop: for the disk, which
 * has no other way not to block. The function may use what it is given and nothing else of the worker, and
 * does not log. */
#ifndef BERTH_BACKGROUND_H
#define BERTH_BACKGROUND_H
#include <ev.h>

#include "../shared/errors.h"

struct background;

/* done is called once from the loop; b is freed after it. NULL with errno. */
struct background *background_start(struct ev_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                                    void *arg) MUST_USE;
/* Waits for the work's end (blocks) and frees; done is not called. */
void background_finish(struct background *b);

#endif
