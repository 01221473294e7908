/* snapshot_load.c: a snapshot's memory, from its file into RAM; see snapshot.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../shared/mem.h"
#include "snapshot.h"

#define PIECE     (8LL * 1024 * 1024)
#define HUGE_2MB  (21u << 26) /* of memfd_create: MFD_HUGE_2MB, which glibc has no name for */
#define ALL_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int open_memory(struct snapshot *s)
{
    s->source = openat(s->held, SNAPSHOT_MEMORY, O_RDONLY | O_CLOEXEC);
    if (s->source < 0)
        return -1;
    snapshot_sum_init(&s->sum);
    s->at = 0;
    if (s->by_file)
        return 0;
    s->memory = memfd_create("berth-guest",
                             MFD_CLOEXEC | MFD_ALLOW_SEALING | (s->huge_pages ? MFD_HUGETLB | HUGE_2MB : 0));
    if (s->memory < 0 || ftruncate(s->memory, s->memory_mb * 1048576LL) != 0)
        return -1;
    return 0;
}

/* The file's next piece, into the page cache: otherwise the first guests would wait for the disk. */
static int read_piece(struct snapshot *s)
{
    long long size = s->memory_mb * 1048576LL, len = size - s->at < PIECE ? size - s->at : PIECE;
    char *piece = mem_alloc((size_t)len);
    long long done = 0;
    ssize_t n = 1;

    for (; done < len && n > 0; done += n > 0 ? n : 0)
        n = pread(s->source, piece + done, (size_t)(len - done), s->at + done);
    if (n == 0)
        errno = EIO;
    if (done == len)
        snapshot_sum_add(&s->sum, piece, (size_t)len);
    s->at += done;
    free(piece);
    return done == len ? 0 : -1;
}

/* Copies what the file has of the next piece. What it has not is allocated, too: otherwise the first guest
 * that touches it would be charged for what all share. */
static int load_piece(struct snapshot *s)
{
    long long size = s->memory_mb * 1048576LL, len = size - s->at < PIECE ? size - s->at : PIECE;
    char *to = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, s->memory, s->at);
    long long done = 0;
    int result = -1;

    if (to == MAP_FAILED)
        return -1;
    if (fallocate(s->memory, 0, s->at, len) != 0)
        goto cleanup;
    while (done < len) {
        off_t data = lseek(s->source, s->at + done, SEEK_DATA);
        ssize_t n;

        if (data < 0 && errno != ENXIO)
            goto cleanup;
        if (data < 0 || data >= s->at + len)
            break;
        done = data - s->at;
        n = pread(s->source, to + done, (size_t)(len - done), data);
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            goto cleanup;
        }
        done += n;
    }
    snapshot_sum_add(&s->sum, to, (size_t)len);
    s->at += len;
    result = 0;
cleanup:
    munmap(to, (size_t)len);
    return result;
}

static void drop(struct snapshot *s)
{
    if (s->source >= 0)
        close(s->source);
    if (s->memory >= 0)
        close(s->memory);
    s->source = s->memory = -1;
}

int snapshot_load(struct snapshot *s, char *err, size_t errlen)
{
    const struct snapshot_file *file = snapshot_record_file(&s->record, SNAPSHOT_MEMORY);

    if (s->source < 0 && s->memory >= 0)
        return 0;
    if ((s->source < 0 && open_memory(s) != 0) || (s->by_file ? read_piece(s) : load_piece(s)) != 0)
        goto fail;
    if (s->at < s->memory_mb * 1048576LL)
        return 1;
    if (!file || snapshot_sum_end(&s->sum) != file->sum) {
        snprintf(err, errlen, "its memory is not what was saved: the checksum differs");
        drop(s);
        return -2;
    }
    if (s->by_file) {
        s->memory = s->source;
        s->source = -1;
        return 0;
    }
    if (fcntl(s->memory, F_ADD_SEALS, ALL_SEALS) != 0)
        goto fail;
    close(s->source);
    s->source = -1;
    return 0;
fail:
    snprintf(err, errlen, "cannot load the snapshot's memory%s: %s",
             s->huge_pages && !s->by_file ? " into huge pages (BERTH_VM_HUGE_PAGES)" : "", strerror(errno));
    drop(s);
    return -1;
}
