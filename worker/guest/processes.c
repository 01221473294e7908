/* processes.c: see processes.h. */
#include "processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8192

/* What fits, NUL-terminated; its length, or -1. */
static ssize_t read_file(const char *proc, pid_t pid, const char *name, char *out, size_t size)
{
    char path[256];
    size_t used = 0;
    ssize_t n = -1;
    int fd;

    if (snprintf(path, sizeof(path), "%s/%d/%s", proc, (int)pid, name) >= (int)sizeof(path))
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (used < size - 1 && (n = read(fd, out + used, size - 1 - used)) > 0)
        used += (size_t)n;
    close(fd);
    out[used] = '\0';
    return n < 0 ? -1 : (ssize_t)used;
}

int process_read(const char *proc, pid_t pid, struct process *out)
{
    unsigned long long user, system;
    char text[1024], *at;

    if (read_file(proc, pid, "stat", text, sizeof(text)) <= 0)
        return -1;
    at = strrchr(text, ')'); /* the name before may be anything */
    if (!at ||
        sscanf(at + 1, " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &out->state, &out->flags, &user, &system, &out->start) != 5)
        return -1;
    out->pid = pid;
    out->ticks = user + system;
    return 0;
}

int process_has_argument(const char *proc, pid_t pid, const char *argument)
{
    char text[ARGUMENTS_MAX];
    ssize_t size = read_file(proc, pid, "cmdline", text, sizeof(text));
    size_t length = strlen(argument);

    for (ssize_t at = 0; at < size;) {
        size_t n = strcspn(text + at, " ");
        if (n == length && memcmp(text + at, argument, n) == 0)
            return 1;
        at += (ssize_t)n + 1;
    }
    return 0;
}

int processes_walk(const char *proc, int (*each)(void *arg, const struct process *p), void *arg)
{
    DIR *dir = opendir(proc);
    struct dirent *entry;
    int result = 0;

    if (!dir)
        return -1;
    while (result == 0 && (entry = readdir(dir))) {
        struct process p;
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && !*end && process_read(proc, (pid_t)pid, &p) == 0)
            result = each(arg, &p);
    }
    closedir(dir);
    return result;
}
