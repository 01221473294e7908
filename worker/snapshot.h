/* snapshot.h: a settled guest on disk: <state>/snapshots/<key>/ with snapshot.json (snapshot_record.h),
 * memory, the monitor's device state, and the working set (working_set.h). A folder is complete, and on the
 * disk, from the moment it has its name, and never changes; a build happens in a folder beside it that begins
 * with a dot.
 *
 * The key is a hash of the identity: lines that say everything the snapshot depends on.
 *
 * Who uses a snapshot holds its folder with a shared lock; what nobody holds may be removed to make room. */
#ifndef BERTH_SNAPSHOT_H
#define BERTH_SNAPSHOT_H
#include <stddef.h>
#include <sys/stat.h>

#include "../shared/errors.h"
#include "snapshot_record.h"

#define SNAPSHOT_MEMORY "memory"

struct snapshot {
    char state[256]; /* BERTH_STATE */
    char *identity;  /* lines, each ended by \n; owned */
    char key[33];
    char folder[400]; /* where it is, or will be */
    int memory_mb;
    int by_file;                   /* 1: clones map the file itself, which they can only read */
    int huge_pages;                /* 1: the copy in RAM is in pages of 2 MB; memory_mb is even then */
    int memory;                    /* what clones map: a sealed copy in RAM, or the file; -1: not loaded */
    int held;                      /* the folder, locked; -1: not found */
    struct snapshot_record record; /* what it held when it was found */
    struct stat stats[SNAPSHOT_FILES_MAX];
    int source; /* while loading: the file */
    struct snapshot_sum sum;
    long long at; /* bytes loaded so far */
};

/* identity is taken. Touches no file. */
void snapshot_init(struct snapshot *s, const char *state, char *identity, int memory_mb);
void snapshot_cleanup(struct snapshot *s);
/* Lets go of folder and memory; guests that map it keep it. */
void snapshot_release(struct snapshot *s);

/* Looks whether the folder holds this snapshot, and holds it if so. 1: yes. 0: there is none, and why says
 * so; other snapshots are named there with what differs. -1: it is there and refused, with the reason. */
int snapshot_find(struct snapshot *s, char *why, size_t whylen) MUST_USE;
/* 1: the folder under its name is still the one that was found, with the same files. 0: it is gone or another
 * one, and why says what. */
int snapshot_is_current(const struct snapshot *s, char *why, size_t whylen);

/* Loads the memory of a snapshot that was found into RAM, a piece at each call: guests map it privately, and
 * as it is sealed nobody, not even a monitor that was broken into, can change it for the others. With by_file
 * the file is read into the page cache, and stays what clones map. 1: call again; 0: memory is there; -1 with
 * a sentence; -2: it is not what was saved, with a sentence. */
int snapshot_load(struct snapshot *s, char *err, size_t errlen) MUST_USE;

/* ---- building ---- */

/* A new folder in <state>/snapshots to build in, that belongs to this host's one builder: lock keeps others
 * out until it is closed. 0, or -1: errno EWOULDBLOCK if another process builds, otherwise with a sentence.
 * What dead builders left is removed. */
int snapshot_begin(const struct snapshot *s, char folder[400], int *lock, char *err, size_t errlen) MUST_USE;
/* The file for the guest's memory in it, owned by uid; -1 with errno. */
int snapshot_memory_file(const struct snapshot *s, const char *folder, long uid) MUST_USE;
/* All files are there: nobody may write them any more, snapshot.json is written, all of it is on the disk.
 * Blocks for seconds, and may run in another thread (background.h). 0, or -1 with a sentence. */
int snapshot_complete(const struct snapshot *s, const char *folder, char *err, size_t errlen) MUST_USE;
/* Gives the complete folder its name; what is there under it and was refused is removed. 0, or -1 with a
 * sentence. */
int snapshot_publish(const struct snapshot *s, const char *folder, char *err, size_t errlen) MUST_USE;
void snapshot_discard(const char *folder); /* removes a folder and what is in it */
/* The same with the folder that has the snapshot's name; nobody sees it half removed. */
void snapshot_remove(const struct snapshot *s);

/* Removes snapshots that nobody holds, the one that was used longest ago first, until all of them take
 * limit_mb on the disk (0: no limit). keep: a key that stays. What is left, in MB. For the holder of the
 * builder's lock. */
long snapshot_prune(const char *state, long limit_mb, const char *keep);

/* What two identities differ in, in one line: the first line that one has and the other has not. Apart for
 * tests. */
void snapshot_difference(const char *wanted, const char *found, char *out, size_t outlen);

#endif
