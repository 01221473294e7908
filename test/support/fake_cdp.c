/* fake_cdp.c: see fake_cdp.h. */
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

#include "fake_cdp.h"
#include "shared/clock.h"
#include "shared/ws.h"

#define PATIENCE_MS 90000

static double waiting_since;

static void on_guard_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events;
}

void fake_cdp_init(struct fake_cdp *c)
{
    int fds[2];

    memset(c, 0, sizeof(*c));
    c->loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&c->guard, on_guard_timer, 0.005, 0.005);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    c->client_fd = fds[0];
    c->fd = fds[1];
}

void fake_cdp_cleanup(struct fake_cdp *c)
{
    fake_cdp_hang_up(c);
    buf_cleanup(&c->in);
    ev_timer_stop(c->loop, &c->guard);
    ev_loop_destroy(c->loop);
}

void fake_cdp_wait_begin(struct fake_cdp *c)
{
    ev_timer_again(c->loop, &c->guard);
    waiting_since = clock_mono_ms();
}

void fake_cdp_wait_step(struct fake_cdp *c, const char *condition, const char *file, int line)
{
    if (clock_mono_ms() - waiting_since > PATIENCE_MS) {
        print_error("waited in vain for: %s\n", condition);
        _fail(file, line);
    }
    ev_run(c->loop, EVRUN_ONCE);
}

/* 0 when the client has closed. */
static int read_more(struct fake_cdp *c)
{
    char chunk[65536];
    ssize_t n;

    while ((n = recv(c->fd, chunk, sizeof(chunk), 0)) > 0)
        buf_add(&c->in, chunk, (size_t)n);
    return n < 0 && errno == EAGAIN;
}

void fake_cdp_refuse(struct fake_cdp *c, const char *text)
{
    UNTIL(c, read_more(c) && c->in.data && strstr(c->in.data, "\r\n\r\n"));
    buf_consume(&c->in, c->in.len);
    fake_cdp_send_raw(c, text, strlen(text));
}

void fake_cdp_accept(struct fake_cdp *c, const char *behind)
{
    struct buf answer = {0};
    char key[32] = "", accept[29];
    const char *at;

    UNTIL(c, read_more(c) && c->in.data && strstr(c->in.data, "\r\n\r\n"));
    assert_non_null(strstr(c->in.data, "\r\nHost: localhost\r\n"));
    at = strstr(c->in.data, "Sec-WebSocket-Key: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "Sec-WebSocket-Key: %31s", key), 1);
    assert_int_equal(strlen(key), 24);
    ws_accept_key(key, accept);
    buf_consume(&c->in, c->in.len);
    buf_addf(&answer,
             "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    if (behind) {
        char head[2] = {(char)0x81, (char)strlen(behind)};
        buf_add(&answer, head, 2);
        buf_adds(&answer, behind);
    }
    fake_cdp_send_raw(c, answer.data, answer.len);
    buf_cleanup(&answer);
}

void fake_cdp_send_raw(struct fake_cdp *c, const void *data, size_t len)
{
    size_t done = 0;

    fake_cdp_wait_begin(c);
    while (done < len) {
        ssize_t n = send(c->fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            fake_cdp_wait_step(c, "written", __FILE__, __LINE__);
        else
            return; /* the client has gone, as some tests want */
    }
}

void fake_cdp_send(struct fake_cdp *c, const char *fmt, ...)
{
    unsigned char head[10] = {0x81, 127};
    char *text = NULL;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vasprintf(&text, fmt, ap);
    va_end(ap);
    assert_true(len >= 0);
    for (int i = 0; i < 4; i++)
        head[6 + i] = (unsigned char)(len >> (24 - 8 * i));
    if (len < 65536) {
        head[1] = (unsigned char)(len < 126 ? len : 126);
        memcpy(head + 2, head + 8, 2);
    }
    fake_cdp_send_raw(c, head, len < 126 ? 2 : len < 65536 ? 4 : 10);
    fake_cdp_send_raw(c, text, (size_t)len);
    free(text);
}

char *fake_cdp_receive(struct fake_cdp *c, int *opcode)
{
    unsigned char *p;
    size_t head, len = 0;
    char *text;
    int open = 1;

    UNTIL(c, c->in.len >= 2 || !(open = read_more(c)));
    if (!open && c->in.len < 2)
        return NULL;
    p = (unsigned char *)c->in.data;
    assert_true(p[1] & 0x80); /* a client masks */
    len = p[1] & 0x7f;
    head = 2 + (len == 126 ? 2U : len == 127 ? 8U : 0U);
    UNTIL(c, c->in.len >= head + 4 || !read_more(c));
    p = (unsigned char *)c->in.data;
    if (head > 2)
        for (size_t i = len = 0; i < head - 2; i++)
            len = len << 8 | p[2 + i];
    UNTIL(c, c->in.len >= head + 4 + len || !read_more(c));
    assert_true(c->in.len >= head + 4 + len);
    p = (unsigned char *)c->in.data;
    text = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(p[head + 4 + i] ^ p[head + i % 4]);
    text[len] = 0;
    if (opcode)
        *opcode = p[0] & 0x0f;
    buf_consume(&c->in, head + 4 + len);
    return text;
}

void fake_cdp_hang_up(struct fake_cdp *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}
