/* loop.h: the fake's event loop. What belongs to the guest (frames, vsock, its browser, its timers) stands
 * still while the machine is paused; the API goes on. */
#ifndef FAKE_LOOP_H
#define FAKE_LOOP_H

struct watch {
    int fd; /* -1: not watched */
    short events;
    int guest;
    void (*on_ready)(struct watch *w, short events); /* may remove any watch */
    void *arg;
    int slot;
};

struct alarm {
    double at_ms; /* 0: not set */
    int guest;
    void (*on_time)(struct alarm *a);
    void *arg;
    int known;
};

double loop_now_ms(void);
void loop_add(struct watch *w, int fd, short events);
void loop_remove(struct watch *w); /* does not close; may be repeated */
void loop_set(struct alarm *a, double in_ms);
void loop_clear(struct alarm *a);
void loop_freeze_guest(int frozen);
void loop_run(void) __attribute__((noreturn));

#endif
