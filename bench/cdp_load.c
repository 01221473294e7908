/* cdp_load.c: CDP clients. Reads WebSocket URLs (ws://A.B.C.D:PORT/PATH, one a line) from standard input,
 * connects to all of them, and then
 *
 *   cdp_load --seconds 5 [--warmup 1] [--method 'Browser.getVersion'] [--params '{}'] [--pad BYTES]
 *
 * sends one command on each connection, and the next when its answer is there: round trips. PAD in the
 * params stands for --pad bytes of x (a big message to the browser). --attach: the command goes to the
 * browser's first page.
 *
 *   cdp_load --idle      keeps the connections and says nothing until standard input, after an empty line,
 * ends
 *
 * Prints `connected`; then `begin` and `end` around the measured time and one line of JSON (times in
 * microseconds). `fair` tells of the connections' numbers of round trips, `jain` is Jain's index: 1 when all
 * got the same. */
/* links: bench/histogram.c */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include "../shared/buf.h"
#include "../shared/clock.h"
#include "../shared/mem.h"
#include "../shared/ws.h"
#include "histogram.h"

#define READ_SIZE 262144
#define URL_MAX   512

struct client {
    int fd, open, is_answer;
    int attaching; /* 1: the targets were asked for, 2: a session with the first page */
    ev_io io;
    struct ws_scan scan;
    struct buf out, head; /* out: the handshake, then the client's own command */
    size_t sent;
    int64_t asked;
    uint64_t trips, bytes;
};

static struct {
    double seconds, warmup;
    const char *method, *params;
    long pad;
    int idle, attach;
} opt = {.seconds = 5, .warmup = 1, .method = "Browser.getVersion", .params = "{}"};

static struct ev_loop *loop;
static struct client *clients;
static int count, opened;
static struct buf command; /* one whole frame */
static int64_t measured_from, measured_to;
static struct histogram latency;
static ev_timer begin_timer, end_timer;
static ev_io input;

static void all_open(void);

static void fail(const char *what)
{
    fprintf(stderr, "cdp_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- sending ---- */

/* A text frame, masked with zeros: as a client's has to be, and nothing to compute. */
static void add_frame(struct buf *out, const struct buf *text)
{
    unsigned char head[14] = {0x80 | WS_OP_TEXT};
    size_t n;

    if (text->len < 126) {
        head[1] = (unsigned char)(0x80 | text->len);
        n = 2;
    } else if (text->len < 65536) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(text->len >> 8);
        head[3] = (unsigned char)text->len;
        n = 4;
    } else {
        head[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++)
            head[2 + i] = (unsigned char)((uint64_t)text->len >> (56 - 8 * i));
        n = 10;
    }
    buf_add(out, head, n + 4);
    buf_add(out, text->data, text->len);
}

/* The command that is repeated, to a session (or the browser itself: ""). */
static void make_command(struct buf *out, const char *session)
{
    const char *pad = strstr(opt.params, "PAD");
    struct buf text = {0};

    buf_addf(&text, "{\"id\":7,\"method\":\"%s\"", opt.method);
    if (*session)
        buf_addf(&text, ",\"sessionId\":\"%s\"", session);
    buf_adds(&text, ",\"params\":");
    buf_add(&text, opt.params, pad ? (size_t)(pad - opt.params) : strlen(opt.params));
    if (pad) {
        buf_reserve(&text, (size_t)opt.pad);
        memset(text.data + text.len, 'x', (size_t)opt.pad);
        text.len += (size_t)opt.pad;
        buf_adds(&text, pad + 3);
    }
    buf_adds(&text, "}");
    add_frame(out, &text);
    buf_cleanup(&text);
}

static void watch(struct client *c, int events)
{
    if ((c->io.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(loop, &c->io);
    ev_io_set(&c->io, c->fd, events);
    ev_io_start(loop, &c->io);
}

static void flush_client(struct client *c)
{
    const struct buf *from = c->open && !c->out.len ? &command : &c->out;

    while (c->sent < from->len) {
        ssize_t n = send(c->fd, from->data + c->sent, from->len - c->sent, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno != EAGAIN)
                fail("send");
            break;
        }
        c->sent += (size_t)n;
    }
    watch(c, c->sent < from->len ? EV_READ | EV_WRITE : EV_READ);
}

static void ask(struct client *c)
{
    c->asked = clock_mono_us();
    c->sent = 0;
    flush_client(c);
}

/* ---- receiving ---- */

static void answered(struct client *c)
{
    int64_t now = clock_mono_us();

    if (c->asked >= measured_from && now < measured_to) {
        histogram_add(&latency, now - c->asked);
        c->trips++;
    }
    if (now < measured_to)
        ask(c);
}

static void send_own(struct client *c, const char *before, const char *text, const char *after)
{
    struct buf message = {0};

    buf_addf(&message, "%s%s%s", before, text, after);
    c->out.len = 0;
    add_frame(&c->out, &message);
    buf_cleanup(&message);
    ask(c);
}

static void is_open(struct client *c)
{
    c->open = 1;
    if (++opened == count)
        all_open();
}

/* The answer to a command of attaching: the next one. */
static void attach(struct client *c)
{
    const char *at = strstr(c->head.data, c->attaching == 1 ? "\"targetId\":\"" : "\"sessionId\":\"");
    char id[64];

    if (!at || sscanf(strchr(at, ':') + 2, "%63[^\"]", id) != 1)
        fail("attach");
    if (c->attaching++ == 1) {
        send_own(c, "{\"id\":2,\"method\":\"Target.attachToTarget\",\"params\":{\"targetId\":\"", id,
                 "\",\"flatten\":true}}");
        return;
    }
    c->attaching = 0;
    c->out.len = 0;
    make_command(&c->out, id);
    is_open(c);
}

/* A frame that begins with {"id": is the answer, anything else an event. */
static void take_frames(struct client *c, const char *data, size_t len)
{
    while (len > 0) {
        struct ws_piece piece;
        uint64_t payload_left = c->scan.left;
        long n = ws_scan_next(&c->scan, (const uint8_t *)data, len, &piece);

        if (n <= 0)
            fail("frames");
        if (payload_left && (c->head.len < 6 || c->attaching))
            buf_add(&c->head, data, (size_t)n < 6 || c->attaching ? (size_t)n : 6);
        if (clock_mono_us() >= measured_from)
            c->bytes += (uint64_t)n;
        data += n;
        len -= (size_t)n;
        if (!piece.ends)
            continue;
        if (c->scan.opcode == WS_OP_CLOSE)
            fail("the connection was closed");
        if (c->head.len >= 6 && strncmp(c->head.data, "{\"id\":", 6) == 0)
            c->is_answer = 1;
        if (c->is_answer && c->scan.fin) {
            c->is_answer = 0;
            if (c->attaching)
                attach(c);
            else
                answered(c);
        }
        c->head.len = 0;
    }
}

static void on_begin(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l;
    (void)w;
    (void)revents;
    puts("begin");
    fflush(stdout);
}

static void on_end(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)w;
    (void)revents;
    puts("end");
    fflush(stdout);
    ev_break(l, EVBREAK_ALL);
}

static void on_input(struct ev_loop *l, ev_io *w, int revents)
{
    char some[64];

    (void)w;
    (void)revents;
    if (read(0, some, sizeof(some)) <= 0)
        ev_break(l, EVBREAK_ALL);
}

static void all_open(void)
{
    int64_t now = clock_mono_us();

    puts("connected");
    fflush(stdout);
    if (opt.idle) {
        ev_io_init(&input, on_input, 0, EV_READ);
        ev_io_start(loop, &input);
        return;
    }
    measured_from = now + (int64_t)(opt.warmup * 1e6);
    measured_to = measured_from + (int64_t)(opt.seconds * 1e6);
    ev_now_update(loop);
    ev_timer_init(&begin_timer, on_begin, opt.warmup, 0);
    ev_timer_start(loop, &begin_timer);
    ev_timer_init(&end_timer, on_end, opt.warmup + opt.seconds, 0);
    ev_timer_start(loop, &end_timer);
    for (int i = 0; i < count; i++)
        ask(&clients[i]);
}

static void take_handshake(struct client *c, const char *data, size_t len)
{
    buf_add(&c->head, data, len);
    if (!strstr(c->head.data, "\r\n\r\n"))
        return;
    if (strncmp(c->head.data, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "cdp_load: %.*s\n", (int)strcspn(c->head.data, "\r\n"), c->head.data);
        exit(1);
    }
    buf_cleanup(&c->head);
    buf_cleanup(&c->out);
    if (!opt.attach) {
        is_open(c);
        return;
    }
    c->attaching = 1;
    send_own(c, "{\"id\":1,\"method\":\"Target.getTargets\",\"params\":{\"filter\":[{\"type\":\"", "page",
             "\"}]}}");
}

static void on_client(struct ev_loop *l, ev_io *w, int revents)
{
    static char data[READ_SIZE];
    struct client *c = w->data;
    ssize_t n;

    (void)l;
    if (revents & EV_WRITE)
        flush_client(c);
    if (!(revents & EV_READ))
        return;
    n = recv(c->fd, data, sizeof(data), 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("a connection ended");
    if (c->open || c->attaching)
        take_frames(c, data, (size_t)n);
    else
        take_handshake(c, data, (size_t)n);
}

/* ---- connecting ---- */

/* One after the other: 10,000 at once would overrun a listen queue. */
static void open_client(struct client *c, const char *url)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64], path[URL_MAX] = "";
    int port, one = 1;

    if (sscanf(url, "ws://%63[^:]:%d%511[^\n]", host, &port, path) < 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail(url);
    address.sin_port = htons((uint16_t)port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    buf_addf(&c->out,
             "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
             path, host, port);
    ev_io_init(&c->io, on_client, c->fd, EV_READ);
    c->io.data = c;
}

static void read_urls(void)
{
    char url[URL_MAX];
    int room = 0;

    setvbuf(stdin, NULL, _IONBF, 0);
    while (fgets(url, sizeof(url), stdin) && url[0] != '\n') {
        if (count == room) {
            room = room ? 2 * room : 64;
            clients = mem_realloc(clients, (size_t)room * sizeof(*clients));
        }
        memset(&clients[count], 0, sizeof(*clients));
        open_client(&clients[count++], url);
    }
    for (int i = 0; i < count; i++) {
        struct client *c = &clients[i];

        c->io.data = c; /* the array has moved meanwhile */
        ev_io_start(loop, &c->io);
        flush_client(c);
    }
}

/* ---- result ---- */

static int by_trips(const void *a, const void *b)
{
    const struct client *x = a, *y = b;

    return (x->trips > y->trips) - (x->trips < y->trips);
}

static void print_result(void)
{
    struct buf out = {0};
    double sum = 0, squares = 0, bytes = 0;

    qsort(clients, (size_t)count, sizeof(*clients), by_trips);
    for (int i = 0; i < count; i++) {
        sum += (double)clients[i].trips;
        squares += (double)clients[i].trips * (double)clients[i].trips;
        bytes += (double)clients[i].bytes;
    }
    buf_addf(&out, "{\"connections\":%d,\"seconds\":%.3f,\"trips\":%.0f,\"perSecond\":%.1f", count,
             opt.seconds, sum, sum / opt.seconds);
    buf_addf(&out, ",\"receivedBytes\":%.0f,\"sentBytes\":%.0f", bytes,
             sum * (double)(opt.attach ? clients[0].out.len : command.len));
    buf_addf(
        &out,
        ",\"fair\":{\"min\":%llu,\"p1\":%llu,\"p50\":%llu,\"p99\":%llu,\"max\":%llu,\"jain\":%.4f},\"trip\":",
        (unsigned long long)clients[0].trips, (unsigned long long)clients[count / 100].trips,
        (unsigned long long)clients[count / 2].trips,
        (unsigned long long)clients[count - 1 - count / 100].trips,
        (unsigned long long)clients[count - 1].trips, squares > 0 ? sum * sum / (count * squares) : 0);
    histogram_add_json(&latency, &out);
    buf_adds(&out, "}");
    puts(out.data);
    buf_cleanup(&out);
}

static int read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"seconds", 1, 0, 's'}, {"warmup", 1, 0, 'w'}, {"method", 1, 0, 'm'}, {"params", 1, 0, 'p'},
        {"pad", 1, 0, 'b'},     {"attach", 0, 0, 'a'}, {"idle", 0, 0, 'i'},   {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 's':
            opt.seconds = atof(optarg);
            break;
        case 'w':
            opt.warmup = atof(optarg);
            break;
        case 'm':
            opt.method = optarg;
            break;
        case 'p':
            opt.params = optarg;
            break;
        case 'b':
            opt.pad = atol(optarg);
            break;
        case 'a':
            opt.attach = 1;
            break;
        case 'i':
            opt.idle = 1;
            break;
        default:
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    if (read_options(argc, argv) != 0) {
        fprintf(
            stderr,
            "usage: cdp_load [--idle | --seconds S --warmup S --method M --params JSON --pad BYTES] <urls\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    loop = ev_default_loop(EVFLAG_AUTO);
    make_command(&command, "");
    read_urls();
    if (count == 0)
        return 2;
    ev_run(loop, 0);
    if (!opt.idle)
        print_result();
    return 0; /* what is still open ends with the process */
}
