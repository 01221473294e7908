/* vmm_firecracker_wait.c: the wait for a new monitor's API; see vmm_firecracker.h. Nothing is polled for: the
 * socket in the jail is announced by inotify, of which all who wait share one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "vmm_firecracker.h"

#define LISTEN_S 0.002 /* between the socket's making and its listening */

void fc_wait_end(struct fc_wait *w)
{
    struct vmm_host *h = w->host;

    if (w->watch < 0)
        return;
    for (struct fc_wait **at = &h->waiting; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    if (!h->waiting)
        ev_io_stop(h->loop, &h->told);
    inotify_rm_watch(h->inotify, w->watch);
    w->watch = -1;
    ev_timer_stop(h->loop, &w->listens);
}

static void look(struct fc_wait *w)
{
    char why[120];
    int found = fc_jail_find(w->jail, FC_API_SOCKET), fd, error;
    pid_t pid;

    if (found < 0)
        return; /* something else was made there */
    fd = fc_jail_connect(found, w->uid, &pid);
    error = errno;
    if (fd >= 0) {
        close(fd);
        fc_wait_end(w);
        w->on_end(w->arg, found, pid, NULL);
        return;
    }
    close(found);
    if (error == ECONNREFUSED) {
        ev_timer_set(&w->listens, LISTEN_S, 0);
        ev_timer_start(w->host->loop, &w->listens);
        return;
    }
    fc_wait_end(w);
    snprintf(why, sizeof(why), "its API cannot be reached: %s", strerror(error));
    w->on_end(w->arg, -1, -1, why);
}

static void on_listens(struct ev_loop *loop, ev_timer *t, int revents)
{
    (void)loop;
    (void)revents;
    look(t->data);
}

/* Something was made in a jail's run folder. A lost event (IN_Q_OVERFLOW) says nothing of which: all look. */
static void on_told(struct ev_loop *loop, ev_io *io, int revents)
{
    struct vmm_host *h = io->data;
    char events[4096] __attribute__((aligned(8)));
    struct fc_wait *w, *next;

    (void)loop;
    (void)revents;
    while (read(h->inotify, events, sizeof(events)) > 0)
        ;
    for (w = h->waiting; w; w = next) {
        next = w->next;
        if (!ev_is_active(&w->listens))
            look(w);
    }
}

int fc_wait_begin(struct fc_wait *w, struct vmm_host *h, const struct fc_jail *jail, long uid,
                  void (*on_end)(void *arg, int api, pid_t pid, const char *error), void *arg)
{
    char path[640];

    snprintf(path, sizeof(path), "%s/root/run", jail->folder);
    w->watch = inotify_add_watch(h->inotify, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    if (w->watch < 0)
        return -1;
    w->host = h;
    w->jail = jail;
    w->uid = uid;
    w->on_end = on_end;
    w->arg = arg;
    ev_init(&w->listens, on_listens);
    w->listens.data = w;
    w->next = h->waiting;
    h->waiting = w;
    if (!ev_is_active(&h->told)) {
        ev_io_init(&h->told, on_told, h->inotify, EV_READ);
        h->told.data = h;
        ev_io_start(h->loop, &h->told);
    }
    return 0;
}
