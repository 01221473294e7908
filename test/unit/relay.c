/* relay.c: bytes both ways, a slow reader that stops its writer, and every way in which one side can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/relay.h"

#define PATIENCE_MS 90000

static struct ev_loop *loop;
static struct relay *relay;
static int ended;
static int ends[2]; /* the peers' sockets; -1: closed */

static void on_end(void *arg)
{
    assert_ptr_equal(arg, &ended);
    ended++;
}

static void start(const char *early_a, const char *early_b)
{
    int a[2], b[2];
    struct buf from_a = {0}, from_b = {0};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
    ends[0] = a[1];
    ends[1] = b[1];
    ended = 0;
    if (early_a)
        buf_adds(&from_a, early_a);
    if (early_b)
        buf_adds(&from_b, early_b);
    relay = relay_new(loop, a[0], b[0], early_a ? &from_a : NULL, early_b ? &from_b : NULL, on_end, &ended);
    assert_null(from_a.data); /* the relay has taken them */
    assert_null(from_b.data);
}

static void hang_up(int i)
{
    close(ends[i]);
    ends[i] = -1;
}

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    start(NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!ended)
        relay_close(relay);
    assert_int_equal(ended, 1);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    ev_run(loop, EVRUN_NOWAIT); /* nothing is left on it */
    ev_loop_destroy(loop);
    return 0;
}

static void run_some(void)
{
    for (int i = 0; i < 4; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

static size_t receive(int i, char *out, size_t size)
{
    const ssize_t n = recv(ends[i], out, size, 0);

    return n > 0 ? (size_t)n : 0;
}

static void wait_ended(void)
{
    const double end = clock_mono_ms() + PATIENCE_MS;

    while (!ended && clock_mono_ms() < end)
        ev_run(loop, EVRUN_ONCE);
    assert_int_equal(ended, 1);
}

static void test_both_ways(void **state)
{
    char got[16] = "";

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(send(ends[i], "hello", 5, 0), 5);
        run_some();
        assert_int_equal(receive(1 - i, got, sizeof(got)), 5);
        assert_memory_equal(got, "hello", 5);
    }
    assert_int_equal(ended, 0);
}

static void test_early(void **state)
{
    char got[32] = "";

    (void)state;
    hang_up(0);
    hang_up(1);
    wait_ended();
    start("from a", "from b");
    assert_int_equal(send(ends[0], ", more", 6, 0), 6);
    run_some();
    assert_int_equal(receive(1, got, sizeof(got)), 12);
    assert_memory_equal(got, "from a, more", 12);
    assert_int_equal(receive(0, got, sizeof(got)), 6);
    assert_memory_equal(got, "from b", 6);
}

/* Sends numbers until the relay takes no more. */
static size_t fill(int i, uint32_t *next)
{
    size_t total = 0;
    int stuck = 0;

    while (stuck < 3) {
        uint32_t block[1024];
        ssize_t n;
        for (int k = 0; k < 1024; k++)
            block[k] = *next + (uint32_t)k;
        n = send(ends[i], block, sizeof(block), 0);
        if (n > 0) {
            assert_int_equal(n % 4, 0);
            *next += (uint32_t)n / 4;
            total += (size_t)n;
            stuck = 0;
        } else
            stuck++;
        run_some();
    }
    return total;
}

static size_t drain_numbers(int i, uint32_t *next)
{
    size_t total = 0, n;
    uint32_t block[1024];

    do {
        for (n = 1; (n = receive(i, (char *)block, sizeof(block))) > 0; total += n) {
            assert_int_equal(n % 4, 0);
            for (size_t k = 0; k < n / 4; k++)
                assert_int_equal(block[k], (*next)++);
        }
        run_some();
        n = receive(i, (char *)block, 0);
    } while (recv(ends[i], block, 1, MSG_PEEK) > 0);
    return total;
}

static void test_slow_reader_stops_its_writer(void **state)
{
    uint32_t sent = 0, got = 0;
    size_t total = 0, room;

    (void)state;
    for (int round = 0; round < 5; round++) {
        room = fill(0, &sent);
        assert_true(room < (4u << 20));
        total += room;
        assert_int_equal(drain_numbers(1, &got), room);
    }
    assert_int_equal(got, sent);
    assert_true(total > 100000);
    /* the other direction was free all the time */
    sent = got = 0;
    fill(1, &sent);
    drain_numbers(0, &got);
    assert_int_equal(got, sent);
}

/* What a side sent before it closed arrives, though its reader is slow, and then the reader sees EOF. */
static void test_rest_is_delivered(void **state)
{
    uint32_t sent = 0, got = 0;

    (void)state;
    fill(0, &sent);
    hang_up(0);
    run_some();
    assert_int_equal(ended, 0);
    drain_numbers(1, &got);
    assert_int_equal(got, sent);
    assert_int_equal(recv(ends[1], &got, 4, 0), 0);
    hang_up(1);
    wait_ended();
}

/* One side shuts only its sending: the other can still answer, then ends. */
static void test_half_close(void **state)
{
    char got[16];

    (void)state;
    assert_int_equal(send(ends[0], "bye", 3, 0), 3);
    shutdown(ends[0], SHUT_WR);
    run_some();
    assert_int_equal(receive(1, got, sizeof(got)), 3);
    assert_int_equal(recv(ends[1], got, sizeof(got), 0), 0);
    assert_int_equal(send(ends[1], "bye bye", 7, 0), 7);
    run_some();
    assert_int_equal(receive(0, got, sizeof(got)), 7);
    assert_int_equal(ended, 0);
    hang_up(1);
    wait_ended();
    assert_int_equal(recv(ends[0], got, sizeof(got), 0), 0);
}

/* The other side does not follow: it is closed after the grace. */
static void test_half_close_ignored(void **state)
{
    char got[16];
    const double begin = clock_mono_ms();

    (void)state;
    hang_up(0);
    wait_ended();
    assert_true(clock_mono_ms() - begin < 60000);
    assert_int_equal(recv(ends[1], got, sizeof(got), 0), 0);
}

/* The reader goes away under a writer that is stopped. */
static void test_reader_gone(void **state)
{
    uint32_t sent = 0;

    (void)state;
    fill(0, &sent);
    hang_up(1);
    wait_ended();
}

/* A side says its last and closes while it is being written to: its last words still arrive. */
static void test_last_words(void **state)
{
    char got[16];

    (void)state;
    assert_int_equal(send(ends[1], "last", 4, 0), 4);
    hang_up(1);
    assert_int_equal(send(ends[0], "in vain", 7, 0), 7);
    wait_ended();
    assert_int_equal(receive(0, got, sizeof(got)), 4);
    assert_memory_equal(got, "last", 4);
}

static void test_close(void **state)
{
    char got[4];

    (void)state;
    relay_close(relay);
    assert_int_equal(ended, 1);
    assert_int_equal(recv(ends[0], got, sizeof(got), 0), 0);
    assert_int_equal(recv(ends[1], got, sizeof(got), 0), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_both_ways),         T(test_early),      T(test_slow_reader_stops_its_writer),
        T(test_rest_is_delivered), T(test_half_close), T(test_half_close_ignored),
        T(test_reader_gone),       T(test_last_words), T(test_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
