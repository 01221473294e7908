/* process_output.c: see process_output.h. */
#include "process_output.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/log.h"

#define READS_A_TURN 8

int process_output_parse_listening(const char *line, int *port, char *path)
{
    static const char start[] = "DevTools listening on ws://127.0.0.1:";
    char *end;
    long n;

    if (strncmp(line, start, sizeof(start) - 1) != 0)
        return -1;
    n = strtol(line + sizeof(start) - 1, &end, 10);
    if (n < 1 || n > 65535 || strncmp(end, "/devtools/browser/", 18) != 0 || !end[18])
        return -1;
    for (const char *c = end + 18; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-')
            return -1;
    }
    *port = (int)n;
    snprintf(path, PROCESS_OUTPUT_LINE_MAX, "%s", end);
    return 0;
}

static void finish_line(struct process_output *o, int quiet)
{
    char path[PROCESS_OUTPUT_LINE_MAX];
    int port;

    o->line[o->len] = '\0';
    if (!o->len)
        return;
    o->len = 0;
    /* There is no D-Bus in a jail, and Chromium says so again and again. */
    if (!strstr(o->line, "dbus/"))
        memcpy(o->lines[o->count++ % PROCESS_OUTPUT_LINES], o->line, PROCESS_OUTPUT_LINE_MAX);
    log_debug("browser_output", "berth=%d line=%s", o->berth, o->line);
    if (quiet)
        return;
    if (process_output_parse_listening(o->line, &port, path) == 0)
        o->on_listening(o->arg, port, path);
    else if (strstr(o->line, "Cannot start http server for devtools"))
        o->on_no_devtools(o->arg);
}

static void feed(struct process_output *o, const char *data, size_t len, int quiet)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            finish_line(o, quiet);
        else if (o->len < PROCESS_OUTPUT_LINE_MAX - 1)
            o->line[o->len++] = isprint((unsigned char)data[i]) ? data[i] : '?';
    }
}

void process_output_feed(struct process_output *o, const char *data, size_t len)
{
    feed(o, data, len, 0);
}

/* 0 when there is nothing more to read now, 1 at the end of the pipe. */
static int read_some(struct process_output *o, int quiet, int reads)
{
    char chunk[4096];

    while (reads-- > 0 && o->io.fd >= 0) {
        ssize_t n = read(o->io.fd, chunk, sizeof(chunk));

        if (n < 0)
            return errno != EAGAIN && errno != EINTR;
        if (n == 0)
            return 1;
        feed(o, chunk, (size_t)n, quiet);
    }
    return 0;
}

static void on_pipe(struct ev_loop *loop, ev_io *w, int revents)
{
    struct process_output *o = w->data;

    (void)revents;
    if (read_some(o, 0, READS_A_TURN))
        ev_io_stop(loop, w);
}

void process_output_init(struct process_output *o, struct ev_loop *loop, int fd, int berth)
{
    o->loop = loop;
    o->len = 0;
    o->count = 0;
    o->berth = berth;
    ev_io_init(&o->io, on_pipe, fd, EV_READ);
    o->io.data = o;
    if (fd >= 0)
        ev_io_start(loop, &o->io);
}

void process_output_drain(struct process_output *o)
{
    if (!o->loop)
        return;
    read_some(o, 1, 64);
    if (o->len)
        finish_line(o, 1);
}

void process_output_cleanup(struct process_output *o)
{
    if (!o->loop)
        return;
    ev_io_stop(o->loop, &o->io);
    if (o->io.fd >= 0)
        close(o->io.fd);
    o->loop = NULL;
    o->count = 0;
}

const char *process_output_reason(const struct process_output *o)
{
    static const char *const telling[] = {"bwrap: ", "berth: ", ":FATAL:", "error while loading",
                                          "No usable sandbox"};
    unsigned kept = o->count < PROCESS_OUTPUT_LINES ? o->count : PROCESS_OUTPUT_LINES;

    for (unsigned i = 1; i <= kept; i++) {
        const char *line = o->lines[(o->count - i) % PROCESS_OUTPUT_LINES];

        for (size_t k = 0; k < sizeof(telling) / sizeof(telling[0]); k++) {
            if (strstr(line, telling[k]))
                return line;
        }
    }
    return kept ? o->lines[(o->count - 1) % PROCESS_OUTPUT_LINES] : "";
}
