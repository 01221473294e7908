/* net_fixture.h: berths' networks made by the real kernel, what a session may do in them and what there then
 * is. One pool for the tests of a file, which have to be root; a server of the host listens for its berths.
 */
#ifndef BERTH_TEST_NET_FIXTURE_H
#define BERTH_TEST_NET_FIXTURE_H
#include <netinet/in.h>
#include <stdint.h>

#include "shared/settings.h"
#include "worker/net_pool.h"
#include "worker/net_tap.h"
#include "worker/profile.h"

#define FIXTURE_BERTHS      2
#define FIXTURE_CONNECTIONS 5 /* that a berth may have */
#define FIXTURE_CDP_PORT    9222

extern struct net_fixture {
    char worker_id[32], table[96], pattern[16], isolation[200];
    struct settings settings;
    struct profile profile; /* with the policy that berths begin with: the host and no more */
    struct net_pool *pool;
    const int *holders;               /* of the next pool that is opened */
    const struct net_tap_config *tap; /* of the next pool */
    int lock, home, server;
    in_port_t server_port; /* network byte order */
} fixture;

/* What a namespace has, in numbers. */
struct net_state {
    int links, addresses, routes, rules, neighbours, sockets, connections;
};

/* Around all tests of a file. The latter fails if anything of the worker is left on the host. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
/* 1 if the tests cannot be run by this user, which has then been said. */
int fixture_skips(const char *name);

/* A pool of another worker's; NULL with what is wrong printed. */
struct net_pool *fixture_open(const char *id);
/* The calling thread goes into a berth's namespace, and back. */
void fixture_inside(int berth);
void fixture_outside(void);
/* Gives the berth what fixture.profile allows, at once. */
void fixture_take(int berth);

struct net_state fixture_state_of(int berth);
void fixture_assert_same(struct net_state a, struct net_state b);
/* Connections tracked here, those with a mark only (0: all). */
int fixture_connections(uint32_t mark);
/* What a program prints, to be looked through; caller frees. */
char *fixture_printed(const char *name, const char *const *args);
/* How often the host's packet filter, interfaces and names speak of this worker. */
int fixture_traces(const char *id);

/* The host's server as this berth sees it. */
struct sockaddr_in fixture_host_end(int berth);
/* A connection from inside to the host's server: both ends, or -1 with what the kernel said. */
int fixture_connect(int berth, const struct sockaddr_in *to, int *accepted);
/* Leaves in a berth's network what somebody who got hold of it could leave there. */
void fixture_spoil(int berth);

#endif
