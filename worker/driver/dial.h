/* dial.h: connecting to a berth's CDP port. */
#ifndef BERTH_DIAL_H
#define BERTH_DIAL_H
#include <netinet/in.h>

#include "../../shared/errors.h"

/* fd: a non-blocking socket in the berth's network, or -1 with errno. It, connected or connecting; or -1 with
 * errno, and it is closed. */
int dial(int fd, struct in_addr address, int port) MUST_USE;
/* 127.0.0.1 there. */
int dial_loopback(int fd, int port) MUST_USE;

#endif
