/* vmm_tail.c: see vmm_tail.h. */
#include "vmm_tail.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../shared/log.h"

#define READS_A_TURN 8

static int is_dull(const struct vmm_tail *t)
{
    for (const char *const *part = t->dull; part && *part; part++) {
        if (strstr(t->line, *part))
            return 1;
    }
    return 0;
}

static void take(struct vmm_tail *t, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            t->line[t->len] = '\0';
            if (t->len) {
                if (!is_dull(t))
                    memcpy(t->last, t->line, (size_t)t->len + 1);
                log_debug("vm_output", "line=%s", t->line);
            }
            t->len = 0;
        } else if (isprint((unsigned char)data[i]) && t->len < VMM_TAIL_LINE_MAX - 1) {
            t->line[t->len++] = data[i];
        }
    }
}

/* 1: there may be more. */
static int read_some(struct vmm_tail *t)
{
    char chunk[4096];
    ssize_t n = read(t->io.fd, chunk, sizeof(chunk));

    if (n > 0) {
        take(t, chunk, (size_t)n);
        return 1;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        ev_io_stop(t->loop, &t->io);
    return 0;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop;
    (void)revents;
    for (int i = 0; i < READS_A_TURN && read_some(w->data); i++)
        ;
}

void vmm_tail_init(struct vmm_tail *t, struct ev_loop *loop, int fd)
{
    memset(t, 0, sizeof(*t));
    t->loop = loop;
    ev_io_init(&t->io, on_readable, fd, EV_READ);
    t->io.data = t;
    ev_io_start(loop, &t->io);
}

void vmm_tail_drain(struct vmm_tail *t)
{
    for (int i = 0; t->loop && i < READS_A_TURN && read_some(t); i++)
        ;
}

void vmm_tail_cleanup(struct vmm_tail *t)
{
    if (!t->loop)
        return;
    ev_io_stop(t->loop, &t->io);
    close(t->io.fd);
    t->loop = NULL;
}
