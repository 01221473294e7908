/* snapshot_prune.c: removing snapshots to make room; see snapshot.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/mem.h"
#include "../shared/random.h"
#include "snapshot.h"

#define BLOCK 512 /* of st_blocks */

struct entry {
    char name[64];
    struct timespec used; /* the folder's time: snapshot_find sets it */
    long long bytes;
};

static long long folder_bytes(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    struct stat st;
    long long bytes = 0;

    if (!d && fd >= 0)
        close(fd);
    while (d && (e = readdir(d))) {
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (long long)st.st_blocks * BLOCK;
    }
    if (d)
        closedir(d);
    return bytes;
}

/* The snapshots of the folder; caller frees. */
static struct entry *list(DIR *d, size_t *count)
{
    struct entry *entries = NULL;
    struct dirent *e;
    struct stat st;
    int fd;

    *count = 0;
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.' || strlen(e->d_name) >= sizeof(entries->name))
            continue;
        fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        entries = mem_realloc(entries, (*count + 1) * sizeof(*entries));
        strcpy(entries[*count].name, e->d_name);
        entries[*count].used = st.st_mtim;
        entries[(*count)++].bytes = folder_bytes(fd);
        close(fd);
    }
    return entries;
}

static int older_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct entry *)a)->used, *y = &((const struct entry *)b)->used;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* 0: it is gone; -1: somebody uses it, or it cannot be removed. Whoever finds it meanwhile waits for no lock,
 * and looks whether what was locked still has its name. */
static int remove_unused(int parent, const char *parent_path, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), result = -1;
    char hidden[64], path[400], tail[9];

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        random_hex(tail, sizeof(tail));
        snprintf(hidden, sizeof(hidden), ".build-old-%s", tail);
        snprintf(path, sizeof(path), "%s/%s", parent_path, hidden);
        result = renameat(parent, name, parent, hidden);
        if (result == 0)
            snapshot_discard(path);
    }
    close(fd);
    return result;
}

long snapshot_prune(const char *state, long limit_mb, const char *keep)
{
    long long total = 0, limit = (long long)limit_mb * 1048576;
    struct entry *entries;
    char parent[300];
    size_t count;
    DIR *d;

    snprintf(parent, sizeof(parent), "%s/snapshots", state);
    d = opendir(parent);
    if (!d)
        return 0;
    entries = list(d, &count);
    for (size_t i = 0; i < count; i++)
        total += entries[i].bytes;
    if (count > 0)
        qsort(entries, count, sizeof(*entries), older_first);
    for (size_t i = 0; i < count && limit > 0 && total > limit; i++) {
        if (strcmp(entries[i].name, keep) == 0 || remove_unused(dirfd(d), parent, entries[i].name) != 0)
            continue;
        total -= entries[i].bytes;
        log_info("snapshot_pruned", "snapshot=%s mb=%lld limit_mb=%ld", entries[i].name,
                 entries[i].bytes / 1048576, limit_mb);
    }
    free(entries);
    closedir(d);
    return (long)(total / 1048576);
}
