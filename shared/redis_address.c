/* redis_address.c: where Redis is: parses the URL, opens the socket. Messages never hold the URL, as it may
 * have a password. */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mem.h"
#include "redis_conn.h"

#define DB_MAX 99999

struct redis_address {
    char *path; /* of the unix socket, else NULL */
    char *host;
    char port[6];
    char *user, *password; /* NULL where there is none */
    int db;
    char *text;
};

void redis_address_free(struct redis_address *a)
{
    if (!a)
        return;
    free(a->path);
    free(a->host);
    free(a->user);
    free(a->password);
    free(a->text);
    free(a);
}

/* ---- URL ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A percent-decoded copy; NULL if an escape is malformed or stands for NUL. */
static char *decode(const char *s, size_t len)
{
    char *out = mem_alloc(len + 1), *o = out;

    for (size_t i = 0; i < len; i++) {
        int high, low;
        if (s[i] != '%') {
            *o++ = s[i];
            continue;
        }
        high = len - i > 2 ? hex_digit(s[i + 1]) : -1;
        low = len - i > 2 ? hex_digit(s[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) {
            free(out);
            return NULL;
        }
        *o++ = (char)(high << 4 | low);
        i += 2;
    }
    return out;
}

/* Digits only, at most max; -1 otherwise. */
static int parse_number(const char *s, size_t len, int max)
{
    int n = 0;

    if (len == 0 || len > 6)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        n = n * 10 + (s[i] - '0');
    }
    return n <= max ? n : -1;
}

/* "user:password", ":password", or "user" alone, which then is the password as redis-cli -u has it. */
static const char *parse_userinfo(struct redis_address *a, const char *s, size_t len)
{
    const char *colon = memchr(s, ':', len);
    size_t userlen = colon ? (size_t)(colon - s) : 0;
    const char *password = colon ? colon + 1 : s;

    if (userlen > 0 && !(a->user = decode(s, userlen)))
        return "the user has a bad percent-escape";
    a->password = decode(password, len - (size_t)(password - s));
    return a->password ? NULL : "the password has a bad percent-escape";
}

static const char *parse_host(struct redis_address *a, const char *s, size_t len)
{
    const char *port = NULL, *end = s + len;
    int number = 6379;

    if (len > 0 && *s == '[') {
        const char *close = memchr(s, ']', len);
        if (!close || (close + 1 < end && close[1] != ':'))
            return "the host's brackets are wrong";
        a->host = mem_strndup(s + 1, (size_t)(close - s - 1));
        if (close + 1 < end)
            port = close + 2;
    } else {
        const char *colon = memchr(s, ':', len);
        a->host = mem_strndup(s, colon ? (size_t)(colon - s) : len);
        if (colon)
            port = colon + 1;
    }
    if (!*a->host)
        return "there is no host";
    if (strcspn(a->host, " \t\r\n@/?#%") != strlen(a->host))
        return "the host has a character that no host has";
    if (port && ((number = parse_number(port, (size_t)(end - port), 65535)) <= 0))
        return "the port has to be a number from 1 to 65535";
    snprintf(a->port, sizeof(a->port), "%d", number);
    return NULL;
}

static const char *parse_db(struct redis_address *a, const char *s, size_t len)
{
    a->db = parse_number(s, len, DB_MAX);
    return a->db < 0 ? "the database has to be a number" : NULL;
}

/* What follows "redis://" or "unix://". */
static const char *parse_rest(struct redis_address *a, const char *s, int is_unix)
{
    size_t len = strcspn(s, "?"), authority = strcspn(s, "/?");
    const char *query = s[len] ? s + len + 1 : NULL, *at = memrchr(s, '@', authority), *problem;

    if (at) {
        if ((problem = parse_userinfo(a, s, (size_t)(at - s))))
            return problem;
        authority -= (size_t)(at + 1 - s);
        len -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    if (is_unix) {
        if (authority != 0 || len < 2)
            return "unix:// needs an absolute path: unix:///path";
        if (!(a->path = decode(s, len)))
            return "the path has a bad percent-escape";
        if (strlen(a->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return "the path of the socket is too long";
    } else {
        if ((problem = parse_host(a, s, authority)))
            return problem;
        if (len > authority + 1 && (problem = parse_db(a, s + authority + 1, len - authority - 1)))
            return problem;
    }
    if (!query)
        return NULL;
    if (strncmp(query, "db=", 3) != 0)
        return "the only parameter known is db";
    return parse_db(a, query + 3, strlen(query + 3));
}

struct redis_address *redis_address_parse(const char *url, char *err, size_t errlen)
{
    struct redis_address *a = mem_alloc(sizeof(*a));
    const char *problem;

    if (strncmp(url, "redis://", 8) == 0)
        problem = parse_rest(a, url + 8, 0);
    else if (strncmp(url, "unix://", 7) == 0)
        problem = parse_rest(a, url + 7, 1);
    else if (strncmp(url, "rediss://", 9) == 0)
        problem = "TLS is not spoken here: use a tunnel";
    else
        problem = "expected redis://host:port/db or unix:///path?db=N";
    if (problem) {
        snprintf(err, errlen, "%s", problem);
        redis_address_free(a);
        return NULL;
    }
    if (a->path)
        a->text = mem_printf("unix:%s/%d", a->path, a->db);
    else
        a->text = mem_printf(strchr(a->host, ':') ? "[%s]:%s/%d" : "%s:%s/%d", a->host, a->port, a->db);
    return a;
}

const char *redis_address_text(const struct redis_address *a)
{
    return a->text;
}

const char *redis_address_user(const struct redis_address *a)
{
    return a->user;
}

const char *redis_address_password(const struct redis_address *a)
{
    return a->password;
}

int redis_address_db(const struct redis_address *a)
{
    return a->db;
}

/* ---- socket ---- */

/* Closes the socket and returns -1 with the reason in why, unless the connection is made or under way. */
static int connect_to(int fd, const struct sockaddr *to, socklen_t len, char *why, size_t n)
{
    if (fd >= 0 && (connect(fd, to, len) == 0 || errno == EINPROGRESS))
        return fd;
    snprintf(why, n, "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A peer whose host died without a word is noticed after half a minute, even with no command on its way. */
static void set_tcp_options(int fd)
{
    int on = 1, idle = 15, interval = 5, probes = 3, unacknowledged_ms = 30000;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}

static int connect_tcp(const struct redis_address *a, unsigned attempt, char *why, size_t n)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list, *one;
    unsigned count = 0;
    int e, fd;

    e = getaddrinfo(a->host, a->port, &hints, &list);
    if (e) {
        snprintf(why, n, "%s: %s", a->host, gai_strerror(e));
        return -1;
    }
    assert(list);
    for (one = list; one; one = one->ai_next)
        count++;
    one = list;
    for (unsigned i = attempt % count; i > 0; i--)
        one = one->ai_next;
    fd = socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fd = connect_to(fd, one->ai_addr, one->ai_addrlen, why, n);
    freeaddrinfo(list);
    if (fd >= 0)
        set_tcp_options(fd);
    return fd;
}

int redis_address_connect(const struct redis_address *a, unsigned attempt, char *why, size_t n)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (!a->path)
        return connect_tcp(a, attempt, why, n);
    memcpy(to.sun_path, a->path, strlen(a->path));
    return connect_to(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), (struct sockaddr *)&to,
                      sizeof(to), why, n);
}
