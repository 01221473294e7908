/* http.c: see http.h. */
#include "http.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"

#define CONNECTIONS 10
#define LINE_SIZE   1024

static const char full[] =
    "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
    "{ \"error\": \"Too many open connections\" }";

struct connection {
    struct watch watch;
    struct text in;
    int in_headers, in_body; /* of the request that is read */
    enum http_method method;
    char path[LINE_SIZE];
    size_t length;
};

static struct watch door;
static struct connection *connections[CONNECTIONS];
static size_t limit;
static void (*handler)(const struct http_request *r, struct http_answer *a);

const char *http_method_name(enum http_method method)
{
    static const char *const names[] = {"GET", "PUT", "PATCH", "DELETE"};

    return names[method];
}

static void drop(struct connection *c)
{
    int fd = c->watch.fd;

    for (int i = 0; i < CONNECTIONS; i++)
        if (connections[i] == c)
            connections[i] = NULL;
    loop_remove(&c->watch);
    close(fd);
    text_clear(&c->in);
    free(c);
}

/* The answers are short: a client that does not take one has gone. */
static void put(struct connection *c, const struct text *t)
{
    if (send(c->watch.fd, t->data, t->len, MSG_NOSIGNAL) != (ssize_t)t->len)
        shutdown(c->watch.fd, SHUT_RDWR);
}

static void answer(struct connection *c, int status, const char *body, int deprecated)
{
    struct text t = {0};

    text_addf(&t, "HTTP/1.1 %d \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n%s", status,
              deprecated ? "Deprecation: true\r\n" : "");
    if (status != 100 && status != 204)
        text_addf(&t, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    text_addf(&t, "\r\n%s", body);
    put(c, &t);
    text_clear(&t);
}

/* No request: said so, and what else was read is forgotten. */
static void refuse(struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void refuse(struct connection *c, const char *format, ...)
{
    struct text t = {0};
    char why[400];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    text_addf(&t, "{ \"error\": \"%s\nAll previous unanswered requests will be dropped.\" }", why);
    answer(c, 400, t.data, 0);
    text_clear(&t);
    text_clear(&c->in);
    c->in_headers = c->in_body = 0;
}

static int take_request_line(struct connection *c, char *line)
{
    char *uri = strchr(line, ' '), *version = uri ? strchr(uri + 1, ' ') : NULL, *query;
    int m;

    if (!version) {
        refuse(c, "Invalid request.");
        return -1;
    }
    *uri++ = *version++ = '\0';
    for (m = HTTP_GET; m <= HTTP_DELETE && strcmp(line, http_method_name((enum http_method)m)) != 0; m++)
        ;
    if (m > HTTP_DELETE) {
        refuse(c, "Invalid HTTP Method: Unsupported HTTP method.");
        return -1;
    }
    if (!*uri) {
        refuse(c, "Invalid URI: Empty URI not allowed.");
        return -1;
    }
    if (strcmp(version, "HTTP/1.0") != 0 && strcmp(version, "HTTP/1.1") != 0) {
        refuse(c, "Invalid HTTP Version: Unsupported HTTP version.");
        return -1;
    }
    if (strncmp(uri, "http://", 7) == 0) {
        query = strchr(uri + 7, '/');
        uri = query ? query : strchr(uri, '\0');
    }
    c->method = (enum http_method)m;
    snprintf(c->path, sizeof(c->path), "%s", *uri == '/' ? uri : "");
    c->length = 0;
    c->in_headers = 1;
    return 0;
}

/* A header, or the empty line behind them. */
static int take_header(struct connection *c, char *line)
{
    char *value = strchr(line, ':'), *end;
    unsigned long n;

    if (!*line) {
        if (c->length > limit) {
            refuse(c, "Request payload with size %zu is larger than the limit of %zu allowed by server.",
                   c->length, limit);
            return -1;
        }
        c->in_headers = 0;
        c->in_body = 1;
        return 0;
    }
    if (!value) {
        refuse(c, "Invalid header. Reason: Header is incorrectly formatted. Key: %.200s", line);
        return -1;
    }
    *value++ = '\0';
    if (strcasecmp(line, "content-length") == 0) {
        n = strtoul(value + strspn(value, " "), &end, 10);
        if (end == value + strspn(value, " ") || end[strspn(end, " ")]) {
            refuse(c, "Invalid header. Reason: Invalid value. Key:%.100s; Value:%.100s", line, value);
            return -1;
        }
        c->length = n;
    } else if (strcasecmp(line, "expect") == 0 && strstr(value, "100-continue")) {
        answer(c, 100, "", 0);
    }
    return 0;
}

/* The whole request is there. 0, or -1: the connection is gone. */
static int serve(struct connection *c)
{
    struct http_request r = {c->method, c->path, c->length ? c->in.data : NULL, c->length};
    struct http_answer a = {.status = 204};

    handler(&r, &a);
    c->in_body = 0;
    if (a.then == HTTP_EXIT && a.status == 0)
        _exit(a.exit_code);
    if (a.then == HTTP_HANG) { /* the thread that reads requests waits for an answer that does not come */
        loop_remove(&door);
        for (int i = 0; i < CONNECTIONS; i++)
            if (connections[i])
                loop_remove(&connections[i]->watch);
        return -1;
    }
    if (a.then == HTTP_CLOSE) {
        drop(c);
        return -1;
    }
    answer(c, a.status, a.body.data ? a.body.data : "", a.deprecated);
    text_clear(&a.body);
    if (a.then == HTTP_EXIT) {
        if (a.goodbye)
            printf("%s\nFirecracker exiting with error. exit_code=%d\n", a.goodbye, a.exit_code);
        fflush(stdout);
        _exit(a.exit_code);
    }
    if (c->length)
        text_drop(&c->in, c->length);
    return 0;
}

/* Takes what is there of a request. 1: went on, 0: more is needed, -1: the connection is gone. */
static int step(struct connection *c)
{
    char *end;
    int result;

    if (c->in_body)
        return c->in.len < c->length ? 0 : serve(c) == 0 ? 1 : -1;
    end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n", 2) : NULL;
    if (!end || end - c->in.data > LINE_SIZE) {
        if (c->in.len <= LINE_SIZE)
            return 0;
        refuse(c, c->in_headers ? "Invalid header. Reason: Invalid content length. Header: too long"
                                : "Invalid request.");
        return 0;
    }
    *end = '\0';
    result = c->in_headers ? take_header(c, c->in.data) : take_request_line(c, c->in.data);
    if (result == 0)
        text_drop(&c->in, (size_t)(end + 2 - c->in.data));
    return result == 0;
}

static void on_ready(struct watch *w, short events)
{
    struct connection *c = w->arg;
    char part[4096];
    ssize_t n = recv(w->fd, part, sizeof(part), 0);
    int result;

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    text_add(&c->in, part, (size_t)n);
    do
        result = step(c);
    while (result > 0);
}

static void on_door(struct watch *w, short events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c;

    (void)events;
    if (fd < 0)
        return;
    for (int i = 0; i < CONNECTIONS; i++)
        if (!connections[i]) {
            connections[i] = c = calloc(1, sizeof(*c));
            c->watch = (struct watch){.fd = -1, .on_ready = on_ready, .arg = c};
            loop_add(&c->watch, fd, POLLIN);
            return;
        }
    (void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
    close(fd);
}

int http_open(const char *path, size_t body_max,
              void (*handle)(const struct http_request *r, struct http_answer *a))
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    limit = body_max;
    handler = handle;
    if (strlen(path) >= sizeof(at.sun_path)) {
        errno = EINVAL;
        return -1;
    }
    strcpy(at.sun_path, path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 128) != 0)
        return -1;
    door = (struct watch){.fd = -1, .on_ready = on_door};
    loop_add(&door, fd, POLLIN);
    return 0;
}
