/* net.h: the guest's network. A guest of this fake has no kernel, so it borrows one: a network namespace of
 * its own with a tap as its eth0, between which and the berth's tap frames are carried as a virtio card
 * would. The berth's side sees what it sees of a real guest: ARP, TCP, the guest's hardware address, silence
 * while it is paused. The jailer makes the namespace, as only root can, and leaves the tap and a socket bound
 * to the CDP port there to firecracker. */
#ifndef FAKE_NET_H
#define FAKE_NET_H

/* In the namespace the caller is in, which it is in again afterwards. 0, or -1 with errno. */
int net_make_guest(int *tap, int *listener);

/* Attaches to the host's tap. A descriptor, or -1 with errno and what failed: "open" or "attach". */
int net_open_tap(const char *name, const char **step);

/* The guest's card and the host's: frames go between them from now on. mac: of the guest. */
void net_plug(int host_tap, int guest_tap, const unsigned char mac[6]);
void net_set_mac(const unsigned char mac[6]);

#endif
