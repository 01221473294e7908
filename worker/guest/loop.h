/* loop.h: the guest's event loop: epoll, one thread, no timers. Owns nothing but the epoll descriptor. */
#ifndef BERTH_GUEST_LOOP_H
#define BERTH_GUEST_LOOP_H
#include <stdint.h>

struct loop {
    int epoll;
    int pending; /* somebody has more to do although no descriptor will say so: on_idle is called again */
    void (*on_idle)(void *arg); /* after every round of events; may be NULL */
    void *arg;
};

/* Lives in the struct it serves, as long as its fd is watched. */
struct watch {
    int fd;
    void (*on_event)(struct watch *w, uint32_t events);
};

int loop_init(struct loop *l) __attribute__((warn_unused_result)); /* 0, or -1 with errno */
/* events: EPOLLIN, EPOLLET …. Closing the fd ends it, but for events of the round that is under way. */
int loop_watch(struct loop *l, struct watch *w, uint32_t events) __attribute__((warn_unused_result));
int loop_once(struct loop *l, int timeout_ms); /* one round; -1 with errno other than EINTR */
void loop_cleanup(struct loop *l);

#endif
