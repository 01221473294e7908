/* loop.c: see loop.h. */
#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 64

int loop_init(struct loop *l)
{
    l->pending = 0;
    l->on_idle = NULL;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll < 0 ? -1 : 0;
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = w};

    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->fd, &event);
}

int loop_once(struct loop *l, int timeout_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(l->epoll, events, EVENTS_MAX, l->pending ? 0 : timeout_ms);

    if (n < 0)
        return errno == EINTR ? 0 : -1;
    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;
        w->on_event(w, events[i].events);
    }
    l->pending = 0;
    if (l->on_idle)
        l->on_idle(l->arg);
    return 0;
}

void loop_cleanup(struct loop *l)
{
    close(l->epoll);
}
