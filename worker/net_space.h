/* net_space.h: named network namespaces (/run/netns/<name>, as `ip netns` shows them) and the pairs of
 * interfaces between them and the host, all made and removed by system calls and netlink: no program runs. */
#ifndef BERTH_NET_SPACE_H
#define BERTH_NET_SPACE_H
#include "../shared/errors.h"

#define NET_SPACE_DIR "/run/netns"

/* All: 0, or -1 with errno, unless they say otherwise. */

/* Makes it (holder 0), or names the one that this process is in. The calling thread stays where it is. A
 * descriptor of it, close-on-exec, or -1 with errno; the name stays until net_space_remove. */
int net_space_make(const char *name, int holder) MUST_USE;
/* Takes the name away. The namespace goes when nothing else is in it or holds it. */
int net_space_remove(const char *name);
/* The calling thread goes into a namespace and back; home is a descriptor of its own one. */
int net_space_enter(int space) MUST_USE;
void net_space_leave(int home); /* does not return on failure: all that follows would happen inside */

/* A pair of interfaces: ifname here, peer in that namespace. */
int net_space_link(const char *ifname, const char *peer, int space) MUST_USE;
/* Removes an interface of the calling thread's namespace, and its peer with it. */
int net_space_unlink(const char *ifname);
#endif
