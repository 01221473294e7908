/* gateway_fixture.c: see gateway_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway_fixture.h"
#include "shared/clock.h"

#define PATIENCE_MS 90000

static double waiting_since;

/* ---- the gateway's owner ---- */

struct driver {
    struct gateway_fixture *fixture;
};

static struct driver driver;

static int driver_connect(struct driver *d, int berth)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)d->fixture->browser_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(berth, 1);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (d->fixture->browser_sndbuf)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &d->fixture->browser_sndbuf, sizeof(int));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static const struct driver_ops driver_raw = {.name = "raw", .connect = driver_connect};

static const struct driver_ops *ops_of(void *arg, int berth, struct driver **d)
{
    assert_int_equal(berth, 1);
    driver.fixture = arg;
    *d = &driver;
    return &driver_raw;
}

static void on_clients(void *arg, int berth, int n)
{
    struct gateway_fixture *f = arg;

    assert_int_equal(berth, 1);
    f->clients = n;
    f->client_changes++;
    if (f->on_clients_closes)
        gateway_close(f->gateway, 1, "idle");
}

static void on_activity(void *arg, int berth)
{
    assert_int_equal(berth, 1);
    ((struct gateway_fixture *)arg)->activities++;
}

/* ---- the fixture ---- */

static void on_guard_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
}

void gateway_fixture_init(struct gateway_fixture *f, long ping_ms, const char *public_url)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    char err[200] = "";
    struct gateway_config config = {
        .listen = "127.0.0.1:0",
        .public_url = public_url,
        .berths = FIXTURE_BERTHS,
        .ping_ms = ping_ms,
        .ops_of = ops_of,
        .events = {on_clients, on_activity, f},
    };

    memset(f, 0, sizeof(*f));
    f->loop = config.loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&f->guard, on_guard_timer, 0.005, 0.005);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(f->listener, 512), 0);
    getsockname(f->listener, (struct sockaddr *)&a, &len);
    f->browser_port = ntohs(a.sin_port);
    f->gateway = gateway_new(&config, err, sizeof(err));
    if (!f->gateway)
        fail_msg("%s", err);
    f->port = public_url ? 0 : atoi(strrchr(gateway_url(f->gateway), ':') + 1);
    gateway_open(f->gateway, 1, FIXTURE_SECRET, FIXTURE_PATH);
}

void gateway_fixture_cleanup(struct gateway_fixture *f)
{
    gateway_free(f->gateway);
    if (f->listener >= 0)
        close(f->listener);
    ev_timer_stop(f->loop, &f->guard);
    ev_loop_destroy(f->loop);
}

void gateway_fixture_wait_begin(struct gateway_fixture *f)
{
    ev_timer_again(f->loop, &f->guard);
    waiting_since = clock_mono_ms();
}

void gateway_fixture_wait_step(struct gateway_fixture *f, const char *condition, const char *file, int line)
{
    if (clock_mono_ms() - waiting_since > PATIENCE_MS) {
        print_error("waited in vain for: %s\n", condition);
        _fail(file, line);
    }
    /* What the test's own sockets do wakes nobody: a turn lasts five milliseconds at most. */
    ev_run(f->loop, EVRUN_ONCE);
}

int gateway_fixture_connect(struct gateway_fixture *f, const char *text, int rcvbuf)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    gateway_fixture_write(f, fd, text, strlen(text));
    return fd;
}

int gateway_fixture_accept(struct gateway_fixture *f, struct buf *head)
{
    int fd = -1;

    UNTIL(f, (fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    UNTIL(f, gateway_fixture_read(fd, head) == 0 || (head->data && strstr(head->data, "\r\n\r\n")));
    return fd;
}

int gateway_fixture_read(int fd, struct buf *in)
{
    char chunk[65536];
    ssize_t n;

    while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
        buf_add(in, chunk, (size_t)n);
    return n < 0 && errno == EAGAIN;
}

void gateway_fixture_expect(struct gateway_fixture *f, int fd, struct buf *in, size_t n)
{
    UNTIL(f, !gateway_fixture_read(fd, in) || in->len >= n);
    assert_true(in->len >= n);
}

void gateway_fixture_end(struct gateway_fixture *f, int fd, struct buf *in)
{
    UNTIL(f, !gateway_fixture_read(fd, in));
}

void gateway_fixture_write(struct gateway_fixture *f, int fd, const void *data, size_t len)
{
    size_t done = 0;

    gateway_fixture_wait_begin(f);
    while (done < len) {
        ssize_t n = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            gateway_fixture_wait_step(f, "written", __FILE__, __LINE__);
        else
            fail_msg("write: %s", strerror(errno));
    }
}

int gateway_fixture_get(struct gateway_fixture *f, const char *request, struct buf *reply)
{
    int fd = gateway_fixture_connect(f, request, 0), status = 0;

    gateway_fixture_end(f, fd, reply);
    close(fd);
    assert_non_null(reply->data);
    sscanf(reply->data, "HTTP/1.1 %d", &status);
    return status;
}

/* ---- WebSockets ---- */

struct gateway_pair gateway_fixture_pair(struct gateway_fixture *f, const char *path, int rcvbuf)
{
    static const char answer[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " FIXTURE_ACCEPT "\r\n\r\n";
    struct gateway_pair p;
    struct buf in = {0}, request = {0};
    int clients = f->clients;

    buf_addf(&request,
             "GET %s HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " FIXTURE_KEY "\r\n\r\n",
             path);
    p.client = gateway_fixture_connect(f, request.data, rcvbuf);
    p.browser = gateway_fixture_accept(f, &in);
    buf_cleanup(&in);
    gateway_fixture_write(f, p.browser, answer, sizeof(answer) - 1);
    gateway_fixture_expect(f, p.client, &in, sizeof(answer) - 1);
    assert_int_equal(in.len, sizeof(answer) - 1);
    assert_memory_equal(in.data, answer, in.len);
    UNTIL(f, f->clients == clients + 1);
    buf_cleanup(&in);
    buf_cleanup(&request);
    return p;
}

void gateway_fixture_unpair(struct gateway_pair *p)
{
    if (p->client >= 0)
        close(p->client);
    if (p->browser >= 0)
        close(p->browser);
}

void gateway_fixture_frame(struct buf *out, int fin, int opcode, const void *payload, size_t len, int mask)
{
    unsigned char head[14] = {(unsigned char)(fin << 7 | opcode)}, key[4] = {0x11, 0xa2, 0x33, 0xc4};
    size_t n = 2, at;

    head[1] = (unsigned char)(len < 126 ? len : len < 65536 ? 126 : 127);
    for (int i = len < 126 ? 0 : len < 65536 ? 2 : 8; i > 0; i--)
        head[n++] = (unsigned char)(len >> (8 * (i - 1)));
    if (mask) {
        head[1] |= 0x80;
        memcpy(head + n, key, 4);
        n += 4;
    }
    buf_add(out, head, n);
    at = out->len;
    buf_add(out, payload, len);
    for (size_t i = 0; mask && i < len; i++)
        out->data[at + i] = (char)(out->data[at + i] ^ key[i % 4]);
}
