/* http.c: a whole connection of the HTTP server on any bytes, in two ways: at once and in pieces.
 *
 * The first byte is the size of the pieces. Both ways have to see the same requests and give the same
 * replies, each reply has to be well-formed, and nothing may be left waiting. Handlers answer at once, later,
 * or upgrade, by path. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/http_internal.h"
#include "shared/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ev_loop *loop;
static struct http_server *server;
static struct http_exchange *waiting;
static int n_requests, n_upgraded, n_gone, n_done, had_head;
static struct buf seen;

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)user;
    require(x == waiting, "the exchange that went away is the one that waits");
    waiting = NULL;
    n_gone++;
}

static void on_request(void *arg, struct http_exchange *x)
{
    const char *name, *value, *path = http_path(x);
    size_t len;
    const char *body = http_body(x, &len);

    (void)arg;
    n_requests++;
    require(!waiting, "one exchange at a time");
    require(*path == '/' && !strstr(path, "/../") && !strchr(path, '\\'), "a clean path");
    require(len <= server->config.limits.body_bytes, "body limit");
    buf_addf(&seen, "%s %s %s\n", http_method_name(x), path, http_target(x));
    for (size_t i = 0; http_header_at(x, i, &name, &value); i++) {
        require(*name && !strpbrk(name, " \t:\r\n") && !strpbrk(value, "\r\n"), "clean headers");
        require(http_header(x, name) != NULL, "each header is found by its name");
        buf_addf(&seen, "%s: %s\n", name, value);
    }
    buf_add(&seen, body, len);
    http_query(x, "q");
    if (strcmp(path, "/ws") == 0 && http_is_upgrade(x)) {
        struct buf early;
        int fd;
        http_upgrade(x, &fd, &early);
        buf_cleanup(&early);
        close(fd);
        n_upgraded++;
    } else if (strcmp(path, "/later") == 0) {
        http_set_user(x, NULL, on_gone);
        waiting = x;
    } else
        http_reply(x, 200, "text/plain", body, len);
}

static void on_done(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms)
{
    (void)arg, (void)bytes, (void)ms;
    if (http_method(x) == HTTP_METHOD_HEAD)
        had_head = 1;
    require(status >= 200, "a final status");
    n_done++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct http_server_config config = {
        .limits = {.head_bytes = 2048,
                   .target_bytes = 512,
                   .body_bytes = 1024,
                   .request_ms = 60000,
                   .idle_ms = 60000,
                   .write_ms = 60000,
                   .connections = 100},
        .on_request = on_request,
        .on_done = on_done,
    };
    char err[256];

    (void)argc, (void)argv;
    log_init("fuzz", "error", "text");
    loop = ev_loop_new(EVFLAG_AUTO);
    server = http_server_new(loop, "127.0.0.1:0", &config, err, sizeof(err));
    require(server != NULL, "the server starts");
    return 0;
}

static void receive(int fd, struct buf *got)
{
    char data[16384];
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
        buf_add(got, data, (size_t)n);
}

static void turn(int fd, struct buf *got)
{
    for (int i = 0; i < 3; i++) {
        ev_run(loop, EVRUN_NOWAIT);
        if (waiting) {
            struct http_exchange *x = waiting;
            waiting = NULL;
            http_reply(x, 200, NULL, "later", 5);
        }
    }
    receive(fd, got);
}

/* Status line and Content-Length of each reply have to account for every byte. Bodies of HEAD are not there:
 * then it stops. */
static void check_replies(const struct buf *got, struct buf *statuses)
{
    size_t at = 0;

    while (at < got->len) {
        const char *reply = got->data + at, *end = strstr(reply, "\r\n\r\n"),
                   *length = strstr(reply, "\r\nContent-Length: ");
        int status;
        require(sscanf(reply, "HTTP/1.1 %d ", &status) == 1 && end, "a reply begins where the last ended");
        buf_addf(statuses, "%d ", status);
        at += (size_t)(end + 4 - reply);
        if (length && length < end)
            at += (size_t)atol(length + 18);
        require(at <= got->len, "a reply is whole");
    }
}

static void converse(const uint8_t *data, size_t size, size_t step, struct buf *statuses)
{
    struct buf got = {0};
    int pair[2], flags;

    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a socket pair");
    flags = fcntl(pair[0], F_GETFL);
    fcntl(pair[0], F_SETFL, flags | O_NONBLOCK);
    n_requests = n_upgraded = n_gone = n_done = had_head = 0;
    buf_cleanup(&seen);
    http_server_adopt(server, pair[0], "fuzz");
    for (size_t at = 0; at < size; at += step) {
        const size_t n = step < size - at ? step : size - at;
        if (send(pair[1], data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            break; /* the server has closed, and may */
        turn(pair[1], &got);
    }
    turn(pair[1], &got);
    if (!had_head && got.data)
        check_replies(&got, statuses);
    close(pair[1]);
    for (int i = 0; i < 4 && http_server_connections(server) > 0; i++)
        ev_run(loop, EVRUN_NOWAIT);
    require(http_server_connections(server) == 0, "nothing of the connection is left");
    require(!waiting, "no exchange is left");
    require(n_done + n_upgraded + n_gone >= n_requests, "every request was ended");
    buf_cleanup(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    struct buf whole_seen;

    if (size < 2)
        return 0;
    converse(data + 1, size - 1, size, &whole);
    whole_seen = seen;
    seen = (struct buf){0};
    converse(data + 1, size - 1, 1 + (size_t)data[0], &pieces);
    require(whole_seen.len == seen.len &&
                (seen.len == 0 || memcmp(whole_seen.data, seen.data, seen.len) == 0),
            "pieces make no difference to the requests");
    /* "100" depends on what has come already. */
    if (!(whole.data && strstr(whole.data, "100 ")) && !(pieces.data && strstr(pieces.data, "100 ")))
        require(whole.len == pieces.len &&
                    (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0),
                "pieces make no difference to the replies");
    buf_cleanup(&whole);
    buf_cleanup(&pieces);
    buf_cleanup(&whole_seen);
    return 0;
}
