/* loop.c: see loop.h. */
#include "loop.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WATCHES 128
#define ALARMS  16

static struct watch *watches[WATCHES];
static struct alarm *alarms[ALARMS];
static int frozen;

double loop_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1000.0 + (double)t.tv_nsec / 1e6;
}

void loop_add(struct watch *w, int fd, short events)
{
    w->fd = fd;
    w->events = events;
    for (int i = 0; i < WATCHES; i++)
        if (!watches[i]) {
            w->slot = i;
            watches[i] = w;
            return;
        }
    fprintf(stderr, "fake firecracker: too many descriptors\n");
    exit(1);
}

void loop_remove(struct watch *w)
{
    if (w->fd >= 0 && watches[w->slot] == w)
        watches[w->slot] = NULL;
    w->fd = -1;
}

void loop_set(struct alarm *a, double in_ms)
{
    a->at_ms = loop_now_ms() + in_ms;
    for (int i = 0; i < ALARMS && !a->known; i++)
        if (!alarms[i]) {
            alarms[i] = a;
            a->known = 1;
        }
}

void loop_clear(struct alarm *a)
{
    a->at_ms = 0;
}

void loop_freeze_guest(int f)
{
    frozen = f;
}

static int wait_ms(void)
{
    double next = -1;

    for (int i = 0; i < ALARMS; i++) {
        double left = alarms[i] && alarms[i]->at_ms > 0 && !(frozen && alarms[i]->guest)
                          ? alarms[i]->at_ms - loop_now_ms()
                          : -1;

        if (alarms[i] && alarms[i]->at_ms > 0 && !(frozen && alarms[i]->guest) && left < 0)
            left = 0;
        if (left >= 0 && (next < 0 || left < next))
            next = left;
    }
    return next < 0 ? -1 : (int)next + 1;
}

static void ring(void)
{
    double now = loop_now_ms();

    for (int i = 0; i < ALARMS; i++) {
        struct alarm *a = alarms[i];

        if (!a || a->at_ms <= 0 || a->at_ms > now || (frozen && a->guest))
            continue;
        a->at_ms = 0;
        a->on_time(a);
    }
}

void loop_run(void)
{
    struct pollfd fds[WATCHES];
    struct watch *seen[WATCHES];

    for (;;) {
        int n = 0;

        for (int i = 0; i < WATCHES; i++) {
            struct watch *w = watches[i];

            if (!w || (frozen && w->guest))
                continue;
            seen[n] = w;
            fds[n] = (struct pollfd){.fd = w->fd, .events = w->events};
            n++;
        }
        if (poll(fds, (nfds_t)n, wait_ms()) > 0)
            for (int i = 0; i < n; i++) {
                struct watch *w = NULL;

                /* Another's callback may have removed and freed it: only what is still listed is looked at.
                 */
                for (int k = 0; k < WATCHES; k++)
                    if (watches[k] == seen[i])
                        w = seen[i];
                if (w && w->fd == fds[i].fd && fds[i].revents && !(frozen && w->guest))
                    w->on_ready(w, fds[i].revents);
            }
        ring();
    }
}
