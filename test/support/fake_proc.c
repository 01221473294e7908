/* fake_proc.c: see fake_proc.h. */
#include "fake_proc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIDS_MAX 500

static char folder[64];

static void write_file(const char *path, const void *data, size_t size)
{
    char whole[256];
    FILE *f;

    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    f = fopen(whole, "we");
    assert(f);
    if (size > 0 && fwrite(data, size, 1, f) != 1)
        abort();
    fclose(f);
}

const char *fake_proc_open(void)
{
    strcpy(folder, "/tmp/berth-proc-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    fake_proc_write("uptime", "1 1\n");
    return folder;
}

void fake_proc_close(void)
{
    char path[128];

    for (int pid = 1; pid < PIDS_MAX; pid++)
        fake_proc_remove(pid);
    snprintf(path, sizeof(path), "%s/uptime", folder);
    unlink(path);
    rmdir(folder);
}

void fake_proc_put(const struct fake_process *p)
{
    char path[128], text[512];

    assert(p->pid > 0 && p->pid < PIDS_MAX);
    snprintf(path, sizeof(path), "%s/%d", folder, p->pid);
    mkdir(path, 0755);
    snprintf(text, sizeof(text),
             "%d (%s) %c 1 1 1 0 -1 %u 11 12 13 14 %llu %llu 5 6 20 0 7 0 %llu 1000000 2000 "
             "18446744073709551615 1 1 0 0 0 0 0 4096 0\n",
             p->pid, p->name, p->state, p->flags, p->user, p->system, p->start);
    snprintf(path, sizeof(path), "%d/stat", p->pid);
    fake_proc_write(path, text);
    snprintf(path, sizeof(path), "%d/cmdline", p->pid);
    write_file(path, p->cmdline, p->cmdline_size);
}

void fake_proc_remove(int pid)
{
    static const char *const parts[] = {"/stat", "/cmdline", ""};
    char path[128];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        snprintf(path, sizeof(path), "%s/%d%s", folder, pid, parts[i]);
        remove(path);
    }
}

void fake_proc_write(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}
