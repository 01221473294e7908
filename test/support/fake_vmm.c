/* fake_vmm.c: see fake_vmm.h. */
#include "test/support/fake_vmm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/mem.h"

const char *vmm_step_name(enum vmm_step which)
{
    static const char *const names[] = {"spawn", "boot", "save", "load", "pause", "resume"};

    return names[which];
}

struct fake_vmms fake_vmms;

static const char *const *accels(const struct vmm_host *h)
{
    static const char *const both[] = {"kvm", "tcg", NULL};

    (void)h;
    return both;
}

static void identify(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out)
{
    (void)h, (void)m;
    buf_adds(out, "monitor 1\n");
}

static int overhead_mb(const struct vmm_host *h, const struct vmm_machine *m)
{
    (void)h, (void)m;
    return 1;
}

void fake_vmm_write(const char *folder, const char *name, const char *text)
{
    char path[600];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct vmm *spawn(struct vmm_host *h, const struct vmm_spec *spec, const struct vmm_events *events,
                         char *err, size_t errlen)
{
    struct vmm *v = mem_alloc(sizeof(*v));
    int pair[2];

    (void)h, (void)err, (void)errlen;
    assert_true(fake_vmms.count < FAKE_VMMS_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    v->kind = spec->kind;
    v->events = *events;
    v->ours = pair[0];
    v->guest = pair[1];
    fake_vmms.all[fake_vmms.count++] = v;
    if (v->kind == VMM_TEMPLATE)
        fake_vmm_write(spec->folder, "state", "devices");
    if (fake_vmms.on_spawn)
        fake_vmms.on_spawn(spec);
    return v;
}

static int control(struct vmm *v)
{
    int fd = v->ours;

    v->ours = -1;
    return fd;
}

static void ask(struct vmm *v, const char *step)
{
    size_t used = strlen(v->steps);

    assert_false(v->gone);
    snprintf(v->steps + used, sizeof(v->steps) - used, "%s ", step);
}

#define ASK(step)                                                                                            \
    static void vm_##step(struct vmm *v)                                                                     \
    {                                                                                                        \
        ask(v, #step);                                                                                       \
    }
ASK(boot)
ASK(save)
ASK(load)
ASK(pause)
ASK(resume)

static void vm_kill(struct vmm *v)
{
    assert_false(v->gone);
    v->killed = 1;
}

static void let_go(struct vmm *v)
{
    if (v->ours >= 0)
        close(v->ours);
    if (v->guest >= 0)
        close(v->guest);
    v->ours = v->guest = -1;
    v->gone = 1;
}

static int finish(struct vmm *v, int limit_ms)
{
    (void)limit_ms;
    let_go(v);
    return 0;
}

static pid_t pid(const struct vmm *v)
{
    (void)v;
    return -1;
}

static const char *said(const struct vmm *v)
{
    (void)v;
    return "";
}

const struct vmm_ops fake_vmm_ops = {
    .name = "qemu",
    .maps_file = 1,
    .accels = accels,
    .identify = identify,
    .overhead_mb = overhead_mb,
    .spawn = spawn,
    .control = control,
    .boot = vm_boot,
    .save = vm_save,
    .load = vm_load,
    .pause = vm_pause,
    .resume = vm_resume,
    .kill = vm_kill,
    .finish = finish,
    .pid = pid,
    .said = said,
};

struct vmm *fake_vmm(void)
{
    assert_true(fake_vmms.count > 0);
    return fake_vmms.all[fake_vmms.count - 1];
}

void fake_vmm_step(struct vmm *v, enum vmm_step which, const char *error)
{
    assert_false(v->gone);
    v->events.on_step(v->events.arg, which, error);
}

void fake_vmm_end(struct vmm *v, const char *why)
{
    assert_false(v->gone);
    v->events.on_exit(v->events.arg, why);
    let_go(v);
}

void fake_vmm_says(const struct vmm *v, const char *line)
{
    assert_int_equal(write(v->guest, line, strlen(line)), (ssize_t)strlen(line));
}

const char *fake_vmm_heard(const struct vmm *v)
{
    static char text[4096];
    ssize_t n = read(v->guest, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

void fake_vmm_end_killed(void)
{
    for (int i = 0; i < fake_vmms.count; i++) {
        if (fake_vmms.all[i]->killed && !fake_vmms.all[i]->gone)
            fake_vmm_end(fake_vmms.all[i], "QEMU was killed");
    }
}

void fake_vmm_free_all(void)
{
    while (fake_vmms.count > 0)
        free(fake_vmms.all[--fake_vmms.count]);
    fake_vmms.on_spawn = NULL;
}
