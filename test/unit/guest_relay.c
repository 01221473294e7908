/* guest_relay.c: the microVM's CDP relay: many connections, slow readers, half-closed ends, and quiet when
 * there is nothing to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/guest/relay.h"
/* links: worker/guest/relay.c worker/guest/loop.c */

#define ROUNDS 20000 /* patience: of 1 ms at most */

static struct loop loop;
static struct relay relay;
static struct sockaddr_in at;
static int browser; /* listening */

static int listening(struct sockaddr_in *address, int flags)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

    memset(address, 0, size);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static int setup(void **state)
{
    struct sockaddr_in target;
    int fd;

    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    browser = listening(&target, SOCK_NONBLOCK);
    fd = listening(&at, SOCK_NONBLOCK);
    assert_int_equal(relay_init(&relay, &loop, fd, target), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    relay_cleanup(&relay);
    assert_int_equal(relay.pairs, 0);
    loop_cleanup(&loop);
    if (browser >= 0)
        close(browser);
    return 0;
}

static int client_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EINPROGRESS);
    return fd;
}

/* Runs the relay until the browser's side has a connection. */
static int browser_accept(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        int fd = accept4(browser, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        assert_int_equal(loop_once(&loop, 1), 0);
    }
    fail_msg("no connection to the browser");
    return -1;
}

/* Runs the relay until fd has size bytes (0: its end) and returns how many there were. */
static size_t read_exactly(int fd, char *out, size_t size)
{
    size_t got = 0;

    for (int i = 0; i < ROUNDS; i++) {
        char end;
        ssize_t n = recv(fd, size ? out + got : &end, size ? size - got : 1, 0);
        if (n == 0)
            return got;
        if (n > 0 && (got += (size_t)n) >= size)
            return got;
        if (n < 0) {
            assert_true(errno == EAGAIN || errno == ECONNRESET);
            if (errno == ECONNRESET)
                return got;
            assert_int_equal(loop_once(&loop, 1), 0);
        }
    }
    fail_msg("nothing came");
    return 0;
}

static void run_until_pairs(int pairs)
{
    for (int i = 0; i < ROUNDS && relay.pairs != pairs; i++)
        assert_int_equal(loop_once(&loop, 1), 0);
    assert_int_equal(relay.pairs, pairs);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void test_both_ways_and_half_close(void **state)
{
    int client = client_open(), peer = browser_accept();
    char text[16] = "";

    (void)state;
    say(client, "ask");
    assert_int_equal(read_exactly(peer, text, 3), 3);
    assert_string_equal(text, "ask");
    shutdown(client, SHUT_WR);
    assert_int_equal(read_exactly(peer, NULL, 0), 0);
    say(peer, "answer");
    assert_int_equal(read_exactly(client, text, 6), 6);
    assert_memory_equal(text, "answer", 6);
    assert_int_equal(relay.pairs, 1);
    close(peer);
    assert_int_equal(read_exactly(client, NULL, 0), 0);
    run_until_pairs(0);
    close(client);
}

static void test_browser_not_there(void **state)
{
    int client;

    (void)state;
    close(browser);
    browser = -1;
    client = client_open();
    assert_int_equal(loop_once(&loop, 1000), 0);
    assert_int_equal(read_exactly(client, NULL, 0), 0);
    run_until_pairs(0);
    close(client);
}

/* What is on its way is bounded, arrives whole once somebody reads, and in order. */
static void test_slow_reader(void **state)
{
    int client = client_open(), peer = browser_accept(), quiet = 0;
    size_t sent = 0, got = 0;
    static char data[65536], back[65536];

    (void)state;
    while (quiet < 50) {
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (char)((sent + i) * 31 >> 8);
        ssize_t n = send(client, data, sizeof(data), MSG_NOSIGNAL);
        quiet = n > 0 ? 0 : quiet + 1;
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 64 * 1024 * 1024);
        assert_int_equal(loop_once(&loop, 1), 0);
    }
    shutdown(client, SHUT_WR);
    for (size_t n = 1; n > 0;) {
        size_t want = sent - got < sizeof(back) ? sent - got : sizeof(back);
        n = read_exactly(peer, back, want ? want : 1);
        for (size_t i = 0; i < n; i++)
            if (back[i] != (char)((got + i) * 31 >> 8))
                fail_msg("byte %zu is wrong", got + i);
        got += n;
    }
    assert_int_equal(got, sent);
    close(client);
    close(peer);
    run_until_pairs(0);
}

/* More than may be at once: the rest waits and gets its turn. */
static void test_many(void **state)
{
    enum { COUNT = RELAY_PAIRS_MAX + 20 };
    static int clients[COUNT], peers[COUNT];
    char byte;

    (void)state;
    for (int i = 0; i < COUNT; i++)
        clients[i] = client_open();
    for (int i = 0; i < RELAY_PAIRS_MAX; i++)
        peers[i] = browser_accept();
    assert_int_equal(loop_once(&loop, 10), 0);
    assert_int_equal(relay.pairs, RELAY_PAIRS_MAX);
    assert_int_equal(accept4(browser, NULL, NULL, SOCK_NONBLOCK), -1);
    for (int i = 0; i < 20; i++)
        close(peers[i]);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(read_exactly(clients[i], NULL, 0), 0);
        close(clients[i]);
    }
    for (int i = 0; i < 20; i++)
        peers[i] = browser_accept();
    for (int i = 20; i < COUNT; i++)
        say(clients[i], "x");
    for (int i = 0; i < RELAY_PAIRS_MAX; i++)
        assert_int_equal(read_exactly(peers[i], &byte, 1), 1);
    for (int i = 20; i < COUNT; i++)
        close(clients[i]);
    for (int i = 0; i < RELAY_PAIRS_MAX; i++)
        close(peers[i]);
    run_until_pairs(0);
}

static void test_reset(void **state)
{
    int client = client_open(), peer = browser_accept();
    struct linger now = {1, 0};

    (void)state;
    say(peer, "lost");
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(client);
    read_exactly(peer, NULL, 0);
    run_until_pairs(0);
    close(peer);
}

/* Whoever is not the peer is turned away. */
static void test_stranger(void **state)
{
    int client, peer;

    (void)state;
    relay.peer.s_addr = htonl(0x7f000002);
    client = client_open();
    assert_int_equal(read_exactly(client, NULL, 0), 0);
    assert_int_equal(relay.pairs, 0);
    close(client);
    relay.peer.s_addr = htonl(INADDR_LOOPBACK);
    client = client_open();
    peer = browser_accept();
    close(client);
    assert_int_equal(read_exactly(peer, NULL, 0), 0);
    close(peer);
    relay.peer.s_addr = 0;
    run_until_pairs(0);
}

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Nothing to do, also with half-closed ends and a full buffer: no event, no processor time. */
static void test_idle_is_quiet(void **state)
{
    int client = client_open(), peer = browser_accept(), other = client_open(), other_peer = browser_accept();
    static char data[65536];
    double before;
    int rounds = 0;

    (void)state;
    shutdown(client, SHUT_WR);
    assert_int_equal(read_exactly(peer, NULL, 0), 0);
    for (int quiet = 0; quiet < 20; assert_int_equal(loop_once(&loop, 1), 0))
        quiet = send(other, data, sizeof(data), MSG_NOSIGNAL) > 0 ? 0 : quiet + 1;
    shutdown(other, SHUT_WR);
    assert_int_equal(loop_once(&loop, 10), 0);
    before = cpu_ms();
    for (int i = 0; i < 20; i++, rounds++)
        assert_int_equal(loop_once(&loop, 10), 0);
    assert_true(cpu_ms() - before < 100.0);
    close(client), close(peer), close(other), close(other_peer);
    run_until_pairs(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways_and_half_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_browser_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_is_quiet, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
