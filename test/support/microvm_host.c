/* microvm_host.c: see microvm_host.h. */
#include "test/support/microvm_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/cdp_http.h"
#include "worker/cgroup.h"
#include "worker/driver/berth_cgroup.h"
#include "worker/driver/dial.h"
#include "worker/net_pool.h"
#include "worker/net_tap.h"

struct microvm_host microvm_host;

int net_pool_take(struct net_pool *p, int berth, const struct profile *profile,
                  void (*on_done)(void *arg, int result), void *arg, char *err, size_t errlen)
{
    (void)p, (void)berth, (void)profile, (void)on_done, (void)arg, (void)err, (void)errlen;
    return 1;
}

int net_pool_reset(struct net_pool *p, int berth)
{
    (void)p, (void)berth;
    return 0;
}

int net_pool_namespace(const struct net_pool *p, int berth)
{
    (void)p, (void)berth;
    return -1;
}

int net_pool_tap(const struct net_pool *p, int berth, const unsigned char mac[6])
{
    (void)p, (void)berth, (void)mac;
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int net_pool_socket(const struct net_pool *p, int berth, int type)
{
    (void)p, (void)berth;
    return socket(AF_UNIX, type, 0);
}

int net_tap_alone(const struct net_tap_config *c, int *net_ns, int *tap)
{
    (void)c;
    *net_ns = *tap = -1;
    if (!microvm_host.tap_error)
        return 0;
    errno = microvm_host.tap_error;
    return -1;
}

int cgroup_create(struct cgroup_tree *t, int berth, const struct cgroup_limits *limits, char *err,
                  size_t errlen)
{
    (void)t, (void)berth, (void)limits, (void)err, (void)errlen;
    return 0;
}

int cgroup_open(const struct cgroup_tree *t, int berth, int fds[CGROUP_PLACES_MAX])
{
    (void)t, (void)berth, (void)fds;
    return 0;
}

int cgroup_remove(struct cgroup_tree *t, int berth)
{
    (void)t, (void)berth;
    if (microvm_host.busy_cgroups > 0) {
        microvm_host.busy_cgroups--;
        errno = EBUSY;
        return -1;
    }
    return 0;
}

void cgroup_kill(struct cgroup_tree *t, int berth)
{
    (void)t, (void)berth;
}

int cgroup_set_active(struct cgroup_tree *t, int berth, int active)
{
    (void)t, (void)berth, (void)active;
    return 0;
}

int cgroup_usage(const struct cgroup_tree *t, int berth, struct cgroup_usage *out)
{
    (void)t, (void)berth, (void)out;
    return 0;
}

long cgroup_oom_kills(const struct cgroup_tree *t, int berth)
{
    (void)t, (void)berth;
    return 0;
}

void berth_cgroup_end(struct cgroup_tree *t, int berth)
{
    (void)t, (void)berth;
}

int dial(int fd, struct in_addr address, int port)
{
    (void)address, (void)port;
    return fd;
}

struct cdp_http *
cdp_http_start(struct ev_loop *loop, int fd, struct buf *request, int limit_ms,
               void (*on_done)(void *arg, const struct cdp_http_reply *reply, const char *why), void *arg)
{
    (void)loop, (void)request, (void)limit_ms, (void)on_done, (void)arg;
    close(fd);
    return NULL;
}

void cdp_http_cancel(struct cdp_http *h)
{
    (void)h;
}
