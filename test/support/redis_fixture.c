/* redis_fixture.c: see redis_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redis_fixture.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/redis.h"

#define WAIT_MS 90000
#define POLL_MS 2

static void print_log(const struct redis_fixture *f)
{
    char line[512];
    FILE *log;

    snprintf(line, sizeof(line), "%s/log", f->dir);
    log = fopen(line, "r");
    while (log && fgets(line, sizeof(line), log))
        fprintf(stderr, "redis: %s", line);
    if (log)
        fclose(log);
}

void redis_fixture_init(struct redis_fixture *f)
{
    const char *tmp = getenv("TMPDIR");
    char err[128];

    memset(f, 0, sizeof(*f));
    if (!tmp || strlen(tmp) > 40) /* a socket's path is short */
        tmp = P_tmpdir;
    snprintf(f->dir, sizeof(f->dir), "%s/berth-test-XXXXXX", tmp);
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/redis.sock", f->dir);
    snprintf(f->url, sizeof(f->url), "unix://%s", f->path);
    f->address = redis_address_parse(f->url, err, sizeof(err));
    assert_non_null(f->address);
    f->loop = ev_loop_new(EVFLAG_AUTO);
    assert_non_null(f->loop);
}

static void exec_redis(const struct redis_fixture *f)
{
    char log[96], port[16];
    const char *argv[40];
    int argc = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(log, sizeof(log), "%s/log", f->dir);
    snprintf(port, sizeof(port), "%d", f->port);
    const char *const base[] = {
        "redis-server", "--port",    port, "--bind", "127.0.0.1", "--unixsocket", f->path, "--dir",
        f->dir,         "--logfile", log,  "--save", "",          "--appendonly", "yes",   "--appendfsync",
        "always"};
    for (size_t i = 0; i < sizeof(base) / sizeof(base[0]); i++)
        argv[argc++] = base[i];
    for (int i = 0; f->extra[i]; i++)
        argv[argc++] = f->extra[i];
    argv[argc] = NULL;
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

/* 1 once it answers, whatever it says: NOAUTH is an answer too, LOADING is not. */
static int answers(const struct redis_fixture *f)
{
    redisContext *c = redisConnectUnix(f->path);
    redisReply *reply = c && !c->err ? redisCommand(c, "PING") : NULL;
    int yes = reply && strncmp(reply->str, "LOADING", 7) != 0;

    if (reply)
        freeReplyObject(reply);
    if (c)
        redisFree(c);
    return yes;
}

void redis_fixture_run(struct redis_fixture *f)
{
    double end = clock_mono_ms() + WAIT_MS;

    assert_int_equal(f->pid, 0);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0)
        exec_redis(f);
    while (!answers(f)) {
        if (waitpid(f->pid, NULL, WNOHANG) != 0 || clock_mono_ms() > end) {
            print_log(f);
            fail_msg("redis-server did not start");
        }
        poll(NULL, 0, POLL_MS);
    }
}

static void reap(struct redis_fixture *f)
{
    double end = clock_mono_ms() + WAIT_MS;

    while (waitpid(f->pid, NULL, WNOHANG) == 0) {
        if (clock_mono_ms() > end)
            kill(f->pid, SIGKILL);
        poll(NULL, 0, POLL_MS);
    }
    f->pid = 0;
}

void redis_fixture_stop(struct redis_fixture *f)
{
    if (f->pid <= 0)
        return;
    kill(f->pid, SIGCONT);
    kill(f->pid, SIGTERM);
    reap(f);
}

void redis_fixture_kill(struct redis_fixture *f)
{
    assert_true(f->pid > 0);
    kill(f->pid, SIGKILL);
    reap(f);
}

void redis_fixture_pause(struct redis_fixture *f)
{
    int status;

    assert_true(f->pid > 0);
    kill(f->pid, SIGSTOP);
    assert_int_equal(waitpid(f->pid, &status, WUNTRACED), f->pid);
    assert_true(WIFSTOPPED(status));
}

void redis_fixture_resume(struct redis_fixture *f)
{
    assert_true(f->pid > 0);
    kill(f->pid, SIGCONT);
}

int redis_fixture_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void add_text(struct buf *out, const redisReply *r)
{
    if (r->type == REDIS_REPLY_INTEGER)
        buf_addf(out, "%lld", r->integer);
    else if (r->type == REDIS_REPLY_ARRAY)
        for (size_t i = 0; i < r->elements; i++) {
            if (i)
                buf_adds(out, " ");
            add_text(out, r->element[i]);
        }
    else if (r->type != REDIS_REPLY_NIL)
        buf_add(out, r->str, r->len);
}

char *redis_fixture_ask(struct redis_fixture *f, const char *fmt, ...)
{
    redisContext *c = redisConnectUnix(f->path);
    struct buf out = {0};
    redisReply *reply;
    va_list ap;

    assert_true(c && !c->err);
    va_start(ap, fmt);
    reply = redisvCommand(c, fmt, ap);
    va_end(ap);
    assert_non_null(reply);
    buf_adds(&out, "");
    add_text(&out, reply);
    freeReplyObject(reply);
    redisFree(c);
    return buf_take(&out);
}

static void on_guard_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w;
    (void)events;
    ev_break(loop, EVBREAK_ONE);
}

void redis_fixture_wait_begin(struct redis_fixture *f)
{
    ev_now_update(f->loop);
    ev_timer_stop(f->loop, &f->guard);
    ev_timer_init(&f->guard, on_guard_timer, WAIT_MS / 1000.0, 0.);
    ev_timer_start(f->loop, &f->guard);
}

void redis_fixture_wait_step(struct redis_fixture *f, const char *condition, const char *file, int line)
{
    ev_run(f->loop, EVRUN_ONCE);
    if (ev_is_active(&f->guard))
        return;
    print_log(f);
    fail_msg("%s:%d: waited in vain for %s", file, line, condition);
}

void redis_fixture_turn(struct redis_fixture *f)
{
    ev_run(f->loop, EVRUN_NOWAIT);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void redis_fixture_cleanup(struct redis_fixture *f)
{
    redis_fixture_stop(f);
    redis_address_free(f->address);
    ev_timer_stop(f->loop, &f->guard);
    ev_loop_destroy(f->loop);
    nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
