/* vmm_qemu_open.c: what of QEMU this machine has: program, version, accelerators, and what a snapshot depends
 * on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/clock.h"
#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/settings.h"
#include "image.h"
#include "vmm_process.h"
#include "vmm_qemu.h"

#define PROGRAM      "qemu-system-x86_64"
#define RUN_LIMIT_MS 10000
#define TSC_LOOK_NS  10000000L
#define TSC_LOOKS    3
#define OVERHEAD_MB  96   /* devices, stacks, QEMU's own heap */
#define TCG_EXTRA_MB 64   /* what describes translated code */
#define TCG_OWN_MB   1024 /* the most QEMU takes for it by itself */

int vmm_qemu_parse_version(const char *line, char out[40])
{
    static const char start[] = "QEMU emulator version ";
    size_t n;

    if (strncmp(line, start, sizeof(start) - 1) != 0)
        return -1;
    line += sizeof(start) - 1;
    n = strspn(line, "0123456789.");
    if (n < 3 || n >= 40 || !strchr(line, '.') || line[0] == '.')
        return -1;
    memcpy(out, line, n);
    out[n] = '\0';
    return 0;
}

static int find_version(struct vmm_host *h, char *err, size_t errlen)
{
    char *argv[] = {h->program, (char *)"--version", NULL};
    struct buf output = {0};
    int ok = child_run(argv, NULL, &output, RUN_LIMIT_MS) == 0 && output.data &&
             vmm_qemu_parse_version(output.data, h->version) == 0;

    if (!ok)
        snprintf(err, errlen, "%s --version does not say its version: %.100s", h->program,
                 output.data ? output.data : "nothing");
    buf_cleanup(&output);
    return ok ? 0 : -1;
}

static long look_at_tsc(void)
{
#if defined(__x86_64__)
    struct timespec pause = {0, TSC_LOOK_NS};
    int64_t us = clock_mono_us();
    unsigned long long cycles = __builtin_ia32_rdtsc();

    nanosleep(&pause, NULL);
    cycles = __builtin_ia32_rdtsc() - cycles;
    us = clock_mono_us() - us;
    return us > 0 ? (long)(cycles * 1000 / (unsigned long long)us) : 0;
#else
    return 1000000; /* QEMU's own clock: nanoseconds */
#endif
}

/* Cycles of the time stamp counter a millisecond, which TCG hands on as it is. Whatever comes between makes
 * it too few. */
static long measure_tsc(void)
{
    long best = 0;

    for (int i = 0; i < TSC_LOOKS; i++) {
        long khz = look_at_tsc();

        best = khz > best ? khz : best;
    }
    return best;
}

struct vmm_host *vmm_qemu_open(const struct vmm_host_config *config, char *err, size_t errlen)
{
    struct vmm_host *h = mem_alloc(sizeof(*h));
    int n = 0;

    h->loop = config->loop;
    h->tcg_mb = (int)config->settings->vm_tcg_mb;
    if (*config->settings->qemu)
        snprintf(h->program, sizeof(h->program), "%s", config->settings->qemu);
    else if (child_find_program(PROGRAM, h->program, sizeof(h->program)) != 0) {
        snprintf(err, errlen,
                 "the program " PROGRAM " is missing: install the Debian package qemu-system-x86");
        goto fail;
    }
    if (child_find_program("bwrap", h->bwrap, sizeof(h->bwrap)) != 0) {
        snprintf(err, errlen, "the program bwrap is missing: install the Debian package bubblewrap");
        goto fail;
    }
    if (find_version(h, err, errlen) != 0)
        goto fail;
    if (strcmp(config->settings->vm_accel, "tcg") != 0)
        h->accels[n++] = "kvm";
    if (strcmp(config->settings->vm_accel, "kvm") != 0)
        h->accels[n++] = "tcg";
    h->tsc_khz = measure_tsc();
    log_debug("qemu", "program=%s version=%s tsc_khz=%ld", h->program, h->version, h->tsc_khz);
    return h;
fail:
    free(h);
    return NULL;
}

void vmm_qemu_close(struct vmm_host *h)
{
    free(h);
}

const char *const *vmm_qemu_accels(const struct vmm_host *h)
{
    return h->accels;
}

void vmm_qemu_identify(const struct vmm_host *h, const struct vmm_machine *m, struct buf *out)
{
    /* Everything but descriptors, addresses, the measured clock and the cache's size: a template's own
     * arguments. */
    struct vmm_host fixed = *h;
    struct vmm_spec spec = {.kind = VMM_TEMPLATE, .machine = *m, .place = {.mac = "*"}, .folder = ""};
    char **args;

    fixed.tsc_khz = 0;
    fixed.tcg_mb = VMM_TCG_MB;
    args = vmm_qemu_args(&fixed, &spec, "");
    buf_addf(out, "qemu %s\n", h->version);
    for (char **arg = args; *arg; arg++)
        buf_addf(out, "%s\n", *arg);
    vmm_qemu_args_free(args);
    if (strcmp(m->accel, "kvm") == 0)
        vmm_process_add_cpu(out);
}

int vmm_qemu_overhead_mb(const struct vmm_host *h, const struct vmm_machine *m)
{
    if (strcmp(m->accel, "tcg") != 0)
        return OVERHEAD_MB;
    return OVERHEAD_MB + TCG_EXTRA_MB + (h->tcg_mb > 0 ? h->tcg_mb : TCG_OWN_MB);
}
