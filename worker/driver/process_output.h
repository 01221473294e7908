/* process_output.h: reads what a browser prints: finds the line that says where DevTools listens, keeps the
 * last lines for the message of a crash. Everything is bounded, whatever the browser prints. */
#ifndef BERTH_PROCESS_OUTPUT_H
#define BERTH_PROCESS_OUTPUT_H
#include <ev.h>
#include <stddef.h>

#define PROCESS_OUTPUT_LINE_MAX 240
#define PROCESS_OUTPUT_LINES    6

struct process_output {
    ev_io io;
    struct ev_loop *loop;
    char line[PROCESS_OUTPUT_LINE_MAX]; /* the one being read; longer lines are cut */
    int len;
    char lines[PROCESS_OUTPUT_LINES][PROCESS_OUTPUT_LINE_MAX];
    unsigned count; /* of lines ever seen */
    int berth;
    /* port and "/devtools/browser/<id>". */
    void (*on_listening)(void *arg, int port, const char *ws_path);
    /* The browser goes on, but without DevTools. */
    void (*on_no_devtools)(void *arg);
    void *arg;
};

/* fd: the reading end of the pipe, non-blocking; the output's until process_output_cleanup. -1: there is
 * none, process_output_feed brings what was read elsewhere. */
void process_output_init(struct process_output *o, struct ev_loop *loop, int fd, int berth);
void process_output_feed(struct process_output *o, const char *data, size_t len);
/* Reads what is there; no callbacks. For the last words after an exit. */
void process_output_drain(struct process_output *o);
void process_output_cleanup(struct process_output *o); /* may be repeated */
/* The line that most likely says why it ended; "" if it said nothing. */
const char *process_output_reason(const struct process_output *o);
/* Takes a line apart: 0 if it is "DevTools listening on ws://…". path has PROCESS_OUTPUT_LINE_MAX bytes. */
int process_output_parse_listening(const char *line, int *port, char *path);

#endif
