/* working_set.c: see working_set.h. Mapping is done by reading one byte of each page through
 * process_vm_readv: the kernel then maps it as if the process itself had read it. */
#include "working_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../shared/mem.h"

#define PAGE       4096U
#define PRESENT    (1ULL << 63)
#define ENTRIES    4096 /* of pagemap, read at once */
#define PAGES_A_MB 256U
#define DEPTH_MAX  5
#define RANGES_MAX 1000000
#define BATCH      512 /* pages mapped by one system call */
#define BATCHES    4   /* system calls in one go */

/* ---- finding the process ---- */

/* The address at which pid maps the file privately; 0 if it does not. A file of another device may have the
 * same inode number, and not on all file systems (btrfs, overlay) is the device in maps that of stat: a
 * guest's memory is the largest. */
static unsigned long long find_mapping(pid_t pid, const struct stat *file)
{
    char path[64], line[512];
    unsigned long long found = 0, size = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long long start, end, offset, inode;
        char perms[8];

        if (sscanf(line, "%llx-%llx %7s %llx %*s %llu", &start, &end, perms, &offset, &inode) == 5 &&
            inode == file->st_ino && offset == 0 && perms[3] == 'p' && end - start > size) {
            found = start;
            size = end - start;
        }
    }
    if (f)
        fclose(f);
    return found;
}

static int find_below(pid_t pid, const struct stat *file, struct working_set_walk *walk, int depth)
{
    char path[80];
    int child, found = 0;
    FILE *f;

    walk->base = find_mapping(pid, file);
    if (walk->base) {
        walk->pid = pid;
        return 1;
    }
    if (depth == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "re");
    while (f && !found && fscanf(f, "%d", &child) == 1)
        found = find_below(child, file, walk, depth - 1);
    if (f)
        fclose(f);
    return found;
}

int working_set_find(pid_t root, int memory, struct working_set_walk *walk)
{
    struct stat st;

    memset(walk, 0, sizeof(*walk));
    if (fstat(memory, &st) != 0)
        return -1;
    if (find_below(root, &st, walk, DEPTH_MAX))
        return 0;
    errno = ESRCH;
    return -1;
}

/* ---- recording ---- */

static void add_range(struct working_set *w, unsigned first, unsigned count)
{
    if (!w->ranges || w->count % 256 == 0)
        w->ranges = mem_realloc(w->ranges, (w->count + 256) * sizeof(*w->ranges));
    w->ranges[w->count++] = (struct working_set_range){first, count};
    w->pages += count;
}

static void add_page(struct working_set *w, unsigned page)
{
    struct working_set_range *last = w->count ? &w->ranges[w->count - 1] : NULL;

    if (last && last->first + last->count == page) {
        last->count++;
        w->pages++;
    } else {
        add_range(w, page, 1);
    }
}

int working_set_record(const struct working_set_walk *walk, int size_mb, struct working_set *out)
{
    unsigned total = (unsigned)size_mb * PAGES_A_MB;
    uint64_t *entries = mem_alloc(ENTRIES * sizeof(*entries));
    char path[64];
    int fd, result = -1;

    memset(out, 0, sizeof(*out));
    snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)walk->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    for (unsigned at = 0; fd >= 0 && at < total; at += ENTRIES) {
        unsigned want = total - at < ENTRIES ? total - at : ENTRIES;
        ssize_t n =
            pread(fd, entries, want * sizeof(*entries), (off_t)((walk->base / PAGE + at) * sizeof(*entries)));

        if (n != (ssize_t)(want * sizeof(*entries)))
            goto cleanup;
        for (unsigned i = 0; i < want; i++) {
            if (entries[i] & PRESENT)
                add_page(out, at + i);
        }
    }
    result = fd >= 0 ? 0 : -1;
cleanup:
    if (result != 0)
        working_set_cleanup(out);
    if (fd >= 0)
        close(fd);
    free(entries);
    return result;
}

int working_set_save(const struct working_set *w, const char *path)
{
    char part[600];
    FILE *f;
    int ok;

    snprintf(part, sizeof(part), "%s.%d", path, (int)getpid());
    f = fopen(part, "we");
    if (!f)
        return -1;
    for (size_t i = 0; i < w->count; i++)
        fprintf(f, "%u %u\n", w->ranges[i].first, w->ranges[i].count);
    ok = !ferror(f);
    ok = fclose(f) == 0 && ok;
    if (ok && rename(part, path) == 0)
        return 0;
    unlink(part);
    return -1;
}

int working_set_load(struct working_set *w, const char *path, int size_mb)
{
    unsigned total = (unsigned)size_mb * PAGES_A_MB, first, count, next = 0;
    FILE *f = fopen(path, "re");
    int n;

    memset(w, 0, sizeof(*w));
    if (!f)
        return -1;
    while ((n = fscanf(f, "%u %u", &first, &count)) == 2) {
        if (first < next || count == 0 || count > total || first > total - count || w->count == RANGES_MAX)
            break;
        add_range(w, first, count);
        next = first + count;
    }
    fclose(f);
    if (n == EOF && w->count > 0)
        return 0;
    working_set_cleanup(w);
    errno = EINVAL;
    return -1;
}

void working_set_cleanup(struct working_set *w)
{
    free(w->ranges);
    memset(w, 0, sizeof(*w));
}

/* ---- mapping ---- */

int working_set_map(const struct working_set *w, struct working_set_walk *walk)
{
    static char bytes[BATCH];
    struct iovec remote[BATCH], local = {bytes, 0};

    for (int batch = 0; batch < BATCHES; batch++) {
        unsigned n = 0;

        while (n < BATCH && walk->range < w->count) {
            const struct working_set_range *r = &w->ranges[walk->range];

            remote[n].iov_base =
                (void *)(uintptr_t)(walk->base + (unsigned long long)(r->first + walk->page) * PAGE);
            remote[n++].iov_len = 1;
            if (++walk->page == r->count) {
                walk->range++;
                walk->page = 0;
            }
        }
        local.iov_len = n;
        if (n == 0)
            return 0;
        if (process_vm_readv(walk->pid, &local, 1, remote, n, 0) != (ssize_t)n)
            return -1;
    }
    return walk->range < w->count;
}
