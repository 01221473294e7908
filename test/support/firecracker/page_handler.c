/* page_handler.c: the worker's page server (worker/page_server.h) as a program, so that a test can hold it
 * and a machine monitor together: page-handler SOCKET MEMORY UID. Says `listening`; on SIGTERM what it did.
 */
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/page_server.h"

static struct page_server *server;

static void on_failure(void *arg, const char *why)
{
    (void)arg;
    printf("failed: %s\n", why);
    fflush(stdout);
}

static void on_term(struct ev_loop *loop, ev_signal *w, int revents)
{
    struct page_server_stats stats;

    (void)w;
    (void)revents;
    page_server_stats(server, &stats);
    printf("connected=%d faults=%llu\n", stats.connected, (unsigned long long)stats.faults);
    page_server_free(server);
    fflush(stdout);
    ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv)
{
    struct ev_loop *loop = ev_default_loop(0);
    struct page_server_config config = {.loop = loop, .on_failure = on_failure};
    ev_signal term;

    if (argc != 4)
        return 2;
    config.path = argv[1];
    config.memory = open(argv[2], O_RDONLY | O_CLOEXEC);
    config.uid = atol(argv[3]);
    server = page_server_new(&config);
    if (!server) {
        perror("page_server_new");
        return 1;
    }
    ev_signal_init(&term, on_term, SIGTERM);
    ev_signal_start(loop, &term);
    printf("listening\n");
    fflush(stdout);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    return 0;
}
