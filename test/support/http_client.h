/* http_client.h: a client of the server under test (http_fixture.h): raw bytes over a non-blocking socket. */
#ifndef BERTH_TEST_HTTP_CLIENT_H
#define BERTH_TEST_HTTP_CLIENT_H
#include <stddef.h>

#include "shared/buf.h"

/* What most of them say. */
#define GET        "GET /now HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD(line) line " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST       "POST /now HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED    POST "Transfer-Encoding: chunked\r\n\r\n"
#define X100                                                                                                 \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X500  X100 X100 X100 X100 X100
#define X2000 X500 X500 X500 X500

struct http_client {
    int fd;
    struct buf got;
    int eof; /* 1: closed in order, -1: reset */
};

void http_client_connect(struct http_client *c);
void http_client_close(struct http_client *c);
void http_client_reset(struct http_client *c); /* closes with a RST */
/* Sends all of it, turning the loop where it must; less if the server has closed. */
void http_client_send(struct http_client *c, const char *data, size_t len);
void http_client_say(struct http_client *c, const char *text);
/* Takes what has come. */
void http_client_read(struct http_client *c);
int http_client_ended(struct http_client *c);
int http_client_got(struct http_client *c, const char *text);
/* Complete replies that have come; their statuses as "200 404" in statuses (may be NULL). */
int http_client_replies(struct http_client *c, char *statuses, size_t size);

#endif
