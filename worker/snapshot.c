/* snapshot.c: see snapshot.h: finding and checking; snapshot_load.c loads, snapshot_build.c makes them,
 * snapshot_prune.c removes them. */
#include "snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../shared/random.h"

#define SHOWN_LINE 120

void snapshot_init(struct snapshot *s, const char *state, char *identity, int memory_mb)
{
    char digest[65];

    memset(s, 0, sizeof(*s));
    s->memory = s->source = s->held = -1;
    s->identity = identity;
    s->memory_mb = memory_mb;
    random_sha256_hex(identity, strlen(identity), digest);
    snprintf(s->key, sizeof(s->key), "%.32s", digest);
    snprintf(s->state, sizeof(s->state), "%s", state);
    snprintf(s->folder, sizeof(s->folder), "%s/snapshots/%s", s->state, s->key);
}

void snapshot_release(struct snapshot *s)
{
    int *const fds[] = {&s->memory, &s->source, &s->held};

    for (int i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    snapshot_record_cleanup(&s->record);
}

void snapshot_cleanup(struct snapshot *s)
{
    snapshot_release(s);
    free(s->identity);
    memset(s, 0, sizeof(*s));
    s->memory = s->source = s->held = -1;
}

/* ---- checking ---- */

static int has_line(const char *text, const char *line, size_t len)
{
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        if (strcspn(at, "\n") == len && memcmp(at, line, len) == 0)
            return 1;
    }
    return 0;
}

/* The first line of a that b has not; NULL if there is none. */
static const char *extra_line(const char *a, const char *b, size_t *len)
{
    for (const char *at = a; *at; at += *len, at += *at == '\n') {
        *len = strcspn(at, "\n");
        if (!has_line(b, at, *len))
            return at;
    }
    return NULL;
}

void snapshot_difference(const char *wanted, const char *found, char *out, size_t outlen)
{
    size_t want_len = 0, found_len = 0;
    const char *want = extra_line(wanted, found, &want_len), *have = extra_line(found, wanted, &found_len);

    snprintf(out, outlen, "it has %s%.*s%s, wanted is %s%.*s%s", have ? "\"" : "nothing",
             have ? (int)(found_len < SHOWN_LINE ? found_len : SHOWN_LINE) : 0, have ? have : "",
             have ? "\"" : "", want ? "\"" : "nothing",
             want ? (int)(want_len < SHOWN_LINE ? want_len : SHOWN_LINE) : 0, want ? want : "",
             want ? "\"" : "");
}

/* That a small file is what was saved; memory is looked at while it is loaded. */
static int check_sum(int folder, const struct snapshot_file *file)
{
    int fd = openat(folder, file->name, O_RDONLY | O_CLOEXEC), result;
    uint64_t sum = 0;

    if (fd < 0)
        return -1;
    result = snapshot_sum_file(fd, &sum);
    close(fd);
    return result == 0 && sum == file->sum ? 0 : -1;
}

/* That the folder's files are those of its record. stats: of each. */
static int check_files(int folder, const struct snapshot_record *r, struct stat *stats, char *why,
                       size_t whylen)
{
    for (int i = 0; i < r->count; i++) {
        const struct snapshot_file *file = &r->files[i];

        if (fstatat(folder, file->name, &stats[i], AT_SYMLINK_NOFOLLOW) != 0) {
            snprintf(why, whylen, "its %s is missing", file->name);
            return -1;
        }
        if (!S_ISREG(stats[i].st_mode) || stats[i].st_size != file->size) {
            snprintf(why, whylen, "its %s has another size than was saved: %lld bytes, not %lld", file->name,
                     (long long)stats[i].st_size, file->size);
            return -1;
        }
        if (strcmp(file->name, SNAPSHOT_MEMORY) != 0 && check_sum(folder, file) != 0) {
            snprintf(why, whylen, "its %s is not what was saved: the checksum differs", file->name);
            return -1;
        }
    }
    return 0;
}

/* That the folder's snapshot is the wanted one: 0, or -1 with the reason. */
static int check_folder(const struct snapshot *s, int folder, struct snapshot_record *r, struct stat *stats,
                        char *why, size_t whylen)
{
    const struct snapshot_file *memory;

    if (snapshot_record_read(folder, r, why, whylen) != 0)
        return -1;
    memory = snapshot_record_file(r, SNAPSHOT_MEMORY);
    if (strcmp(r->identity, s->identity) != 0) {
        snapshot_difference(s->identity, r->identity, why, whylen);
    } else if (!memory || memory->size != s->memory_mb * 1048576LL) {
        snprintf(why, whylen, "its memory is missing or has another size");
    } else if (check_files(folder, r, stats, why, whylen) == 0) {
        return 0;
    }
    return -1;
}

/* Why each of the snapshots that are there is not the wanted one. */
static void list_others(const struct snapshot *s, char *why, size_t whylen)
{
    char parent[400], reason[400];
    struct snapshot_record r;
    struct dirent *e;
    size_t used;
    DIR *d;
    int fd;

    snprintf(parent, sizeof(parent), "%s/snapshots", s->state);
    d = opendir(parent);
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (snapshot_record_read(fd, &r, reason, sizeof(reason)) == 0) {
            if (strcmp(r.identity, s->identity) == 0)
                snprintf(reason, sizeof(reason), "it lies under another's name");
            else
                snapshot_difference(s->identity, r.identity, reason, sizeof(reason));
        }
        snapshot_record_cleanup(&r);
        close(fd);
        used = strlen(why);
        snprintf(why + used, whylen - used, "; %.8s does not fit: %s", e->d_name, reason);
    }
    if (d)
        closedir(d);
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The folder, with a lock that others may have too, and still under its name. -1: not there, or being
 * removed. */
static int hold(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat ours, there;

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && stat(folder, &there) == 0 &&
        same_file(&ours, &there))
        return fd;
    close(fd);
    return -1;
}

int snapshot_find(struct snapshot *s, char *why, size_t whylen)
{
    snapshot_release(s);
    s->held = hold(s->folder);
    if (s->held < 0) {
        snprintf(why, whylen, "none was built yet");
        list_others(s, why, whylen);
        return 0;
    }
    if (check_folder(s, s->held, &s->record, s->stats, why, whylen) != 0) {
        snapshot_release(s);
        return -1;
    }
    (void)futimens(s->held, NULL); /* used now, for snapshot_prune; a disk that is read-only stays as it is */
    return 1;
}

int snapshot_is_current(const struct snapshot *s, char *why, size_t whylen)
{
    struct stat ours, there;

    if (s->held < 0 || fstat(s->held, &ours) != 0 || stat(s->folder, &there) != 0) {
        snprintf(why, whylen, "%s is gone", s->folder);
        return 0;
    }
    if (!same_file(&ours, &there)) {
        snprintf(why, whylen, "%s was replaced", s->folder);
        return 0;
    }
    for (int i = 0; i < s->record.count; i++) {
        const struct stat *was = &s->stats[i];

        if (fstatat(s->held, s->record.files[i].name, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
            !same_file(was, &there) || was->st_size != there.st_size ||
            was->st_mtim.tv_sec != there.st_mtim.tv_sec || was->st_mtim.tv_nsec != there.st_mtim.tv_nsec) {
            snprintf(why, whylen, "%s/%s was removed or changed", s->folder, s->record.files[i].name);
            return 0;
        }
    }
    return 1;
}
