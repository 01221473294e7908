/* vsock.h: the host's side of the virtio-vsock device: a Unix socket where "CONNECT PORT\n" leads to a port
 * of the guest's. */
#ifndef FAKE_VSOCK_H
#define FAKE_VSOCK_H

int vsock_listen(const char *path); /* binds; 0, or -1 with errno */
void vsock_serve(void);             /* takes connections from now on: the machine runs */
void vsock_deafen(void);            /* nothing of the host's gets to the guest any more */

#endif
