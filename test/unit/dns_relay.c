/* links: worker/dns_relay.c worker/dns_tcp.c worker/dns_message.c worker/dns_upstream.c */
/* Unit tests of the resolver: a relay between a client and a resolver of the test's own, all on loopback. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "worker/dns_message.h"
#include "worker/dns_relay.h"

#define TURN_S      90.0 /* a test that waits longer has failed */
#define QUERIES     5
#define CONNECTIONS 3
#define LONG_MS     600000 /* the resolver's time: never over in a test */
#define SHORT_MS    20

static struct ev_loop *loop;
static struct dns_relay *relay;
static struct dns_upstreams *upstreams;
static int up_udp, up_tcp, client; /* the resolver's sockets; the client's, connected to the relay */
static struct sockaddr_in relay_address;
static char conf[] = "/tmp/berth-resolv-XXXXXX";

static int bound(int type, int port, struct sockaddr_in *at)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    socklen_t len = sizeof(*at);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)at, sizeof(*at)) != 0 || (type == SOCK_STREAM && listen(fd, 16) != 0)) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)at, &len);
    return fd;
}

/* UDP and TCP on one free port. */
static void pair(int *udp, int *tcp, struct sockaddr_in *at)
{
    do {
        struct sockaddr_in same;

        *udp = bound(SOCK_DGRAM, 0, at);
        *tcp = bound(SOCK_STREAM, ntohs(at->sin_port), &same);
        if (*tcp < 0)
            close(*udp);
    } while (*tcp < 0);
}

static int set_up_with(long timeout_ms)
{
    static const struct dns_limits limits = {QUERIES, CONNECTIONS};
    struct sockaddr_in upstream;
    int udp, tcp, fd;

    loop = EV_DEFAULT;
    strcpy(conf, "/tmp/berth-resolv-XXXXXX");
    fd = mkstemp(conf);
    assert_int_equal(write(fd, "nameserver 127.0.0.1\n", 21), 21);
    close(fd);
    pair(&up_udp, &up_tcp, &upstream);
    pair(&udp, &tcp, &relay_address);
    upstreams = dns_upstreams_new(conf, ntohs(upstream.sin_port), timeout_ms);
    relay = dns_relay_new(loop, upstreams, &limits, udp, tcp, (struct in_addr){htonl(0x0AD50001)});
    client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&relay_address, sizeof(relay_address)), 0);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(LONG_MS);
}

static int set_up_impatient(void **state)
{
    (void)state;
    return set_up_with(SHORT_MS);
}

static int tear_down(void **state)
{
    (void)state;
    dns_relay_free(relay);
    dns_upstreams_free(upstreams);
    close(up_udp);
    close(up_tcp);
    close(client);
    unlink(conf);
    return 0;
}

/* ---- small tools ---- */

static void on_ready(struct ev_loop *l, ev_io *w, int revents)
{
    (void)revents;
    ev_io_stop(l, w);
    ev_break(l, EVBREAK_ALL);
}

static void on_too_long(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    ev_break(l, EVBREAK_ALL);
}

/* Runs the loop until fd can be read. */
static void wait_for(int fd)
{
    ev_io io;
    ev_timer limit;

    ev_io_init(&io, on_ready, fd, EV_READ);
    ev_timer_init(&limit, on_too_long, TURN_S, 0);
    ev_io_start(loop, &io);
    ev_now_update(loop);
    ev_timer_start(loop, &limit);
    ev_run(loop, 0);
    assert_true(ev_is_active(&limit)); /* it came in time */
    ev_timer_stop(loop, &limit);
    ev_io_stop(loop, &io);
}

/* A query for a name with dots. */
static size_t query(uint8_t *out, uint16_t id, const char *name, uint16_t type)
{
    size_t at = DNS_HEADER_LEN;

    memcpy(out, (uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, DNS_HEADER_LEN);
    while (*name) {
        size_t len = strcspn(name, ".");

        out[at++] = (uint8_t)len;
        memcpy(out + at, name, len);
        at += len;
        name += len + (name[len] == '.');
    }
    memcpy(out + at, (uint8_t[]){0, (uint8_t)(type >> 8), (uint8_t)type, 0, 1}, 5);
    return at + 5;
}

static size_t ask(uint8_t *answer, uint16_t id, const char *name, uint16_t type)
{
    uint8_t q[512];
    ssize_t n;

    assert_true(send(client, q, query(q, id, name, type), 0) > 0);
    wait_for(client);
    n = recv(client, answer, 4096, 0);
    assert_true(n >= DNS_HEADER_LEN);
    assert_int_equal(answer[0] << 8 | answer[1], id);
    return (size_t)n;
}

/* ---- tests ---- */

static void test_own_names(void **state)
{
    uint8_t a[4096];
    size_t n;

    (void)state;
    ask(a, 1, "host.berth.internal", 1);
    assert_int_equal(a[3] & 15, DNS_NXDOMAIN);
    dns_relay_allow_host(relay, 1);
    n = ask(a, 2, "HOST.Berth.internal", 1);
    assert_int_equal(a[3] & 15, 0);
    assert_memory_equal(a + n - 4, "\x0A\xD5\0\1", 4);
    ask(a, 3, "host.berth.internal", 28); /* no IPv6, but the name is there */
    assert_int_equal(a[3] & 15, 0);
    assert_int_equal(a[7], 0);
    ask(a, 4, "other.berth.internal", 1);
    assert_int_equal(a[3] & 15, DNS_NXDOMAIN);
    dns_relay_allow_host(relay, 0);
    ask(a, 5, "host.berth.internal", 1);
    assert_int_equal(a[3] & 15, DNS_NXDOMAIN);
}

static void test_passed_on(void **state)
{
    uint8_t q[512], seen[4096], a[4096];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    size_t len = query(q, 7, "notberth.internal", 1), n;
    struct dns_query parsed;

    (void)state;
    assert_true(send(client, q, len, 0) > 0);
    wait_for(up_udp);
    assert_int_equal(recvfrom(up_udp, seen, sizeof(seen), 0, (struct sockaddr *)&from, &from_len),
                     (ssize_t)len);
    assert_memory_equal(seen + 2, q + 2, len - 2);
    assert_int_equal(dns_parse_query(seen, len, &parsed), 0);
    n = dns_answer_address(a, seen, &parsed, (struct in_addr){htonl(0x01020304)}, 60);
    /* Wrong id, wrong question, garbage: not passed on. */
    a[0] ^= 1;
    sendto(up_udp, a, n, 0, (struct sockaddr *)&from, from_len);
    a[0] ^= 1;
    a[13] ^= 1;
    sendto(up_udp, a, n, 0, (struct sockaddr *)&from, from_len);
    a[13] ^= 1;
    sendto(up_udp, a, 5, 0, (struct sockaddr *)&from, from_len);
    sendto(up_udp, a, 0, 0, (struct sockaddr *)&from, from_len);
    sendto(up_udp, a, n, 0, (struct sockaddr *)&from, from_len);
    wait_for(client);
    assert_int_equal(recv(client, seen, sizeof(seen), 0), (ssize_t)n);
    assert_int_equal(seen[0] << 8 | seen[1], 7);
    assert_memory_equal(seen + n - 4, "\1\2\3\4", 4);
    assert_int_equal(recv(client, seen, sizeof(seen), 0), -1);
}

/* Nobody at the resolver's port: an answer at once, not a wait. */
static void test_no_resolver(void **state)
{
    uint8_t a[4096];

    (void)state;
    close(up_udp);
    ask(a, 9, "example.org", 1);
    assert_int_equal(a[3] & 15, DNS_SERVFAIL);
    up_udp = dup(client);
}

/* Takes what has come to the resolver; how many queries. The last one's sender and text. */
static int asked(struct sockaddr_in *from, uint8_t *q, size_t *len)
{
    socklen_t from_len = sizeof(*from);
    int seen = 0;
    ssize_t n;

    for (int i = 0; i < 50; i++)
        ev_run(loop, EVRUN_NOWAIT);
    while ((n = recvfrom(up_udp, q, 512, 0, (struct sockaddr *)from, &from_len)) > 0) {
        *len = (size_t)n;
        seen++;
    }
    return seen;
}

/* So many are asked at a time, and with each answer one more. */
static void test_flood_is_bounded(void **state)
{
    uint8_t q[512], a[4096];
    struct sockaddr_in from;
    struct dns_query parsed;
    size_t len = 0;

    (void)state;
    for (int i = 0; i < QUERIES * 3; i++) {
        send(client, q, query(q, (uint16_t)i, "flood.example", 1), 0);
        ev_run(loop, EVRUN_NOWAIT);
    }
    assert_int_equal(asked(&from, q, &len), QUERIES);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dns_parse_query(q, len, &parsed), 0);
        len = dns_answer_code(a, q, &parsed, DNS_NOERROR);
        assert_int_equal(sendto(up_udp, a, len, 0, (struct sockaddr *)&from, sizeof(from)), (ssize_t)len);
        wait_for(client);
        assert_true(recv(client, a, sizeof(a), 0) > 0);
        assert_int_equal(asked(&from, q, &len), 1);
    }
    dns_relay_reset(relay);
    ask(q, 1, "host.berth.internal", 1); /* nothing of the flood is left before it */
}

/* A resolver that says nothing is asked again when its time is over, and then given up. */
static void test_silent_resolver(void **state)
{
    double began = clock_mono_ms();
    struct sockaddr_in from;
    uint8_t a[4096];
    size_t len;

    (void)state;
    ask(a, 10, "example.org", 1);
    assert_int_equal(a[3] & 15, DNS_SERVFAIL);
    assert_int_equal(asked(&from, a, &len), 3);
    assert_true(clock_mono_ms() - began < 100.0 * SHORT_MS); /* it takes 3 times its time */
}

static void test_hostile(void **state)
{
    uint8_t junk[DNS_UDP_MAX + 100], a[4096];

    (void)state;
    srandom(1);
    for (int i = 0; i < 500; i++) {
        size_t len = (size_t)random() % 40;

        for (size_t k = 0; k < len; k++)
            junk[k] = (uint8_t)random();
        send(client, junk, len, 0);
        ev_run(loop, EVRUN_NOWAIT);
    }
    memset(junk, 0, sizeof(junk));
    send(client, junk, sizeof(junk), 0);
    for (int i = 0; i < 10; i++)
        ev_run(loop, EVRUN_NOWAIT);
    while (recv(client, a, sizeof(a), 0) >= 0)
        ;
    dns_relay_reset(relay);
    ask(a, 77, "host.berth.internal", 1);
}

static int tcp_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&relay_address, sizeof(relay_address)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void test_tcp(void **state)
{
    uint8_t q[600], seen[4096], a[4096];
    size_t len = query(q + 2, 11, "big.example", 16), n;
    struct dns_query parsed;
    int fd = tcp_client(), up;

    (void)state;
    q[0] = 0;
    q[1] = (uint8_t)len;
    /* two queries in pieces: one to pass on, one of our own */
    assert_int_equal(send(fd, q, 1, 0), 1);
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(send(fd, q + 1, len + 1, 0), (ssize_t)len + 1);
    len = query(q + 2, 12, "x.berth.internal", 1);
    q[1] = (uint8_t)len;
    assert_int_equal(send(fd, q, len + 2, 0), (ssize_t)len + 2);
    wait_for(up_tcp);
    up = accept4(up_tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(up >= 0);
    wait_for(up);
    n = (size_t)recv(up, seen, sizeof(seen), 0);
    assert_int_equal(dns_parse_query(seen + 2, n - 2, &parsed), 0);
    n = dns_answer_code(a + 2, seen + 2, &parsed, DNS_NOERROR);
    a[0] = 0;
    a[1] = (uint8_t)n;
    assert_int_equal(send(up, a, n + 2, 0), (ssize_t)n + 2);
    wait_for(fd);
    n = (size_t)recv(fd, seen, 2 + n, 0);
    assert_int_equal(seen[2] << 8 | seen[3], 11);
    wait_for(fd);
    assert_true(recv(fd, seen, sizeof(seen), 0) > 12);
    assert_int_equal(seen[2] << 8 | seen[3], 12);
    assert_int_equal(seen[5] & 15, DNS_NXDOMAIN);
    close(up);
    close(fd);
    ev_run(loop, EVRUN_ONCE);
}

static void say(int fd, uint16_t id, const char *name)
{
    uint8_t q[512] = {0};
    size_t len = query(q + 2, id, name, 1);

    q[1] = (uint8_t)len;
    assert_int_equal(send(fd, q, len + 2, 0), (ssize_t)len + 2);
}

/* One more than there may be waits for one of them to end. */
static void test_tcp_is_bounded(void **state)
{
    int fds[CONNECTIONS + 1];
    uint8_t a[512];

    (void)state;
    for (int i = 0; i <= CONNECTIONS; i++) {
        fds[i] = tcp_client();
        say(fds[i], (uint16_t)i, "x.berth.internal");
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        wait_for(fds[i]);
        assert_true(recv(fds[i], a, sizeof(a), 0) > 2);
        assert_int_equal(a[2] << 8 | a[3], i);
    }
    for (int i = 0; i < 50; i++)
        ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(recv(fds[CONNECTIONS], a, sizeof(a), 0), -1);
    close(fds[0]);
    wait_for(fds[CONNECTIONS]);
    assert_true(recv(fds[CONNECTIONS], a, sizeof(a), 0) > 2);
    for (int i = 1; i <= CONNECTIONS; i++)
        close(fds[i]);
}

/* Over TCP too: the client gets an answer, whatever becomes of the resolver. */
static void test_tcp_silent_resolver(void **state)
{
    int fd = tcp_client();
    uint8_t a[512];

    (void)state;
    say(fd, 13, "example.org");
    wait_for(fd);
    assert_true(recv(fd, a, sizeof(a), 0) > 2);
    assert_int_equal(a[5] & 15, DNS_SERVFAIL);
    close(fd);
}

static void test_tcp_hostile(void **state)
{
    static const uint8_t huge[2] = {0xFF, 0xFF}, empty[2] = {0, 0};
    uint8_t junk[DNS_UDP_MAX + 8] = {DNS_UDP_MAX >> 8, 200};
    int fds[CONNECTIONS * 2], fd;
    uint8_t a[4096];

    (void)state;
    /* More connections than there may be, all silent. */
    for (int i = 0; i < CONNECTIONS * 2; i++) {
        fds[i] = tcp_client();
        ev_run(loop, EVRUN_NOWAIT);
    }
    for (int i = 0; i < CONNECTIONS * 2; i++)
        close(fds[i]);
    for (int i = 0; i < CONNECTIONS * 4; i++)
        ev_run(loop, EVRUN_NOWAIT);
    fd = tcp_client();
    send(fd, huge, 2, 0);
    send(fd, junk, sizeof(junk), 0);
    ev_run(loop, EVRUN_NOWAIT);
    close(fd);
    fd = tcp_client(); /* a message of no bytes: dropped */
    send(fd, empty, 2, 0);
    wait_for(fd);
    assert_int_equal(recv(fd, a, sizeof(a), 0), 0);
    close(fd);
    ask(a, 78, "host.berth.internal", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_resolver, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silent_resolver, set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_silent_resolver, set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_hostile, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("dns_relay", tests, NULL, NULL);
}
