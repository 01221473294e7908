/* cdp.c: see cdp.h. */
#include "cdp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../warmup_page.h"
#include "guard.h"
#include "processes.h"

#define ID_MAX      64
#define MESSAGE_MAX 65536
#define LIMIT_S     120 /* the first answer of a cold browser without hardware help */
#define KILL_MS     30000
#define LOOK_US     10000 /* between two looks: whether a death was noticed, whether a renderer is there */
#define LOOKS_MAX   6000

struct cdp {
    int fd, id;
    char session[ID_MAX], loaded[ID_MAX]; /* loaded: loader of the document that has loaded last */
    char gone[ID_MAX];                    /* the target that was destroyed last */
    const char *doing;
    char message[MESSAGE_MAX + 1];
};

static int connect_browser(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(CDP_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = LIMIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int send_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int read_all(int fd, void *out, size_t size)
{
    return size == 0 || recv(fd, out, size, MSG_WAITALL) == (ssize_t)size ? 0 : -1;
}

/* ---- WebSocket ---- */

/* The key and the mask are fixed: both ends are this machine's own, and no proxy is between them. */
static int handshake(struct cdp *c, const char *path)
{
    char request[512];
    size_t used = 0;
    int n = snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: "
                     "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                     "YmVydGgtZ3Vlc3QtaW5pdA==\r\n\r\n",
                     path, CDP_PORT);

    if (n < 0 || (size_t)n >= sizeof(request) || send_all(c->fd, request, (size_t)n) != 0)
        return -1;
    while (used < MESSAGE_MAX && read_all(c->fd, c->message + used, 1) == 0) {
        c->message[++used] = '\0';
        if (used >= 4 && !strcmp(c->message + used - 4, "\r\n\r\n"))
            return strncmp(c->message, "HTTP/1.1 101", 12) ? -1 : 0;
    }
    return -1;
}

static int send_text(struct cdp *c, const char *text)
{
    size_t length = strlen(text);
    unsigned char head[8] = {0x81, 0x80 | 126, (unsigned char)(length >> 8), (unsigned char)length};

    return length > 0xffff || send_all(c->fd, head, 8) != 0 ? -1 : send_all(c->fd, text, length);
}

/* One message into c->message; what does not fit is cut off. */
static int read_message(struct cdp *c)
{
    unsigned char head[10];
    uint64_t length;
    char rest[4096];

    if (read_all(c->fd, head, 2) != 0 || (head[0] != 0x81 && head[0] != 0x88) || (head[1] & 0x80))
        return -1;
    length = head[1];
    if (length >= 126) {
        int size = length == 126 ? 2 : 8;
        if (read_all(c->fd, head + 2, (size_t)size) != 0)
            return -1;
        length = 0;
        for (int i = 0; i < size; i++)
            length = length << 8 | head[2 + i];
    }
    size_t kept = length < MESSAGE_MAX ? (size_t)length : MESSAGE_MAX;
    if (read_all(c->fd, c->message, kept) != 0)
        return -1;
    c->message[kept] = '\0';
    for (length -= kept; length > 0;) {
        size_t n = length < sizeof(rest) ? (size_t)length : sizeof(rest);
        if (read_all(c->fd, rest, n) != 0)
            return -1;
        length -= n;
    }
    return head[0] == 0x88 ? -1 : 0;
}

/* ---- CDP ---- */

/* The string after the first "key":" at or after from. 0, or -1. */
static int find_string(const char *from, const char *key, char out[ID_MAX])
{
    char pattern[48];
    const char *at;
    size_t n;

    snprintf(pattern, sizeof(pattern), "\"%s\":\"", key);
    at = strstr(from, pattern);
    if (!at)
        return -1;
    at += strlen(pattern);
    n = strcspn(at, "\"");
    if (n >= ID_MAX || at[n] != '"')
        return -1;
    memcpy(out, at, n);
    out[n] = '\0';
    return 0;
}

static int next_message(struct cdp *c)
{
    if (read_message(c) != 0)
        return -1;
    if (strstr(c->message, "\"method\":\"Page.lifecycleEvent\"") && strstr(c->message, "\"name\":\"load\""))
        return find_string(c->message, "loaderId", c->loaded);
    if (strstr(c->message, "\"method\":\"Target.targetDestroyed\""))
        return find_string(c->message, "targetId", c->gone);
    return 0;
}

/* params: with its braces. The answer is in c->message. 0, or -1: no answer, or an error. */
static int call(struct cdp *c, const char *method, const char *params)
{
    char text[MESSAGE_MAX / 4], begin[32];
    int n;

    c->doing = method;
    c->id++;
    n = snprintf(text, sizeof(text), "{\"id\":%d,\"method\":\"%s\",\"params\":%s%s%s%s}", c->id, method,
                 params, c->session[0] ? ",\"sessionId\":\"" : "", c->session, c->session[0] ? "\"" : "");
    snprintf(begin, sizeof(begin), "{\"id\":%d,", c->id);
    if (n < 0 || (size_t)n >= sizeof(text) || send_text(c, text) != 0)
        return -1;
    do {
        if (next_message(c) != 0)
            return -1;
    } while (strncmp(c->message, begin, strlen(begin)) != 0);
    return strncmp(c->message + strlen(begin), "\"error\"", 7) ? 0 : -1;
}

/* As a JSON string; text has no control characters. */
static void quote(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; *text && n + 3 < size; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text;
    }
    out[n] = '\0';
}

static struct cdp *cdp_open(const char *path)
{
    struct cdp *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->doing = "connecting";
    c->fd = connect_browser();
    if (c->fd >= 0 && handshake(c, path) == 0)
        return c;
    if (c->fd >= 0)
        close(c->fd);
    free(c);
    return NULL;
}

/* Until the browser has closed its end too: nothing of the connection is left for a snapshot. */
static void cdp_close(struct cdp *c)
{
    static const unsigned char bye[6] = {0x88, 0x80};

    if (send_all(c->fd, bye, sizeof(bye)) == 0 && shutdown(c->fd, SHUT_WR) == 0)
        while (recv(c->fd, c->message, MESSAGE_MAX, 0) > 0)
            ;
    close(c->fd);
    free(c);
}

static int find_page(struct cdp *c, char target[ID_MAX])
{
    const char *at, *page;

    if (call(c, "Target.getTargets", "{}") != 0)
        return -1;
    page = strstr(c->message, "\",\"type\":\"page\"");
    for (at = page; at && at > c->message && *(at - 1) != '"';)
        at--;
    if (!at || page - at >= ID_MAX)
        return -1;
    memcpy(target, at, (size_t)(page - at));
    target[page - at] = '\0';
    return 0;
}

/* What clients begin with: its code and data are there in every clone. */
static int greet(struct cdp *c)
{
    static const char attach[] = "{\"autoAttach\":%s,\"waitForDebuggerOnStart\":false,\"flatten\":true}";
    char on[96], off[96];

    snprintf(on, sizeof(on), attach, "true");
    snprintf(off, sizeof(off), attach, "false");
    if (call(c, "Browser.getVersion", "{}") != 0 || call(c, "Target.getBrowserContexts", "{}") != 0 ||
        call(c, "Target.setDiscoverTargets", "{\"discover\":true}") != 0 ||
        call(c, "Target.setAutoAttach", on) != 0)
        return -1;
    return call(c, "Target.setAutoAttach", off);
}

static int warm(struct cdp *c)
{
    char params[MESSAGE_MAX / 8], html[MESSAGE_MAX / 8 - 256], target[ID_MAX], frame[ID_MAX], loader[ID_MAX];

    if (greet(c) != 0 || find_page(c, target) != 0)
        return -1;
    snprintf(params, sizeof(params), "{\"targetId\":\"%s\",\"flatten\":true}", target);
    if (call(c, "Target.attachToTarget", params) != 0 || find_string(c->message, "sessionId", loader) != 0 ||
        call(c, "Storage.getCookies", "{}") != 0)
        return -1;
    strcpy(c->session, loader);
    if (call(c, "Page.enable", "{}") != 0 ||
        call(c, "Page.setLifecycleEventsEnabled", "{\"enabled\":true}") != 0 ||
        call(c, "Page.getFrameTree", "{}") != 0 || find_string(c->message, "id", frame) != 0)
        return -1;
    quote(warmup_page, html, sizeof(html));
    snprintf(params, sizeof(params), "{\"frameId\":\"%s\",\"html\":\"%s\"}", frame, html);
    if (call(c, "Page.setDocumentContent", params) != 0 ||
        call(c, "Runtime.evaluate",
             "{\"awaitPromise\":true,\"expression\":"
             "\"new Promise(r=>requestAnimationFrame(()=>requestAnimationFrame(()=>r(1))))\"}") != 0 ||
        call(c, "Page.navigate", "{\"url\":\"about:blank\"}") != 0 ||
        find_string(c->message, "loaderId", loader) != 0)
        return -1;
    while (strcmp(c->loaded, loader) != 0)
        if (next_message(c) != 0)
            return -1;
    return call(c, "Page.resetNavigationHistory", "{}");
}

/* ---- a page that no snapshot has seen ---- */

static int failed(struct cdp *c, const char *what)
{
    c->doing = what;
    snprintf(c->message, sizeof(c->message), "%s", strerror(errno));
    return -1;
}

/* Until the browser itself knows that these renderers are dead: it would put a page into one otherwise. */
static int forget_renderers(struct cdp *c, const struct guard *g)
{
    static const char id[] = "\"id\":";

    for (int i = 0, known = 1; known; i++) {
        if (i > 0)
            usleep(LOOK_US);
        if (i == LOOKS_MAX || call(c, "SystemInfo.getProcessInfo", "{}") != 0)
            return -1;
        known = 0;
        /* From behind the answer's own id. */
        for (const char *at = strstr(c->message + 2, id); at; at = strstr(at + 1, id))
            known |= guard_has(g, (pid_t)atoi(at + strlen(id)));
    }
    return 0;
}

/* A page in place of the one that is there. All renderers are dead by now, so it gets a new one. */
static int replace_page(struct cdp *c)
{
    char params[128], old[ID_MAX];

    if (find_page(c, old) != 0 || call(c, "Target.setDiscoverTargets", "{\"discover\":true}") != 0 ||
        call(c, "Target.createTarget", "{\"url\":\"about:blank\"}") != 0)
        return -1;
    snprintf(params, sizeof(params), "{\"targetId\":\"%s\"}", old);
    if (call(c, "Target.closeTarget", params) != 0)
        return -1;
    while (strcmp(c->gone, old) != 0) /* a client must not meet it */
        if (next_message(c) != 0)
            return -1;
    return 0;
}

static int renew(struct cdp *c)
{
    struct guard then, now = {0};

    if (guard_look(PROCESSES_PROC, &then) != 0)
        return failed(c, "looking for renderers");
    if (guard_kill(PROCESSES_PROC, &then, KILL_MS) != 0)
        return failed(c, "ending renderers");
    if (forget_renderers(c, &then) != 0 || replace_page(c) != 0)
        return -1;
    for (int i = 0; now.count == 0; i++) { /* it is forked, and gets its name then */
        if (i > 0)
            usleep(LOOK_US);
        errno = ETIMEDOUT;
        if (i == LOOKS_MAX || guard_look(PROCESSES_PROC, &now) != 0)
            return failed(c, "the new page has no renderer");
    }
    errno = EBUSY;
    return guard_left(&then, &now) == 0 ? 0 : failed(c, "a renderer outlived its end");
}

static int with_browser(const char *path, int (*work)(struct cdp *c), char *why, unsigned long size)
{
    struct cdp *c = cdp_open(path);
    int result;

    if (!c) {
        snprintf(why, size, "no connection to the browser: %s", strerror(errno));
        return -1;
    }
    result = work(c);
    if (result != 0)
        snprintf(why, size, "%s: %.80s", c->doing, c->message);
    cdp_close(c);
    return result;
}

int cdp_warm(const char *path, char *why, unsigned long size)
{
    return with_browser(path, warm, why, size) != 0 ? -1 : cdp_answered(cdp_ask(), why, size);
}

int cdp_renew(const char *path, char *why, unsigned long size)
{
    return with_browser(path, renew, why, size);
}

int cdp_ask(void)
{
    static const char request[] =
        "GET /json/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    int fd = connect_browser();

    if (fd >= 0 && send_all(fd, request, sizeof(request) - 1) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int cdp_answered(int fd, char *why, unsigned long size)
{
    static const char ok[] = "HTTP/1.1 200";
    char answer[2048];
    ssize_t n = fd >= 0 ? recv(fd, answer, sizeof(answer), 0) : -1;

    if (n < 0)
        snprintf(why, size, "the browser does not answer: %s", strerror(errno));
    else if (n < (ssize_t)sizeof(ok) - 1 || strncmp(answer, ok, sizeof(ok) - 1) != 0)
        snprintf(why, size, "the browser does not answer HTTP 200");
    else
        why = NULL;
    if (fd >= 0)
        close(fd);
    return why ? -1 : 0;
}
