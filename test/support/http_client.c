/* http_client.c: see http_client.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_client.h"
#include "http_fixture.h"

void http_client_connect(struct http_client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)http_server_port(http_fixture.server)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    *c = (struct http_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

void http_client_close(struct http_client *c)
{
    close(c->fd);
    buf_cleanup(&c->got);
}

void http_client_reset(struct http_client *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    http_client_close(c);
}

void http_client_read(struct http_client *c)
{
    char data[65536];
    ssize_t n = 1;

    while (!c->eof && n > 0) {
        n = recv(c->fd, data, sizeof(data), 0);
        if (n > 0)
            buf_add(&c->got, data, (size_t)n);
        else if (n == 0)
            c->eof = 1;
        else if (errno != EAGAIN)
            c->eof = -1;
    }
}

void http_client_send(struct http_client *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            http_fixture_turn();
            continue;
        }
        if (n < 0) /* refused early: the server need not read the rest */
            return;
        data += n;
        len -= (size_t)n;
    }
}

void http_client_say(struct http_client *c, const char *text)
{
    http_client_send(c, text, strlen(text));
}

/* Length of the complete reply that text begins with, 0 if it is not complete; status in *status. */
static size_t reply_length(const char *text, int *status, int head_only)
{
    const char *end = text ? strstr(text, "\r\n\r\n") : NULL, *length;
    size_t len;

    if (!end || sscanf(text, "HTTP/1.1 %d ", status) != 1)
        return 0;
    len = (size_t)(end + 4 - text);
    length = strcasestr(text, "\r\nContent-Length: ");
    if (length && length < end && !head_only)
        len += (size_t)atol(length + 18);
    return strlen(text) >= len ? len : 0;
}

int http_client_replies(struct http_client *c, char *statuses, size_t size)
{
    size_t at = 0, len;
    int n = 0, status;

    http_client_read(c);
    if (statuses)
        *statuses = '\0';
    while (c->got.data && (len = reply_length(c->got.data + at, &status, 0)) > 0) {
        if (statuses)
            snprintf(statuses + strlen(statuses), size - strlen(statuses), n ? " %d" : "%d", status);
        at += len;
        n++;
    }
    return n;
}

int http_client_ended(struct http_client *c)
{
    http_client_read(c);
    return c->eof;
}

int http_client_got(struct http_client *c, const char *text)
{
    http_client_read(c);
    return c->got.data && strstr(c->got.data, text) != NULL;
}
