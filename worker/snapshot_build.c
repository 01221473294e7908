/* snapshot_build.c: making a snapshot's folder: one builder a host, nothing half made under a name; see
 * snapshot.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/log.h"
#include "../shared/random.h"
#include "snapshot.h"

#define BUILD_PREFIX ".build-"

static int make_folder(const char *path, mode_t mode)
{
    return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -1;
}

void snapshot_discard(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
    if (rmdir(folder) != 0 && errno != ENOENT)
        log_warn("snapshot_not_removed", "folder=%s error=%s", folder, strerror(errno));
}

/* What builders that died left: only the holder of the lock calls this. */
static void discard_leftovers(const char *parent)
{
    DIR *d = opendir(parent);
    struct dirent *e;
    char path[700];

    while (d && (e = readdir(d))) {
        if (strncmp(e->d_name, BUILD_PREFIX, sizeof(BUILD_PREFIX) - 1) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", parent, e->d_name);
        snapshot_discard(path);
    }
    if (d)
        closedir(d);
}

int snapshot_begin(const struct snapshot *s, char folder[400], int *lock, char *err, size_t errlen)
{
    char parent[300], path[320], tail[9];

    *lock = -1;
    snprintf(parent, sizeof(parent), "%s/snapshots", s->state);
    snprintf(path, sizeof(path), "%s/.lock", parent);
    random_hex(tail, sizeof(tail));
    snprintf(folder, 400, "%s/" BUILD_PREFIX "%s", parent, tail);
    if (make_folder(s->state, 0755) != 0 || make_folder(parent, 0700) != 0)
        goto fail;
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*lock < 0 || flock(*lock, LOCK_EX | LOCK_NB) != 0)
        goto fail;
    discard_leftovers(parent);
    if (mkdir(folder, 0700) == 0)
        return 0;
fail:
    snprintf(err, errlen, "cannot build a snapshot in %s (BERTH_STATE): %s", parent, strerror(errno));
    if (*lock >= 0) {
        int saved = errno;

        close(*lock);
        *lock = -1;
        errno = saved;
    }
    return -1;
}

int snapshot_memory_file(const struct snapshot *s, const char *folder, long uid)
{
    char path[500];
    int fd, saved;

    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, folder);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, s->memory_mb * 1048576LL) == 0 && fchown(fd, (uid_t)uid, (gid_t)uid) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* From now on it is nobody's to write; monitors may be given it to read. */
static int take_memory(const char *folder)
{
    char path[500];

    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, folder);
    return chown(path, geteuid(), getegid()) == 0 && chmod(path, 0444) == 0 ? 0 : -1;
}

int snapshot_complete(const struct snapshot *s, const char *folder, char *err, size_t errlen)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = -1;

    if (fd < 0 || take_memory(folder) != 0)
        snprintf(err, errlen, "cannot complete the snapshot in %s: %s", folder, strerror(errno));
    else
        result = snapshot_record_write(fd, s->key, s->identity, err, errlen);
    if (fd >= 0)
        close(fd);
    return result;
}

/* Renames the published folder away, so that nobody finds it while it is removed. 0, or -1 with errno. */
static int move_away(const struct snapshot *s, char *path, size_t len)
{
    char tail[9];

    random_hex(tail, sizeof(tail));
    snprintf(path, len, "%s/snapshots/" BUILD_PREFIX "old-%s", s->state, tail);
    return rename(s->folder, path);
}

void snapshot_remove(const struct snapshot *s)
{
    char old[450];

    if (move_away(s, old, sizeof(old)) == 0)
        snapshot_discard(old);
    else if (errno != ENOENT)
        log_warn("snapshot_not_removed", "folder=%s error=%s", s->folder, strerror(errno));
}

/* That a rename in it lasts. */
static int sync_parent(const struct snapshot *s)
{
    char parent[300];
    int fd, result;

    snprintf(parent, sizeof(parent), "%s/snapshots", s->state);
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    result = fsync(fd);
    close(fd);
    return result;
}

int snapshot_publish(const struct snapshot *s, const char *folder, char *err, size_t errlen)
{
    char old[450];

    if ((move_away(s, old, sizeof(old)) != 0 && errno != ENOENT) || rename(folder, s->folder) != 0 ||
        sync_parent(s) != 0) {
        snprintf(err, errlen, "cannot publish the snapshot as %s: %s", s->folder, strerror(errno));
        return -1;
    }
    snapshot_discard(old);
    return 0;
}
