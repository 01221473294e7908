/* vmm_process.c: see vmm_process.h. */
#include "vmm_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FILES 1024
#define OOM_SCORE 100

const char *vmm_step_name(enum vmm_step step)
{
    static const char *const names[] = {"spawn", "boot", "save", "load", "pause", "resume"};

    return names[step];
}

static struct vmm_process *process_of(struct vmm *v)
{
    return (struct vmm_process *)v;
}

static const struct vmm_process *const_process_of(const struct vmm *v)
{
    return (const struct vmm_process *)v;
}

void vmm_process_init(struct vmm_process *p, const char *name, const struct vmm_events *events,
                      void (*release)(struct vmm *v))
{
    memset(p, 0, sizeof(*p));
    p->name = name;
    p->events = *events;
    p->release = release;
    p->control = -1;
}

void vmm_process_step(struct vmm_process *p, enum vmm_step step, const char *error)
{
    if (error && !p->why[0])
        snprintf(p->why, sizeof(p->why), "%s: %s", vmm_step_name(step), error);
    p->events.on_step(p->events.arg, step, error);
}

/* ---- end ---- */

void vmm_process_release(struct vmm *v)
{
    struct vmm_process *p = process_of(v);

    p->release(v);
    vmm_tail_cleanup(&p->tail);
    if (p->control >= 0)
        close(p->control);
    free(v);
}

static void on_child_exit(void *arg, int status)
{
    struct vmm_process *p = arg;
    struct vmm_events events = p->events;
    char why[400], how[80];

    p->child = NULL;
    vmm_tail_drain(&p->tail);
    child_describe(status, how, sizeof(how));
    snprintf(why, sizeof(why), "%s %s%s%s%s%.100s", p->name, how, p->tail.last[0] ? ": " : "", p->tail.last,
             p->why[0] ? "; " : "", p->why);
    vmm_process_release(arg);
    events.on_exit(events.arg, why);
}

void vmm_process_kill(struct vmm *v)
{
    child_kill(process_of(v)->child);
}

int vmm_process_finish(struct vmm *v, int limit_ms)
{
    int result = child_finish(process_of(v)->child, limit_ms);

    vmm_process_release(v);
    return result;
}

int vmm_process_control(struct vmm *v)
{
    struct vmm_process *p = process_of(v);
    int fd = p->control;

    p->control = -1;
    if (fd < 0)
        errno = EBADF;
    return fd;
}

pid_t vmm_process_pid(const struct vmm *v)
{
    return child_pid(const_process_of(v)->child);
}

const char *vmm_process_said(const struct vmm *v)
{
    return const_process_of(v)->tail.last;
}

/* ---- start ---- */

int vmm_process_pair(int *ours, int *theirs)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return 0;
}

int vmm_process_start(struct vmm_process *p, struct ev_loop *loop, const struct vmm_place *place,
                      struct child_spec *spec)
{
    static char *const env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LANG=C.UTF-8", NULL};
    int out[2] = {-1, -1}, saved;

    spec->envp = env;
    spec->pid_ns = 1;
    spec->net_ns = place->net_ns;
    spec->cgroups = place->cgroups;
    spec->cgroup_count = place->cgroup_count;
    spec->oom_score_adj = OOM_SCORE;
    spec->limits[spec->limit_count++] = (struct child_limit){RLIMIT_CORE, 0};
    spec->limits[spec->limit_count++] = (struct child_limit){RLIMIT_NOFILE, MAX_FILES};
    spec->fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (spec->fds[0] >= 0 && pipe2(out, O_CLOEXEC) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0) {
        spec->fds[1] = spec->fds[2] = out[1];
        p->child = child_start(loop, spec, on_child_exit, p);
    }
    saved = errno;
    if (spec->fds[0] >= 0)
        close(spec->fds[0]);
    if (out[1] >= 0)
        close(out[1]);
    if (p->child)
        vmm_tail_init(&p->tail, loop, out[0]);
    else if (out[0] >= 0)
        close(out[0]);
    errno = saved;
    return p->child ? 0 : -1;
}

/* ---- the host ---- */

void vmm_process_add_cpu(struct buf *out)
{
    static const char *const names[] = {"vendor_id", "cpu family", "model\t", "model name",
                                        "stepping",  "microcode",  "flags"};
    static char text[32768];
    FILE *f = fopen("/proc/cpuinfo", "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    if (f)
        fclose(f);
    text[n] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *at = strstr(text, names[i]);

        if (at)
            buf_addf(out, "host %.*s\n", (int)strcspn(at, "\n"), at);
    }
}
