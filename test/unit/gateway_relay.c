/* links: worker/gateway.c worker/gateway_client.c worker/gateway_hub.c worker/gateway_json.c */
/* links: worker/gateway_pipe.c worker/gateway_relay.c worker/cdp_http.c test/support/gateway_fixture.c */
/* gateway_relay.c: the bytes of a WebSocket through the gateway: unchanged, bounded, with pings exactly
 * at frame boundaries. Its end is gateway_relay_close.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/ws.h"
#include "test/support/gateway_fixture.h"

#define LONG_PING  600000
#define SHORT_PING 200
#define S          "/s/" FIXTURE_SECRET
#define PING                                                                                                 \
    "\x89\x05"                                                                                               \
    "berth"

static struct gateway_fixture f;

static int setup(void **state)
{
    (void)state;
    gateway_fixture_init(&f, LONG_PING, NULL);
    return 0;
}

static int setup_pings(void **state)
{
    (void)state;
    gateway_fixture_init(&f, SHORT_PING, NULL);
    return 0;
}

static int setup_many_pings(void **state)
{
    (void)state;
    gateway_fixture_init(&f, 2, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    gateway_fixture_cleanup(&f);
    return 0;
}

static void add_pong(struct buf *out, const char *payload)
{
    gateway_fixture_frame(out, 1, WS_OP_PONG, payload, strlen(payload), 1);
}

static struct gateway_stats stats_now(void)
{
    struct gateway_stats s;

    gateway_stats(f.gateway, &s);
    return s;
}

/* ---- bytes ---- */

static uint32_t seed = 20261122;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % sides;
}

/* Frames of every kind and size, fragmented or not, until there are `bytes` of them. Where answers are given,
 * answers to the gateway's pings are put between them: into `with` alone. */
static void add_stream(struct buf *plain, struct buf *with, size_t bytes, int mask)
{
    static char payload[300000];
    int open = 0;

    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (char)dice(256);
    while (plain->len < bytes) {
        static const uint32_t sizes[] = {1, 3, 126, 127, 200, 65535, 65537, sizeof(payload)};
        size_t len = dice(sizes[dice(sizeof(sizes) / sizeof(*sizes))]), from = plain->len;
        int kind = (int)dice(8);

        if (kind == 0)
            gateway_fixture_frame(plain, 1, WS_OP_PING, payload, len % 126, mask);
        else if (kind == 1)
            gateway_fixture_frame(plain, 1, WS_OP_PONG, payload, len % 126, mask);
        else {
            int fin = dice(3) > 0;
            gateway_fixture_frame(plain, fin, open ? 0 : 1 + (int)dice(2),
                                  payload + dice(1000) % (sizeof(payload) - len), len, mask);
            open = !fin;
        }
        buf_add(with, plain->data + from, plain->len - from);
        if (mask && dice(3) == 0)
            add_pong(with, "berth");
    }
}

/* Takes the gateway's pings out again, and counts them. They must stand between frames. */
static int strip_pings(struct buf *in)
{
    struct ws_scan scan = {0};
    struct buf out = {0};
    int pings = 0;

    for (size_t at = 0; at < in->len;) {
        struct ws_piece piece;
        long n;

        if (ws_scan_at_boundary(&scan) && in->len - at >= 7 && !memcmp(in->data + at, PING, 7)) {
            pings++;
            at += 7;
            continue;
        }
        n = ws_scan_next(&scan, (uint8_t *)in->data + at, in->len - at, &piece);
        assert_true(n > 0);
        buf_add(&out, in->data + at, (size_t)n);
        at += (size_t)n;
    }
    buf_cleanup(in);
    *in = out;
    return pings;
}

static void write_some(int fd, const struct buf *stream, size_t *at)
{
    size_t len = 1 + dice(20000);
    ssize_t n;

    if (len > stream->len - *at)
        len = stream->len - *at;
    if (len > 0 && (n = send(fd, stream->data + *at, len, MSG_NOSIGNAL)) > 0)
        *at += (size_t)n;
}

/* Twelve megabytes each way at once, in pieces of any size, with pings every few milliseconds and their
 * answers in between. */
static void test_identity(void **state)
{
    static const char last[] = "the last frame";
    struct buf down = {0}, up = {0}, up_wire = {0}, ignored = {0}, at_client = {0}, at_browser = {0},
               pong = {0};
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    size_t down_at = 0, up_at = 0, n = sizeof(last) - 1;

    (void)state;
    print_message("seed %u\n", seed);
    add_stream(&down, &ignored, 12 << 20, 0);
    gateway_fixture_frame(&down, 1, WS_OP_TEXT, last, n, 0);
    add_stream(&up, &up_wire, 12 << 20, 1);
    add_pong(&pong, "berth");
    gateway_fixture_wait_begin(&f);
    while (at_browser.len < up.len || at_client.len < n ||
           memcmp(at_client.data + at_client.len - n, last, n)) {
        write_some(p.browser, &down, &down_at);
        if (up_at < up_wire.len)
            write_some(p.client, &up_wire, &up_at);
        else
            gateway_fixture_write(&f, p.client, pong.data, pong.len);
        gateway_fixture_wait_step(&f, "all", __FILE__, __LINE__);
        assert_int_equal(gateway_fixture_read(p.client, &at_client), 1);
        assert_int_equal(gateway_fixture_read(p.browser, &at_browser), 1);
        if (down_at == down.len && at_browser.len == up.len) /* a ping may have come behind the last frame */
            while (at_client.len > n + 7 && !memcmp(at_client.data + at_client.len - 7, PING, 7))
                at_client.len -= 7;
    }
    assert_true(strip_pings(&at_client) >= 3);
    assert_int_equal(at_client.len, down.len);
    assert_memory_equal(at_client.data, down.data, down.len);
    assert_int_equal(at_browser.len, up.len);
    assert_memory_equal(at_browser.data, up.data, up.len);
    assert_int_equal(stats_now().bytes_to_browser, up.len);
    gateway_fixture_unpair(&p);
    buf_cleanup(&down);
    buf_cleanup(&up);
    buf_cleanup(&up_wire);
    buf_cleanup(&ignored);
    buf_cleanup(&at_client);
    buf_cleanup(&at_browser);
    buf_cleanup(&pong);
}

/* One message of ten megabytes each way. */
static void test_large_message(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf frame[2] = {{0}}, in[2] = {{0}};
    char *payload = malloc(10 << 20);
    size_t at[2] = {0};

    (void)state;
    for (size_t i = 0; i < 10 << 20; i++)
        payload[i] = (char)dice(256);
    for (int side = 0; side < 2; side++)
        gateway_fixture_frame(&frame[side], 1, WS_OP_BINARY, payload, 10 << 20, side);
    gateway_fixture_wait_begin(&f);
    while (in[0].len < frame[0].len || in[1].len < frame[1].len) {
        write_some(p.browser, &frame[0], &at[0]);
        write_some(p.client, &frame[1], &at[1]);
        gateway_fixture_wait_step(&f, "all", __FILE__, __LINE__);
        gateway_fixture_read(p.client, &in[0]);
        gateway_fixture_read(p.browser, &in[1]);
    }
    for (int side = 0; side < 2; side++) {
        assert_int_equal(in[side].len, frame[side].len);
        assert_memory_equal(in[side].data, frame[side].data, frame[side].len);
        buf_cleanup(&frame[side]);
        buf_cleanup(&in[side]);
    }
    free(payload);
    gateway_fixture_unpair(&p);
}

/* A pong to our ping, one byte at a time, between the fragments of a message; then one that is not ours, and
 * a ping. */
static void test_pongs_split(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0);
    struct buf first = {0}, pong = {0}, rest = {0}, expected = {0}, in = {0};

    (void)state;
    gateway_fixture_frame(&first, 0, WS_OP_TEXT, "one ", 4, 1);
    add_pong(&pong, "berth");
    gateway_fixture_frame(&rest, 1, 0, "message", 7, 1);
    add_pong(&rest, "their own");
    add_pong(&rest, "bertH");
    add_pong(&rest, "");
    add_pong(&rest, "berth");
    gateway_fixture_frame(&rest, 1, WS_OP_PING, "berth", 5, 1);
    buf_add(&expected, first.data, first.len);
    buf_add(&expected, rest.data, rest.len);

    gateway_fixture_write(&f, p.client, first.data, first.len);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < pong.len; i++) {
            gateway_fixture_write(&f, p.client, pong.data + i, 1);
            ev_run(f.loop, EVRUN_ONCE);
        }
    gateway_fixture_expect(&f, p.browser, &in, first.len);
    assert_int_equal(in.len, first.len);
    for (size_t i = 0; i < rest.len; i++) {
        gateway_fixture_write(&f, p.client, rest.data + i, 1);
        ev_run(f.loop, EVRUN_ONCE);
    }
    /* all but the one of ours, which stands before the last frame */
    expected.len = expected.len - 11 - 11;
    buf_add(&expected, rest.data + rest.len - 11, 11);
    gateway_fixture_expect(&f, p.browser, &in, expected.len);
    assert_int_equal(in.len, expected.len);
    assert_memory_equal(in.data, expected.data, expected.len);

    /* The browser's answer to the client's ping is the client's. */
    in.len = 0;
    gateway_fixture_write(&f, p.browser,
                          "\x8a\x05"
                          "berth",
                          7);
    gateway_fixture_expect(&f, p.client, &in, 7);
    gateway_fixture_unpair(&p);
    buf_cleanup(&first);
    buf_cleanup(&pong);
    buf_cleanup(&rest);
    buf_cleanup(&expected);
    buf_cleanup(&in);
}

/* A reader that stops: the writer is stopped too, and nothing is lost. */
static void slow_reader(int down)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 4096);
    int from = down ? p.browser : p.client, to = down ? p.client : p.browser, still = 0;
    struct buf frame = {0}, in = {0};
    char payload[60000];
    size_t sent = 0;

    memset(payload, 'x', sizeof(payload));
    gateway_fixture_frame(&frame, 1, WS_OP_BINARY, payload, sizeof(payload), !down);
    gateway_fixture_wait_begin(&f);
    while (still < 20) { /* until nothing has gone for so many turns */
        size_t at = sent % frame.len;
        ssize_t n = send(from, frame.data + at, frame.len - at, MSG_NOSIGNAL);

        still = n > 0 ? 0 : still + 1;
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 64 << 20); /* the kernel's buffers, and 64 KB of ours */
        gateway_fixture_wait_step(&f, "the writer to be stopped", __FILE__, __LINE__);
    }
    gateway_fixture_expect(&f, to, &in, sent);
    assert_int_equal(in.len, sent);
    for (size_t at = 0; at < sent; at += frame.len)
        assert_memory_equal(in.data + at, frame.data, at + frame.len <= sent ? frame.len : sent - at);
    /* and it goes on */
    in.len = 0;
    gateway_fixture_write(&f, from, frame.data + sent % frame.len, frame.len - sent % frame.len);
    gateway_fixture_expect(&f, to, &in, frame.len - sent % frame.len);
    gateway_fixture_unpair(&p);
    buf_cleanup(&frame);
    buf_cleanup(&in);
}

static void test_slow_client(void **state)
{
    (void)state;
    slow_reader(1);
}

static void test_slow_browser(void **state)
{
    (void)state;
    slow_reader(0);
}

/* ---- pings ---- */

static void test_half_open(void **state)
{
    struct gateway_pair dead = gateway_fixture_pair(&f, S, 0), alive = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0}, frame = {0}, at_browser = {0};

    (void)state;
    add_pong(&frame, "berth");
    gateway_fixture_wait_begin(&f);
    while (f.clients == 2 || in.len < 5 * 7) {
        size_t before = in.len;

        gateway_fixture_read(alive.client, &in);
        for (; before + 7 <= in.len; before += 7)
            gateway_fixture_write(&f, alive.client, frame.data, frame.len);
        gateway_fixture_wait_step(&f, "the dead client to be found", __FILE__, __LINE__);
    }
    assert_int_equal(f.clients, 1);
    assert_int_equal(stats_now().half_open, 1);
    gateway_fixture_end(&f, dead.browser, &at_browser);
    assert_int_equal(gateway_fixture_read(alive.browser, &at_browser), 1);
    assert_int_equal(at_browser.len, 0); /* the browser knows nothing of all this */
    gateway_fixture_unpair(&dead);
    gateway_fixture_unpair(&alive);
    buf_cleanup(&in);
    buf_cleanup(&frame);
    buf_cleanup(&at_browser);
}

static void take_pings(struct buf *in)
{
    while (in->len >= 7 && memcmp(in->data, PING, 7) == 0)
        buf_consume(in, 7);
}

/* The ping that is due in the middle of a frame comes right behind it. That it is due is told by another
 * connection, which is between two frames. */
static void test_ping_waits_for_frame(void **state)
{
    struct gateway_pair p = gateway_fixture_pair(&f, S, 0), other = gateway_fixture_pair(&f, S, 0);
    struct buf in = {0}, pings = {0};
    double since = clock_mono_ms();

    (void)state;
    gateway_fixture_write(&f, p.browser,
                          "\x01\x06"
                          "abc",
                          5);
    while (in.len < 5 || pings.len < 3 * 7) {
        gateway_fixture_write(&f, p.client, "\x81\x80\0\0\0\0", 6); /* shows that it lives */
        gateway_fixture_write(&f, other.client, "\x81\x80\0\0\0\0", 6);
        gateway_fixture_wait_step(&f, "pings", __FILE__, __LINE__);
        gateway_fixture_read(p.client, &in);
        take_pings(&in); /* what came before the frame */
        if (in.len < 5)
            pings.len = 0;
        gateway_fixture_read(other.client, &pings);
        assert_true(clock_mono_ms() - since < 60000); /* for a loaded machine; it takes 0.6 s */
    }
    assert_int_equal(in.len, 5);
    gateway_fixture_write(&f, p.browser, "def\x80\x01z", 6);
    gateway_fixture_expect(&f, p.client, &in, 5 + 6 + 7);
    assert_memory_equal(in.data + 5, "def" PING "\x80\x01z", 13);
    gateway_fixture_unpair(&p);
    gateway_fixture_unpair(&other);
    buf_cleanup(&in);
    buf_cleanup(&pings);
}

/* Its browser takes nothing, so the gateway cannot hear the client: that is no silence of the client's. But
 * if it hangs up, it is gone. */
static void test_blocked_client(void **state)
{
    struct gateway_pair p;
    struct buf in = {0};
    char chunk[60000] = {0};
    struct buf frame = {0};
    struct linger reset = {1, 0};
    double since;
    int still = 0;

    (void)state;
    p = gateway_fixture_pair(&f, S, 0);
    gateway_fixture_frame(&frame, 1, WS_OP_BINARY, chunk, sizeof(chunk), 1);
    gateway_fixture_wait_begin(&f);
    for (size_t at = 0; still < 20;) {
        ssize_t n = send(p.client, frame.data + at, frame.len - at, MSG_NOSIGNAL);
        still = n > 0 ? 0 : still + 1;
        at = (at + (n > 0 ? (size_t)n : 0)) % frame.len;
        gateway_fixture_wait_step(&f, "the client to be blocked", __FILE__, __LINE__);
    }
    since = clock_mono_ms();
    gateway_fixture_wait_begin(&f);
    while (clock_mono_ms() - since < 5 * SHORT_PING)
        gateway_fixture_wait_step(&f, "the interval", __FILE__, __LINE__);
    assert_int_equal(f.clients, 1);
    setsockopt(p.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(p.client);
    p.client = -1;
    UNTIL(&f, f.clients == 0);
    assert_int_equal(stats_now().half_open, 0);
    gateway_fixture_end(&f, p.browser, &in);
    gateway_fixture_unpair(&p);
    buf_cleanup(&in);
    buf_cleanup(&frame);
}

#define T(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PINGS(name) cmocka_unit_test_setup_teardown(name, setup_pings, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, setup_many_pings, teardown),
        T(test_large_message),
        T(test_pongs_split),
        T(test_slow_client),
        T(test_slow_browser),
        PINGS(test_half_open),
        PINGS(test_ping_waits_for_frame),
        PINGS(test_blocked_client),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
