/* floor.c: the same scripts with the same data that the API and a worker call for a lifecycle, by one program
 * that does nothing else: what Redis itself allows. It plays workers that answer at once.
 *
 *   floor --redis unix:///path --seconds 5 [--lanes 64] [--workers 8] [--berths 64] [--cell floor]
 * [--projects N] floor --redis … --queue 10000      lifecycles of sessions that wait their turn behind so
 * many others floor --redis … --seed 100000      puts so many running sessions there and ends (the workers'
 * leases last a day)
 *
 * A lifecycle: admit (a warm berth) · release · freed · reserve · offer, and the worker's XREADGROUP, XACK
 * and XDEL for every batch of jobs. With --queue: admit (to the queue's end) · release of a running one ·
 * freed, which serves the queue's head in its berth · the job is read · ready. So many lanes do that side by
 * side on one connection; all commands of one turn of the loop leave in one write.
 *
 * On standard output: `begin` and `end` around the measured time, then one line of JSON (times in
 * microseconds). */
/* links: bench/histogram.c bench/floor_prepare.c */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "floor_prepare.h"
#include "histogram.h"

#define JOBS_BATCH 32
#define MEASURED   6

enum part { PART_ADMIT, PART_RELEASE, PART_FREED, PART_RESERVE, PART_OFFER, PART_READY };

static const char *const part_names[MEASURED] = {"admit", "release", "freed", "reserve", "offer", "ready"};

static struct floor_options opt = {.cell = "floor",
                                   .profile = "default",
                                   .prefix = "f",
                                   .seconds = 5,
                                   .warmup = 1,
                                   .lanes = 64,
                                   .workers = 8,
                                   .berths = 64,
                                   .projects = 1};

static struct ev_loop *loop;
static struct redis *redis;
static struct host *hosts;
static struct lane *lanes;
static int64_t measured_from, measured_to;
static uint64_t lifecycles;
static struct histogram latency[MEASURED], whole;

static void start_lane(struct lane *l);

/* ---- replies ---- */

static void need_ok(const char *what, const redisReply *reply)
{
    enum err code = redis_code(reply);

    if (code == ERR_ok)
        return;
    fprintf(stderr, "floor: %s answered %s\n", what, err_name(code));
    exit(1);
}

static void done(struct lane *l, enum part part, const redisReply *reply)
{
    int64_t now = clock_mono_us();

    need_ok(part_names[part], reply);
    if (now >= measured_from && now < measured_to)
        histogram_add(&latency[part], now - l->sent);
    l->sent = now;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static void lane_over(struct lane *l)
{
    int64_t now = clock_mono_us();

    if (now >= measured_from && now < measured_to) {
        lifecycles++;
        histogram_add(&whole, now - l->begun);
    }
    start_lane(l);
}

/* ---- jobs, as worker/jobs.c reads them ---- */

static void on_jobs_reply(void *arg, const redisReply *reply)
{
    struct host *h = arg;
    const redisReply *stream = redis_array(reply, 0), *entries = stream ? redis_array(stream, 1) : NULL;
    const char *argv[3 + 64];
    char key[KEYS_MAX];
    int n = 0;

    if (!entries)
        return;
    keys_jobs(key, opt.cell, h->id);
    for (size_t i = 0; i < entries->elements && n < 64; i++)
        argv[3 + n++] = redis_str(entries->element[i], 0);
    argv[0] = "XACK";
    argv[1] = key;
    argv[2] = "worker";
    redis_command(redis, NULL, NULL, 3 + n, argv, NULL);
    argv[1] = "XDEL";
    argv[2] = key;
    redis_command(redis, NULL, NULL, 2 + n, argv + 1, NULL);
}

static void read_jobs(struct host *h, redis_reply_cb *cb, void *arg)
{
    char key[KEYS_MAX];

    keys_jobs(key, opt.cell, h->id);
    h->jobs = 0;
    redis_call(redis, cb, arg, "XREADGROUP", "GROUP", "worker", h->epoch, "COUNT", "64", "STREAMS", key, ">",
               NULL);
}

static void more_jobs(struct host *h, int n)
{
    h->jobs += n;
    if (h->jobs >= JOBS_BATCH)
        read_jobs(h, on_jobs_reply, h);
}

/* ---- a lifecycle on a warm berth ---- */

static void on_offered(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_OFFER, reply);
    lane_over(l);
}

static void on_reserved(void *arg, const redisReply *reply)
{
    struct lane *l = arg;
    char secret[64];

    done(l, PART_RESERVE, reply);
    snprintf(l->berth, sizeof(l->berth), "%lld", redis_int(reply, 1, -1));
    snprintf(l->turn, sizeof(l->turn), "%lld", redis_int(reply, 2, -1));
    floor_secret(l->berth, secret);
    redis_script(redis, on_offered, l, SCRIPT_offer, l->host->id, l->host->epoch, l->berth, l->turn,
                 opt.profile, secret, FLOOR_TIMINGS, "spread", NULL);
}

static void on_freed(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_FREED, reply);
    redis_script(redis, on_reserved, l, SCRIPT_reserve, l->host->id, l->host->epoch, opt.profile, NULL);
}

static void on_released(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_RELEASE, reply);
    more_jobs(l->host, 2); /* claim and stop */
    redis_script(redis, on_freed, l, SCRIPT_freed, l->host->id, l->host->epoch, l->berth, l->turn, "spread",
                 NULL);
}

static void send_release(struct lane *l, redis_reply_cb *cb)
{
    redis_script(redis, cb, l, SCRIPT_release, l->session, "", "released", "", "", NULL);
}

static void on_admitted(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_ADMIT, reply);
    floor_take_place(&opt, hosts, l, redis_array(reply, 3));
    send_release(l, on_released);
}

static void send_admit(struct lane *l, redis_reply_cb *cb)
{
    const char *argv[FLOOR_ADMIT_ARGS];
    struct floor_admit admit;

    floor_admit(&opt, &admit, argv);
    copy(l->session, sizeof(l->session), admit.session);
    redis_script_argv(redis, cb, l, SCRIPT_admit, FLOOR_ADMIT_ARGS, argv, NULL);
}

/* ---- a lifecycle behind a queue ---- */

static void on_queue_ready(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_READY, reply);
    lane_over(l);
}

/* The start job names the session that was the queue's head, and its berth and turn. */
static void on_queue_jobs(void *arg, const redisReply *reply)
{
    struct lane *l = arg;
    const redisReply *stream = redis_array(reply, 0), *entries = stream ? redis_array(stream, 1) : NULL;
    char secret[64];

    on_jobs_reply(l->host, reply);
    for (size_t i = 0; entries && i < entries->elements; i++) {
        const redisReply *fields = redis_array(entries->element[i], 1);
        const char *kind = fields ? redis_field(fields, "kind") : NULL;

        if (!kind || strcmp(kind, "start") != 0)
            continue;
        copy(l->session, sizeof(l->session), redis_field(fields, "session"));
        copy(l->berth, sizeof(l->berth), redis_field(fields, "berth"));
        copy(l->turn, sizeof(l->turn), redis_field(fields, "turn"));
    }
    floor_secret(l->berth, secret);
    l->sent = clock_mono_us();
    redis_script(redis, on_queue_ready, l, SCRIPT_ready, l->host->id, l->host->epoch, l->berth, l->turn,
                 l->session, secret, FLOOR_TIMINGS, NULL);
}

static void on_queue_freed(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_FREED, reply);
    read_jobs(l->host, on_queue_jobs, l);
}

static void on_queue_released(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_RELEASE, reply);
    redis_script(redis, on_queue_freed, l, SCRIPT_freed, l->host->id, l->host->epoch, l->berth, l->turn,
                 "spread", NULL);
}

static void on_queue_admitted(void *arg, const redisReply *reply)
{
    struct lane *l = arg;

    done(l, PART_ADMIT, reply);
    send_release(l, on_queue_released);
}

/* One more at the queue's end; l's own session is the one that runs on its worker (one berth each). */
static void start_queue_lane(struct lane *l)
{
    char running[KEYS_SESSION_MAX];

    copy(running, sizeof(running), l->session);
    send_admit(l, on_queue_admitted);
    copy(l->session, sizeof(l->session), running);
}

/* ---- run ---- */

static void start_lane(struct lane *l)
{
    if (clock_mono_us() >= measured_to) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    l->begun = l->sent = clock_mono_us();
    if (opt.queue)
        start_queue_lane(l);
    else
        send_admit(l, on_admitted);
}

static void on_begin(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l;
    (void)w;
    (void)revents;
    puts("begin");
    fflush(stdout);
}

static void on_redis_state(void *arg, int up)
{
    static ev_timer begin;
    int64_t now = clock_mono_us();

    (void)arg;
    if (!up || measured_from) {
        fprintf(stderr, "floor: Redis is gone\n");
        exit(1);
    }
    measured_from = now + (int64_t)(opt.warmup * 1e6);
    measured_to = measured_from + (int64_t)(opt.seconds * 1e6);
    ev_now_update(loop);
    ev_timer_init(&begin, on_begin, opt.warmup, 0);
    ev_timer_start(loop, &begin);
    for (int i = 0; i < opt.lanes; i++)
        start_lane(&lanes[i]);
}

static void print_result(void)
{
    struct buf out = {0};

    buf_addf(&out, "{\"lanes\":%d,\"workers\":%d,\"berths\":%d,\"queue\":%ld,\"seconds\":%.3f", opt.lanes,
             opt.workers, opt.berths, opt.queue, opt.seconds);
    buf_addf(&out, ",\"lifecycles\":%llu,\"perSecond\":%.2f,\"lifecycle\":", (unsigned long long)lifecycles,
             (double)lifecycles / opt.seconds);
    histogram_add_json(&whole, &out);
    for (int i = 0; i < MEASURED; i++) {
        if (latency[i].total == 0)
            continue;
        buf_addf(&out, ",\"%s\":", part_names[i]);
        histogram_add_json(&latency[i], &out);
    }
    buf_adds(&out, "}");
    puts("end");
    puts(out.data);
    buf_cleanup(&out);
}

static void run(void)
{
    char err[256] = "";
    struct redis_address *address = redis_address_parse(opt.redis, err, sizeof(err));

    loop = ev_default_loop(EVFLAG_AUTO);
    redis = redis_new(loop, address, opt.cell, "floor", 0, on_redis_state, NULL);
    ev_run(loop, 0);
    print_result();
    fflush(stdout);
    _exit(0); /* calls are still on their way: their callbacks would go on */
}

static int read_options(int argc, char **argv)
{
    static const struct option names[] = {{"redis", 1, 0, 'r'},      {"cell", 1, 0, 'c'},
                                          {"profile", 1, 0, 'f'},    {"prefix", 1, 0, 'x'},
                                          {"seconds", 1, 0, 's'},    {"warmup", 1, 0, 'u'},
                                          {"lanes", 1, 0, 'l'},      {"workers", 1, 0, 'w'},
                                          {"berths", 1, 0, 'b'},     {"queue", 1, 0, 'q'},
                                          {"projects", 1, 0, 'p'},   {"seed", 1, 0, 'S'},
                                          {"seed-queue", 1, 0, 'Q'}, {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'r':
            opt.redis = optarg;
            break;
        case 'c':
            opt.cell = optarg;
            break;
        case 'f':
            opt.profile = optarg;
            break;
        case 'x':
            opt.prefix = optarg;
            break;
        case 's':
            opt.seconds = atof(optarg);
            break;
        case 'u':
            opt.warmup = atof(optarg);
            break;
        case 'l':
            opt.lanes = atoi(optarg);
            break;
        case 'w':
            opt.workers = atoi(optarg);
            break;
        case 'b':
            opt.berths = atoi(optarg);
            break;
        case 'q':
            opt.queue = atol(optarg);
            break;
        case 'p':
            opt.projects = atoi(optarg);
            break;
        case 'S':
            opt.seed = atol(optarg);
            break;
        case 'Q':
            opt.seed_queue = atol(optarg);
            break;
        default:
            return -1;
        }
    }
    if (opt.queue) {
        opt.workers = opt.lanes;
        opt.berths = 1;
    }
    return opt.redis && opt.lanes > 0 && opt.workers > 0 && opt.berths > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (read_options(argc, argv) != 0) {
        fprintf(stderr,
                "usage: floor --redis unix:///PATH [--lanes N] [--workers N] [--berths N] [--seconds S]\n"
                "             [--queue N | --seed N [--seed-queue N]] [--projects N] [--cell NAME]\n");
        return 2;
    }
    (void)log_init("floor", "warn", "text");
    lanes = mem_alloc((size_t)opt.lanes * sizeof(*lanes));
    hosts = floor_prepare(&opt, lanes);
    if (opt.seed || opt.seed_queue)
        return 0;
    run();
}
