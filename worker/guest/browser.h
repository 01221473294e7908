/* browser.h: the guest's browser: started once, as an ordinary user, with its own sandbox. */
#ifndef BERTH_GUEST_BROWSER_H
#define BERTH_GUEST_BROWSER_H
#include <sys/types.h>

#include "cdp.h"

struct browser {
    pid_t pid;
    int output; /* read end of its standard error */
    char path[CDP_PATH_MAX];
};

/* more: further flags, NULL-terminated. 0, or -1 with errno. */
int browser_start(struct browser *b, char *const *more) __attribute__((warn_unused_result));
/* Waits until it says where its DevTools are, what else it says goes to the console. 0, or -1 with why. */
int browser_wait(struct browser *b, int limit_ms, char *why, unsigned long size)
    __attribute__((warn_unused_result));
/* Reads what it has said and passes it on to the console. -1: it has closed it. */
int browser_output(struct browser *b);

#endif
