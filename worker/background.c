/* background.c: see background.h. */
#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "../shared/mem.h"

struct background {
    struct ev_loop *loop;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
    ev_async ended;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct background *b = arg;

    b->work(b->arg);
    ev_async_send(b->loop, &b->ended);
    return NULL;
}

void background_finish(struct background *b)
{
    pthread_join(b->thread, NULL);
    ev_async_stop(b->loop, &b->ended);
    free(b);
}

static void on_ended(struct ev_loop *loop, ev_async *w, int revents)
{
    struct background *b = w->data;
    void (*done)(void *arg) = b->done;
    void *arg = b->arg;

    (void)loop;
    (void)revents;
    background_finish(b);
    done(arg);
}

struct background *background_start(struct ev_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
                                    void *arg)
{
    struct background *b = mem_alloc(sizeof(*b));
    sigset_t all, before;
    int error;

    b->loop = loop;
    b->work = work;
    b->done = done;
    b->arg = arg;
    ev_async_init(&b->ended, on_ended);
    b->ended.data = b;
    ev_async_start(loop, &b->ended);
    sigfillset(&all); /* the loop's thread gets the signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&b->thread, NULL, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return b;
    ev_async_stop(loop, &b->ended);
    free(b);
    errno = error;
    return NULL;
}
