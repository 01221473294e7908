/* load.c: offers lifecycles (create, hold, release) to an API and says how long each call took.
 *
 *   load --api 127.0.0.1:3000 --seconds 10 [--rate 500 | --lanes 64] [--connections 256] [--hold MS] …
 *
 * Open loop (--rate): lifecycles begin at times drawn beforehand (Poisson), whatever the API does. A call
 * that has to wait for a connection, or for the program, waits on the API's account: its latency counts from
 * when it should have been sent (coordinated omission). A call that was never answered counts with the time
 * it has waited until the end. Closed loop (--lanes): so many clients, each with one lifecycle at a time.
 *
 * On standard output: `begin` and `end` around the measured time, then one line of JSON (times in
 * microseconds). */
/* links: bench/histogram.c bench/http_client.c */
#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/mem.h"
#include "histogram.h"
#include "http_client.h"

#define ID_MAX       64
#define STATUS_MAX   600
#define DRAIN_US     5000000
#define ARRIVAL_SEED 88172645463325252ULL

enum call { CALL_CREATE, CALL_RELEASE };

struct lifecycle {
    struct lifecycle *next; /* waiting for a connection, or free */
    struct lifecycle *all;
    enum call call;
    int64_t intended, begun; /* of the call; of the lifecycle's create */
    int live;
    char id[ID_MAX];
    ev_timer hold;
};

struct lane { /* one connection */
    struct lane *next;
    enum call call; /* what it is for */
    struct http_client *client;
    struct lifecycle *life; /* whose call is on its way */
};

static struct {
    struct sockaddr_in api;
    double rate, seconds, warmup, hold_ms;
    int lanes, connections;
    const char *path, *body;
    int projects;
} opt = {.seconds = 10, .warmup = 1, .connections = 256, .path = "/v1/sessions", .body = "{}"};

static struct ev_loop *loop;
/* Creates may all wait for a berth: releases have connections of their own, or nothing would ever become
 * free. */
static struct lane *idle[2];
static struct lifecycle *waiting[2], **waiting_end[2] = {&waiting[0], &waiting[1]}, *spare, *all;
static int64_t started, measured_from, measured_to, next_arrival;
static uint64_t arrival_state = ARRIVAL_SEED;
static int arrivals_fd = -1, arrivals_over, ended;
static long live, waiting_now, waiting_most;
static uint64_t statuses[2][STATUS_MAX], lifecycles, offered, failures, unanswered, queued;
static struct histogram latency[2], lateness;

static void step(struct lifecycle *l);

/* ---- arrivals ---- */

static double draw(void)
{
    arrival_state ^= arrival_state << 13;
    arrival_state ^= arrival_state >> 7;
    arrival_state ^= arrival_state << 17;
    return (double)(arrival_state >> 11) / 9007199254740992.0;
}

static int is_measured(int64_t intended)
{
    return intended >= measured_from && intended < measured_to;
}

static void arm_arrivals(void)
{
    struct itimerspec at = {.it_value = {next_arrival / 1000000, next_arrival % 1000000 * 1000}};

    (void)timerfd_settime(arrivals_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void on_hold_timer(struct ev_loop *l, ev_timer *w, int revents)
{
    struct lifecycle *life = w->data;

    (void)l;
    (void)revents;
    step(life);
}

static struct lifecycle *lifecycle_new(int64_t intended)
{
    struct lifecycle *l = spare;

    if (l) {
        spare = l->next;
    } else {
        l = mem_alloc(sizeof(*l));
        ev_init(&l->hold, on_hold_timer);
        l->hold.data = l;
        l->all = all;
        all = l;
    }
    l->next = NULL;
    l->call = CALL_CREATE;
    l->intended = l->begun = intended;
    l->live = 1;
    live++;
    offered += (uint64_t)is_measured(intended);
    return l;
}

static void on_arrivals(struct ev_loop *l, ev_io *w, int revents)
{
    uint64_t expirations;
    int64_t now = clock_mono_us();

    (void)l;
    (void)revents;
    if (read(arrivals_fd, &expirations, sizeof(expirations)) < 0)
        return;
    while (next_arrival <= now && next_arrival < measured_to) {
        step(lifecycle_new(next_arrival));
        next_arrival += (int64_t)(-log(1 - draw()) * 1e6 / opt.rate);
    }
    if (next_arrival >= measured_to) {
        arrivals_over = 1;
        ev_io_stop(loop, w);
        if (live == 0 && now >= measured_to)
            ev_break(loop, EVBREAK_ALL);
    } else {
        arm_arrivals();
    }
}

/* ---- lifecycles ---- */

static void send_call(struct lane *lane, struct lifecycle *l)
{
    char path[256];

    lane->life = l;
    if (is_measured(l->intended))
        histogram_add(&lateness, clock_mono_us() - l->intended);
    if (l->call == CALL_CREATE) {
        if (opt.projects > 1) {
            char body[256];

            snprintf(body, sizeof(body), "{\"projectId\":\"p%d\"}", (int)(draw() * opt.projects));
            http_client_send(lane->client, "POST", opt.path, body);
        } else {
            http_client_send(lane->client, "POST", opt.path, opt.body);
        }
        return;
    }
    snprintf(path, sizeof(path), "/v1/sessions/%s", l->id);
    http_client_send(lane->client, "DELETE", path, NULL);
}

/* The lifecycle's next call, on an idle connection or in the line. */
static void step(struct lifecycle *l)
{
    struct lane *lane = idle[l->call];

    if (ended)
        return;
    if (lane) {
        idle[l->call] = lane->next;
        send_call(lane, l);
        return;
    }
    l->next = NULL;
    *waiting_end[l->call] = l;
    waiting_end[l->call] = &l->next;
    if (++waiting_now > waiting_most)
        waiting_most = waiting_now;
}

static void lifecycle_over(struct lifecycle *l)
{
    l->live = 0;
    l->next = spare;
    spare = l;
    live--;
    if (!opt.rate && clock_mono_us() < measured_to)
        step(lifecycle_new(clock_mono_us()));
    else if (live == 0 && (!opt.rate || arrivals_over) && clock_mono_us() >= measured_to)
        ev_break(loop, EVBREAK_ALL);
}

static void created(struct lifecycle *l, int status, const char *body)
{
    const char *id = strstr(body, "\"id\":\"");

    queued += status == 202;
    if ((status != 201 && status != 202) || !id || sscanf(id + 6, "%63[^\"]", l->id) != 1) {
        failures += (uint64_t)is_measured(l->begun);
        lifecycle_over(l);
        return;
    }
    l->call = CALL_RELEASE;
    l->intended = clock_mono_us() + (int64_t)(opt.hold_ms * 1000);
    if (opt.hold_ms > 0) {
        ev_now_update(loop);
        ev_timer_set(&l->hold, opt.hold_ms / 1000.0, 0);
        ev_timer_start(loop, &l->hold);
    } else {
        step(l);
    }
}

static void on_reply(void *arg, int status, const char *body, size_t len)
{
    struct lane *lane = arg;
    struct lifecycle *l = lane->life, *next = waiting[lane->call];
    int64_t now = clock_mono_us();

    (void)len;
    lane->life = NULL;
    if (ended)
        return;
    if (status < 0 || status >= STATUS_MAX)
        status = 0;
    if (is_measured(l->intended)) {
        histogram_add(&latency[l->call], now - l->intended);
        statuses[l->call][status]++;
    }
    /* The connection goes to who waits longest before this lifecycle asks for one. */
    if (next) {
        waiting[lane->call] = next->next;
        if (!next->next)
            waiting_end[lane->call] = &waiting[lane->call];
        waiting_now--;
        send_call(lane, next);
    } else {
        lane->next = idle[lane->call];
        idle[lane->call] = lane;
    }
    if (l->call == CALL_CREATE) {
        created(l, status, body);
        return;
    }
    if (now >= measured_from && now < measured_to && status == 204)
        lifecycles++;
    if (status != 204)
        failures += (uint64_t)is_measured(l->begun);
    lifecycle_over(l);
}

/* ---- run ---- */

static void on_begin(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l;
    (void)w;
    (void)revents;
    puts("begin");
    fflush(stdout);
}

static void on_end(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l;
    (void)w;
    (void)revents;
    puts("end");
    fflush(stdout);
    if (live == 0 && (!opt.rate || arrivals_over))
        ev_break(loop, EVBREAK_ALL);
}

static void on_drained(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(l, EVBREAK_ALL);
}

/* What was offered and never answered has waited at least until now. */
static void count_unanswered(void)
{
    int64_t now = clock_mono_us();

    ended = 1;
    for (struct lifecycle *l = all; l; l = l->all) {
        ev_timer_stop(loop, &l->hold);
        if (!l->live || !is_measured(l->intended) || l->intended > now)
            continue;
        unanswered++;
        histogram_add(&latency[l->call], now - l->intended);
    }
}

static void add_statuses(struct buf *out, const char *name, enum call call)
{
    const char *comma = "";

    buf_addf(out, ",\"%s\":{", name);
    for (int i = 0; i < STATUS_MAX; i++) {
        if (statuses[call][i]) {
            buf_addf(out, "%s\"%d\":%llu", comma, i, (unsigned long long)statuses[call][i]);
            comma = ",";
        }
    }
    buf_adds(out, "}");
}

static void print_result(void)
{
    struct buf out = {0};

    buf_addf(&out, "{\"rate\":%.1f,\"lanes\":%d,\"connections\":%d,\"holdMs\":%.1f,\"seconds\":%.3f",
             opt.rate, opt.lanes, opt.connections, opt.hold_ms, opt.seconds);
    buf_addf(&out, ",\"offered\":%llu,\"lifecycles\":%llu,\"perSecond\":%.2f", (unsigned long long)offered,
             (unsigned long long)lifecycles, (double)lifecycles / opt.seconds);
    buf_addf(&out, ",\"failures\":%llu,\"unanswered\":%llu,\"queued\":%llu,\"waitingMost\":%ld",
             (unsigned long long)failures, (unsigned long long)unanswered, (unsigned long long)queued,
             waiting_most);
    add_statuses(&out, "createStatus", CALL_CREATE);
    add_statuses(&out, "releaseStatus", CALL_RELEASE);
    buf_adds(&out, ",\"create\":");
    histogram_add_json(&latency[CALL_CREATE], &out);
    buf_adds(&out, ",\"release\":");
    histogram_add_json(&latency[CALL_RELEASE], &out);
    buf_adds(&out, ",\"sentLate\":");
    histogram_add_json(&lateness, &out);
    buf_adds(&out, "}");
    puts(out.data);
    buf_cleanup(&out);
}

static int read_api(const char *text)
{
    char host[64];
    int port;

    opt.api.sin_family = AF_INET;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &opt.api.sin_addr) != 1)
        return -1;
    opt.api.sin_port = htons((uint16_t)port);
    return 0;
}

static int read_options(int argc, char **argv)
{
    static const struct option names[] = {{"api", 1, 0, 'a'},
                                          {"rate", 1, 0, 'r'},
                                          {"lanes", 1, 0, 'l'},
                                          {"connections", 1, 0, 'c'},
                                          {"seconds", 1, 0, 's'},
                                          {"warmup", 1, 0, 'w'},
                                          {"hold", 1, 0, 'h'},
                                          {"path", 1, 0, 'p'},
                                          {"body", 1, 0, 'b'},
                                          {"projects", 1, 0, 'P'},
                                          {0}};
    int c, got_api = 0;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'a':
            got_api = read_api(optarg) == 0;
            break;
        case 'r':
            opt.rate = atof(optarg);
            break;
        case 'l':
            opt.lanes = atoi(optarg);
            break;
        case 'c':
            opt.connections = atoi(optarg);
            break;
        case 's':
            opt.seconds = atof(optarg);
            break;
        case 'w':
            opt.warmup = atof(optarg);
            break;
        case 'h':
            opt.hold_ms = atof(optarg);
            break;
        case 'p':
            opt.path = optarg;
            break;
        case 'b':
            opt.body = optarg;
            break;
        case 'P':
            opt.projects = atoi(optarg);
            break;
        default:
            return -1;
        }
    }
    if (opt.rate <= 0)
        opt.connections = opt.lanes;
    return got_api && opt.seconds > 0 && opt.connections > 0 && (opt.rate > 0) != (opt.lanes > 0) ? 0 : -1;
}

static void start_arrivals(ev_io *io)
{
    arrivals_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ev_io_init(io, on_arrivals, arrivals_fd, EV_READ);
    ev_io_start(loop, io);
    next_arrival = started + 1;
    arm_arrivals();
}

int main(int argc, char **argv)
{
    ev_timer begin, end, drained;
    ev_io arrivals;
    struct lane *lanes;

    if (read_options(argc, argv) != 0) {
        fprintf(stderr,
                "usage: load --api HOST:PORT --rate R | --lanes N [--seconds S] [--warmup S] [--hold MS]\n"
                "            [--connections N] [--path /v1/sessions] [--body JSON] [--projects N]\n");
        return 2;
    }
    loop = ev_default_loop(EVFLAG_AUTO);
    lanes = mem_alloc((size_t)opt.connections * 2 * sizeof(*lanes));
    for (int i = 2 * opt.connections - 1; i >= 0; i--) {
        enum call call = i < opt.connections ? CALL_CREATE : CALL_RELEASE;

        lanes[i].client = http_client_new(loop, &opt.api, on_reply, &lanes[i]);
        lanes[i].call = call;
        lanes[i].next = idle[call];
        idle[call] = &lanes[i];
    }
    started = clock_mono_us();
    measured_from = started + (int64_t)(opt.warmup * 1e6);
    measured_to = measured_from + (int64_t)(opt.seconds * 1e6);
    ev_timer_init(&begin, on_begin, opt.warmup, 0);
    ev_timer_start(loop, &begin);
    ev_timer_init(&end, on_end, opt.warmup + opt.seconds, 0);
    ev_timer_start(loop, &end);
    ev_timer_init(&drained, on_drained, opt.warmup + opt.seconds + DRAIN_US / 1e6, 0);
    ev_timer_start(loop, &drained);
    if (opt.rate > 0)
        start_arrivals(&arrivals);
    else
        for (int i = 0; i < opt.lanes; i++)
            step(lifecycle_new(clock_mono_us()));
    ev_run(loop, 0);
    count_unanswered();
    print_result();
    for (int i = 0; i < 2 * opt.connections; i++)
        http_client_free(lanes[i].client);
    free(lanes);
    while (all) {
        struct lifecycle *l = all;

        all = l->all;
        free(l);
    }
    ev_loop_destroy(loop);
    return 0;
}
