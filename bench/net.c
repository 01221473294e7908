/* net.c: what a berth's network costs: making it, taking it, emptying it between two sessions, removing it.
 * As root.
 *
 *   net [--rounds 200] [--berths 16] [--connections 32]
 *
 * Each step is timed by itself, with real namespaces, links and rules of a worker of its own; the program ip,
 * a process for each step, takes turns with it. On standard output: one line of JSON for each step and way
 * (times in microseconds). */
/* links: bench/histogram.c worker/cgroup.c worker/cgroup_find.c worker/cgroup_tree.c */
/* links: worker/cgroup_usage.c worker/child.c worker/child_exec.c worker/child_run.c */
/* links: worker/disk_limit.c worker/dns_message.c worker/dns_relay.c worker/dns_tcp.c */
/* links: worker/dns_upstream.c worker/egress.c worker/host_lock.c worker/isolation.c */
/* links: worker/net_build.c worker/net_clean.c worker/net_conntrack.c worker/net_if.c */
/* links: worker/net_pool.c worker/net_rules.c worker/net_shape.c worker/net_sockets.c */
/* links: worker/net_space.c worker/net_tap.c worker/net_wipe.c worker/netlink.c */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/settings.h"
#include "../worker/child.h"
#include "../worker/host_lock.h"
#include "../worker/net_clean.h"
#include "../worker/net_pool.h"
#include "../worker/net_space.h"
#include "../worker/profile.h"
#include "histogram.h"

static int rounds = 200, berths = 16, connections = 32;
static char worker_id[32], isolation[200], *nowhere[] = {NULL}, *host[] = {(char *)"host", NULL};
static struct settings settings = {.net_cidr = (char *)"10.211.0.0/16",
                                   .egress_allow = (char *)"host",
                                   .net_connections = 4096,
                                   .dns_queries = 128,
                                   .dns_connections = 8,
                                   .dns_timeout = 2000};

static void report_by(const char *way, const char *step, const struct histogram *h)
{
    struct buf out = {0};

    histogram_add_json(h, &out);
    printf("{\"way\":\"%s\",\"step\":\"%s\",\"us\":%s}\n", way, step, out.data);
    fflush(stdout);
    buf_cleanup(&out);
}

static void report(const char *step, const struct histogram *h)
{
    report_by("berth", step, h);
}

static void add(struct histogram *h, double began_ms)
{
    histogram_add(h, (int64_t)((clock_mono_ms() - began_ms) * 1000));
}

static void need(int ok, const char *what)
{
    if (!ok)
        log_fatal("bench_failed", "step=%s error=%s", what, strerror(errno));
}

/* ---- by themselves ---- */

enum { SPACE_MADE, PAIR_MADE, PAIR_REMOVED, SPACE_REMOVED, PARTS };

static const char *const part_names[PARTS] = {"namespace made", "pair of interfaces made",
                                              "pair of interfaces removed", "namespace removed"};
static char space_name[64], if_name[16];

static void parts_by_netlink(struct histogram h[PARTS])
{
    double began = clock_mono_ms();
    int space = net_space_make(space_name, 0);

    need(space >= 0, "make");
    add(&h[SPACE_MADE], began);
    began = clock_mono_ms();
    need(net_space_link(if_name, "eth0", space) == 0, "link");
    add(&h[PAIR_MADE], began);
    began = clock_mono_ms();
    need(net_space_unlink(if_name) == 0, "unlink");
    add(&h[PAIR_REMOVED], began);
    began = clock_mono_ms();
    close(space);
    need(net_space_remove(space_name) == 0, "remove");
    add(&h[SPACE_REMOVED], began);
}

static void run_ip(char *ip, const char *line, struct histogram *h)
{
    char words[200], *argv[16] = {ip}, *rest = words;
    struct buf output = {0};
    double began;

    snprintf(words, sizeof(words), "%s", line);
    for (int n = 1; n < 15 && (argv[n] = strtok_r(rest, " ", &rest)); n++)
        ;
    began = clock_mono_ms();
    need(child_run(argv, NULL, &output, 60000) == 0, "ip");
    add(h, began);
    buf_cleanup(&output);
}

static void parts_by_ip(char *ip, struct histogram h[PARTS])
{
    char line[200];

    snprintf(line, sizeof(line), "netns add %s", space_name);
    run_ip(ip, line, &h[SPACE_MADE]);
    snprintf(line, sizeof(line), "link add %s type veth peer name eth0 netns %s", if_name, space_name);
    run_ip(ip, line, &h[PAIR_MADE]);
    snprintf(line, sizeof(line), "link del %s", if_name);
    run_ip(ip, line, &h[PAIR_REMOVED]);
    snprintf(line, sizeof(line), "netns del %s", space_name);
    run_ip(ip, line, &h[SPACE_REMOVED]);
}

/* In turns, each first as often as the other; a process takes longer: it gets a quarter of the rounds. */
static void measure_parts(void)
{
    struct histogram *ours = mem_alloc(PARTS * sizeof(*ours)), *theirs = mem_alloc(PARTS * sizeof(*theirs));
    char ip[64];
    int found = child_find_program("ip", ip, sizeof(ip)) == 0;

    snprintf(space_name, sizeof(space_name), "berth-%s-0", worker_id);
    snprintf(if_name, sizeof(if_name), "bthb%d", (int)getpid() % 1000000);
    for (int i = 0; i < rounds; i++) {
        if (found && i % 8 == 0)
            parts_by_ip(ip, theirs);
        parts_by_netlink(ours);
        if (found && i % 8 == 4)
            parts_by_ip(ip, theirs);
    }
    for (int i = 0; i < PARTS; i++) {
        report(part_names[i], &ours[i]);
        if (found)
            report_by("ip", part_names[i], &theirs[i]);
    }
    free(ours);
    free(theirs);
}

/* ---- a pool ---- */

static void on_taken(void *arg, int result)
{
    (void)arg;
    need(result == 0, "take");
    ev_break(EV_DEFAULT, EVBREAK_ALL);
}

static void take(struct net_pool *p, int berth, const struct profile *profile, struct histogram *h)
{
    char err[300];
    double began = clock_mono_ms();
    int result = net_pool_take(p, berth, profile, on_taken, NULL, err, sizeof(err));

    if (result < 0)
        log_fatal("bench_failed", "step=take error=\"%s\"", err);
    if (result == 0)
        ev_run(EV_DEFAULT, 0);
    add(h, began);
}

/* A session's connections to a server of this host, which are left open. The far ends go to far. */
static void connect_all(struct net_pool *p, int berth, int server, const struct sockaddr_in *to, int *fds)
{
    for (int i = 0; i < connections; i++) {
        int fd = net_pool_socket(p, berth, SOCK_STREAM);

        need(fd >= 0 && fcntl(fd, F_SETFL, 0) == 0, "socket");
        need(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0, "connect");
        fds[2 * i] = fd;
        fds[2 * i + 1] = accept(server, NULL, NULL);
        need(fds[2 * i + 1] >= 0, "accept");
    }
}

static void measure_sessions(struct net_pool *p, int server, in_port_t port)
{
    struct profile plain = {.egress_allow = host}, closed = {.egress_allow = nowhere},
                   rated = {.egress_allow = host, .download_mbps = 50, .upload_mbps = 10};
    struct histogram *h = mem_alloc(6 * sizeof(*h));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port};
    int *fds = mem_alloc((size_t)connections * 2 * sizeof(*fds));

    to.sin_addr = net_pool_host(p, 0);
    for (int i = 0; i < rounds; i++) {
        double began;

        take(p, 0, &plain, &h[0]);
        began = clock_mono_ms();
        need(net_pool_reset(p, 0) == 0, "reset");
        add(&h[1], began);
        take(p, 0, &rated, &h[2]);
        need(net_pool_reset(p, 0) == 0, "reset");
        take(p, 0, &plain, &h[5]);
        connect_all(p, 0, server, &to, fds);
        began = clock_mono_ms();
        need(net_pool_reset(p, 0) == 0, "reset");
        add(&h[3], began);
        for (int k = 0; k < 2 * connections; k++)
            close(fds[k]);
        if (i % 4 == 0) {
            take(p, 0, &closed, &h[4]);
            take(p, 0, &plain, &h[4]);
        }
    }
    report("taken, as it is", &h[0]);
    report("taken, with rates", &h[2]);
    report("taken, with another egress policy", &h[4]);
    report("emptied, nothing in it", &h[1]);
    report("emptied, with connections", &h[3]);
    free(fds);
    free(h);
}

static void measure_pool(void)
{
    struct net_pool_config c = {.loop = EV_DEFAULT,
                                .worker_id = worker_id,
                                .berths = berths,
                                .settings = &settings,
                                .cdp_port = 9222,
                                .isolation = isolation,
                                .isolation_len = sizeof(isolation)};
    struct histogram *h = mem_alloc(2 * sizeof(*h));
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    need(server >= 0 && bind(server, (struct sockaddr *)&any, len) == 0 && listen(server, 128) == 0 &&
             getsockname(server, (struct sockaddr *)&any, &len) == 0,
         "server");
    for (int i = 0; i < 3; i++) {
        char err[400];
        double began = clock_mono_ms();
        struct net_pool *p = net_pool_new(&c, err, sizeof(err));

        if (!p)
            log_fatal("bench_failed", "step=open error=\"%s\"", err);
        histogram_add(&h[0], (int64_t)((clock_mono_ms() - began) * 1000 / berths));
        if (i == 0)
            measure_sessions(p, server, any.sin_port);
        began = clock_mono_ms();
        net_pool_free(p);
        histogram_add(&h[1], (int64_t)((clock_mono_ms() - began) * 1000 / berths));
        isolation[0] = '\0';
    }
    close(server);
    report("pool opened, each berth", &h[0]);
    report("pool closed, each berth", &h[1]);
    free(h);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"berths", required_argument, NULL, 'b'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {0}};
    char err[200];
    int option, lock;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'r')
            rounds = atoi(optarg);
        else if (option == 'b')
            berths = atoi(optarg);
        else if (option == 'c')
            connections = atoi(optarg);
        else
            return 2;
    }
    log_init("bench-net", "error", "text");
    if (geteuid() != 0 || rounds < 1 || berths < 1 || connections < 1) {
        fputs("net: has to be root, and all numbers at least 1\n", stderr);
        return 2;
    }
    snprintf(worker_id, sizeof(worker_id), "bench-%d", (int)getpid());
    lock = host_lock_take_worker(worker_id, err, sizeof(err));
    need(lock >= 0, "lock");
    measure_parts();
    measure_pool();
    close(lock);
    return 0;
}
