/* links: test/support/redis_fixture.c test/support/script_stubs.c */
/* redis.c: the connection against a real Redis: coming up, commands, loss, time limits, freeing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/redis.h"
#include "shared/redis_conn.h"
#include "test/support/redis_fixture.h"

static struct redis_fixture fixture;
static struct redis *redis;
static int ups, downs;

/* What the callbacks saw, in order: "PONG", "NULL", …; joined by spaces. */
static char seen[65536];
static int seen_count;
static int calling; /* set while the test is inside a call: no callback may come then */

static void on_state(void *arg, int up)
{
    assert_ptr_equal(arg, &fixture);
    ups += up;
    downs += !up;
}

static void on_reply(void *arg, const redisReply *reply)
{
    char text[256];

    assert_int_equal(calling, 0);
    if (!reply)
        snprintf(text, sizeof(text), "NULL");
    else if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof(text), "%lld", reply->integer);
    else
        snprintf(text, sizeof(text), "%s", reply->str ? reply->str : "-");
    if (arg)
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s%s:%s", seen_count ? " " : "",
                 (char *)arg, text);
    else
        snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s%s", seen_count ? " " : "", text);
    seen_count++;
}

/* A word as a callback's argument. */
#define TAG(word) ((void *)(uintptr_t)(word))

#define CALL(tag, ...)                                                                                       \
    do {                                                                                                     \
        calling = 1;                                                                                         \
        redis_call(redis, on_reply, TAG(tag), __VA_ARGS__, NULL);                                            \
        calling = 0;                                                                                         \
    } while (0)

static void connect_to(const struct redis_address *address, int timeout_ms)
{
    ups = downs = 0;
    redis = redis_new(fixture.loop, address, "c0", "test", timeout_ms, on_state, &fixture);
    assert_int_equal(redis_is_up(redis), 0);
}

static int set_up(void **state)
{
    (void)state;
    redis = NULL;
    seen[0] = '\0';
    seen_count = 0;
    redis_fixture_init(&fixture);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_free(redis);
    redis_fixture_cleanup(&fixture);
    return 0;
}

static struct redis_address *parse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct redis_address *parse(const char *fmt, ...)
{
    char url[256], err[128];
    struct redis_address *a;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(url, sizeof(url), fmt, ap);
    va_end(ap);
    a = redis_address_parse(url, err, sizeof(err));
    assert_non_null(a);
    return a;
}

/* ---- coming up ---- */

static void answers_over_a_unix_socket(void **state)
{
    static const char *argv[] = {"ECHO", "a\0b\r\n$1"};
    static const size_t lens[] = {4, 7};

    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, ups == 1);
    assert_int_equal(redis_is_up(redis), 1);
    CALL(NULL, "PING");
    CALL(NULL, "SET", "k", "two words\r\n");
    CALL(NULL, "STRLEN", "k");
    redis_command(redis, on_reply, NULL, 2, argv, lens);
    redis_command(redis, on_reply, NULL, 1, argv, NULL);
    UNTIL(&fixture, seen_count == 5);
    assert_string_equal(seen, "PONG OK 11 a ERR wrong number of arguments for 'echo' command");
    assert_int_equal(downs, 0);
    ASK(&fixture, "1", "EXISTS k");
}

static void answers_over_tcp(void **state)
{
    struct redis_address *a;

    (void)state;
    fixture.port = redis_fixture_free_port();
    redis_fixture_run(&fixture);
    a = parse("redis://127.0.0.1:%d", fixture.port);
    connect_to(a, 5000);
    UNTIL(&fixture, ups == 1);
    CALL(NULL, "PING");
    UNTIL(&fixture, seen_count == 1);
    assert_string_equal(seen, "PONG");
    redis_free(redis);
    redis = NULL;
    redis_address_free(a);
}

static void says_password_database_and_name(void **state)
{
    struct redis_address *a;
    char extra[2][16] = {"--requirepass", "s3 cret"};

    (void)state;
    fixture.extra[0] = extra[0];
    fixture.extra[1] = extra[1];
    redis_fixture_run(&fixture);
    a = parse("unix://:s3%%20cret@%s?db=3", fixture.path);
    connect_to(a, 5000);
    UNTIL(&fixture, ups == 1);
    CALL(NULL, "SET", "k", "v");
    CALL(NULL, "MOVE", "k", "0");
    CALL(NULL, "CLIENT", "GETNAME");
    CALL(NULL, "ACL", "SETUSER", "bob", "on", ">pw", "allkeys", "+@all");
    CALL(NULL, "ACL", "SETUSER", "meek", "on", ">pw", "allkeys", "+@all", "-client", "-select");
    UNTIL(&fixture, seen_count == 5);
    assert_string_equal(seen, "OK 1 test OK OK");
    redis_free(redis);
    redis_address_free(a);

    a = parse("unix://bob:pw@%s", fixture.path);
    connect_to(a, 5000);
    UNTIL(&fixture, ups == 1);
    CALL(NULL, "ACL", "WHOAMI");
    CALL(NULL, "GET", "k");
    UNTIL(&fixture, seen_count == 7);
    assert_string_equal(seen + 16, "bob v");
    redis_free(redis);
    redis_address_free(a);

    /* A name that may not be given is no obstacle, a database that may not be chosen is one. */
    a = parse("unix://meek:pw@%s", fixture.path);
    connect_to(a, 5000);
    UNTIL(&fixture, ups == 1);
    redis_free(redis);
    redis_address_free(a);
    a = parse("unix://meek:pw@%s?db=1", fixture.path);
    connect_to(a, 5000);
    UNTIL(&fixture, redis->failures >= 2);
    redis_free(redis);
    redis_address_free(a);

    a = parse("unix://:wrong@%s", fixture.path);
    connect_to(a, 5000);
    UNTIL(&fixture, redis->failures >= 2);
    assert_int_equal(ups, 0);
    redis_free(redis);
    redis = NULL;
    redis_address_free(a);
}

static void waits_for_a_redis_that_comes_later(void **state)
{
    (void)state;
    connect_to(fixture.address, 5000);
    CALL("early", "PING");
    assert_int_equal(seen_count, 0);
    UNTIL(&fixture, seen_count == 1);
    assert_string_equal(seen, "early:NULL");
    UNTIL(&fixture, redis->failures >= 3);
    assert_int_equal(ups + downs, 0);
    redis_fixture_run(&fixture);
    UNTIL(&fixture, ups == 1);
    CALL(NULL, "PING");
    UNTIL(&fixture, seen_count == 2);
    assert_string_equal(seen, "early:NULL PONG");
}

/* ---- loss ---- */

static void tells_those_who_wait_when_redis_dies(void **state)
{
    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, ups == 1);
    CALL("a", "PING");
    CALL("b", "BLPOP", "nothing", "0");
    CALL("c", "PING");
    redis_call(redis, NULL, NULL, "PING", NULL);
    UNTIL(&fixture, seen_count == 1);
    redis_fixture_kill(&fixture);
    UNTIL(&fixture, downs == 1);
    assert_string_equal(seen, "a:PONG b:NULL c:NULL");
    assert_int_equal(redis_is_up(redis), 0);
    CALL("d", "PING");
    redis_call(redis, NULL, NULL, "PING", NULL);
    assert_int_equal(seen_count, 3);
    UNTIL(&fixture, seen_count == 4);
    assert_string_equal(seen, "a:PONG b:NULL c:NULL d:NULL");
    redis_fixture_run(&fixture);
    UNTIL(&fixture, ups == 2);
    CALL("e", "PING");
    UNTIL(&fixture, seen_count == 5);
    assert_string_equal(seen, "a:PONG b:NULL c:NULL d:NULL e:PONG");
    assert_int_equal(downs, 1);
}

static int again_left;

/* What a caller does who does not give up: asks again from the callback. */
static void on_reply_again(void *arg, const redisReply *reply)
{
    on_reply(arg, reply);
    if (!reply && again_left-- > 0)
        redis_call(redis, on_reply_again, arg, "PING", NULL);
}

static void takes_commands_inside_callbacks(void **state)
{
    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, ups == 1);
    redis_call(redis, on_reply_again, TAG("x"), "BLPOP", "nothing", "0", NULL);
    redis_call(redis, on_reply_again, TAG("y"), "PING", NULL);
    again_left = 3;
    redis_fixture_kill(&fixture);
    UNTIL(&fixture, seen_count == 5);
    assert_string_equal(seen, "x:NULL y:NULL x:NULL y:NULL x:NULL");
}

static void survives_an_overfull_socket(void **state)
{
    static char big[4 * 1024 * 1024];

    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 10000);
    UNTIL(&fixture, ups == 1);
    memset(big, 'x', sizeof(big) - 1);
    for (int i = 0; i < 4; i++)
        CALL(NULL, "SET", "k", big);
    CALL(NULL, "STRLEN", "k");
    CALL(NULL, "GETRANGE", "k", "0", "2");
    redis_call(redis, NULL, NULL, "GET", "k", NULL);
    UNTIL(&fixture, seen_count == 6);
    assert_string_equal(seen, "OK OK OK OK 4194303 xxx");
}

/* ---- time limits ---- */

static void drops_a_connection_whose_command_takes_too_long(void **state)
{
    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 150);
    UNTIL(&fixture, ups == 1);
    redis_fixture_pause(&fixture);
    CALL("a", "PING");
    CALL("b", "PING");
    UNTIL(&fixture, downs == 1);
    assert_string_equal(seen, "a:NULL b:NULL");
    redis_fixture_resume(&fixture);
    UNTIL(&fixture, ups == 2);
    CALL("c", "PING");
    UNTIL(&fixture, seen_count == 3);
    assert_string_equal(seen, "a:NULL b:NULL c:PONG");
}

static void watches_the_oldest_command(void **state)
{
    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 1000);
    UNTIL(&fixture, ups == 1);
    /* Answered in time one after another, for longer than the limit in all. */
    for (int i = 0; i < 4; i++) {
        CALL(NULL, "BLPOP", "nothing", "0.3");
        UNTIL(&fixture, seen_count == i + 1);
    }
    assert_int_equal(downs, 0);
    CALL("slow", "BLPOP", "nothing", "0");
    UNTIL(&fixture, downs == 1);
    assert_string_equal(seen, "- - - - slow:NULL");
}

static void blames_nobody_for_its_own_standstill(void **state)
{
    double until;

    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 1000);
    UNTIL(&fixture, ups == 1);
    for (int i = 0; i < 3; i++) {
        CALL(NULL, "PING");
        redis_fixture_turn(&fixture);
        for (until = clock_mono_ms() + 1100; clock_mono_ms() < until;)
            ;
        CALL(NULL, "PING"); /* the loop's clock is old by now */
        UNTIL(&fixture, seen_count == 2 * i + 2);
    }
    assert_int_equal(downs, 0);
    assert_null(strstr(seen, "NULL"));
}

static void lets_blocking_reads_wait(void **state)
{
    struct redis *other;

    (void)state;
    redis_fixture_run(&fixture);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, ups == 1);
    other = redis;
    connect_to(fixture.address, 0);
    UNTIL(&fixture, ups == 1);
    CALL("read", "BRPOPLPUSH", "from", "to", "0");
    redis_fixture_turn(&fixture); /* the read leaves before the push */
    redis_call(other, on_reply, TAG("push"), "LPUSH", "from", "word", NULL);
    UNTIL(&fixture, seen_count == 2);
    assert_non_null(strstr(seen, "push:1"));
    assert_non_null(strstr(seen, "read:word"));
    redis_free(other);
}

/* ---- a peer that is not Redis ---- */

static int listen_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Answers the greeting as Redis would, then says `then`. */
static int greet(int listener, const char *then)
{
    char text[8192], *t = text;
    int fd = -1;

    UNTIL(&fixture, (fd = accept(listener, NULL, NULL)) >= 0);
    t += sprintf(t, "+OK\r\n*1\r\n*2\r\n+library_name\r\n+%s\r\n%s", redis_script_library(), then);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static void leaves_a_peer_that_talks_nonsense(void **state)
{
    static const char *const nonsense[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+one reply too many\r\n",
        "-ERR max number of clients reached\r\n",
        "$-5\r\n",
        "*1000000000000\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"};
    int listener, fd;

    (void)state;
    listener = listen_unix(fixture.path);
    connect_to(fixture.address, 5000);
    for (int i = 0; i < (int)(sizeof(nonsense) / sizeof(nonsense[0])); i++) {
        fd = greet(listener, nonsense[i]);
        UNTIL(&fixture, downs == i + 1);
        assert_int_equal(ups, i + 1);
        close(fd);
    }
    close(listener);
}

static void writes_once_per_loop_iteration(void **state)
{
    char text[65536];
    int listener, fd;
    ssize_t n;

    (void)state;
    listener = listen_unix(fixture.path);
    connect_to(fixture.address, 5000);
    fd = greet(listener, "");
    UNTIL(&fixture, ups == 1);
    while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
        ;
    for (int i = 0; i < 3; i++)
        CALL(NULL, "PING");
    assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1);
    redis_fixture_turn(&fixture);
    n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    assert_int_equal(n, 3 * 14);
    assert_memory_equal(text, "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 28);
    /* Replies in pieces, the last one cut off. */
    assert_int_equal(write(fd, "+a\r\n+", 5), 5);
    UNTIL(&fixture, seen_count == 1);
    assert_int_equal(write(fd, "b\r\n+c", 5), 5);
    UNTIL(&fixture, seen_count == 2);
    close(fd);
    UNTIL(&fixture, downs == 1);
    assert_string_equal(seen, "a b NULL");
    close(listener);
}

/* ---- freeing ---- */

static void frees_in_any_state(void **state)
{
    int listener;

    (void)state;
    connect_to(fixture.address, 5000); /* nobody listens */
    CALL("down", "PING");
    redis_script(redis, on_reply, TAG("script"), SCRIPT_get, NULL);
    redis_free(redis);
    assert_string_equal(seen, "down:NULL script:NULL");

    listener = listen_unix(fixture.path);
    connect_to(fixture.address, 5000); /* connecting */
    redis_free(redis);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, redis->state == CONN_GREETING);
    redis_free(redis);
    close(listener);
    unlink(fixture.path);

    redis_fixture_run(&fixture);
    connect_to(fixture.address, 5000);
    UNTIL(&fixture, ups == 1);
    again_left = 1000000; /* those given from inside are dropped, else this would not end */
    redis_call(redis, on_reply_again, TAG("a"), "BLPOP", "nothing", "0", NULL);
    redis_script(redis, on_reply, TAG("b"), SCRIPT_get, NULL);
    redis_script_retry(redis, 0, on_reply, TAG("never"), SCRIPT_get, NULL);
    redis_script_retry(redis, 0, on_reply, TAG("never"), SCRIPT_get, NULL);
    redis_fixture_turn(&fixture);
    redis_free(redis);
    redis = NULL;
    assert_string_equal(seen, "down:NULL script:NULL a:NULL b:NULL");
    assert_int_equal(downs, 0);
    redis_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_over_a_unix_socket),
        TEST(answers_over_tcp),
        TEST(says_password_database_and_name),
        TEST(waits_for_a_redis_that_comes_later),
        TEST(tells_those_who_wait_when_redis_dies),
        TEST(takes_commands_inside_callbacks),
        TEST(survives_an_overfull_socket),
        TEST(drops_a_connection_whose_command_takes_too_long),
        TEST(watches_the_oldest_command),
        TEST(blames_nobody_for_its_own_standstill),
        TEST(lets_blocking_reads_wait),
        TEST(leaves_a_peer_that_talks_nonsense),
        TEST(writes_once_per_loop_iteration),
        TEST(frees_in_any_state),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
