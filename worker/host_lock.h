/* host_lock.h: a name that one process of this host (of this network namespace) holds at a time. The kernel
 * gives it back when the holder dies; there is no file to go stale. */
#ifndef BERTH_HOST_LOCK_H
#define BERTH_HOST_LOCK_H

/* A descriptor that holds the name until it is closed; -1 with errno, EADDRINUSE if another process has it.
 * wait_ms: how long to wait for it (blocking; for opening and closing only). */
int host_lock_take(const char *name, int wait_ms);
/* The lock of a worker's id, which says to all others that it lives: one driver of it holds this as long as
 * it is open. -1 with a sentence in err. */
int host_lock_take_worker(const char *worker_id, char *err, unsigned errlen);

#endif
