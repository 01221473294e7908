/* snapshot.h: a settled guest on disk: <state>/snapshots/<key>/ with snapshot.json, memory, the monitor's
 * device state, and the working set (working_set.h). A folder is complete from the moment it has its name,
 * and never changes; a build happens in a folder beside it that begins with a dot.
 *
 * The key is a hash of the identity: lines that say everything the snapshot depends on. */
#ifndef BERTH_SNAPSHOT_H
#define BERTH_SNAPSHOT_H
#include <stddef.h>

#include "../shared/errors.h"

#define SNAPSHOT_MEMORY "memory"

struct snapshot {
    char state[256]; /* BERTH_STATE */
    char *identity;  /* lines, each ended by \n; owned */
    char key[33];
    char folder[400]; /* where it is, or will be */
    int memory_mb;
    int by_file;  /* 1: clones map the file itself, which they can only read */
    int memory;   /* what clones map: a sealed copy in RAM, or the file; -1: not loaded */
    int source;   /* while loading: the file */
    long long at; /* bytes loaded so far */
};

/* identity is taken. Touches no file. */
void snapshot_init(struct snapshot *s, const char *state, char *identity, int memory_mb);
void snapshot_cleanup(struct snapshot *s);

/* Looks whether the folder holds this snapshot. 1: yes. 0: there is none, and why says so; other snapshots
 * are named there with what differs. -1: it is there and refused, with the reason. */
int snapshot_check(const struct snapshot *s, char *why, size_t whylen) MUST_USE;

/* Loads the memory into RAM, a piece at each call: guests map it privately, and as it is sealed nobody, not
 * even a monitor that was broken into, can change it for the others. With by_file it is opened, and read into
 * the page cache. 1: call again; 0: memory is there; -1
 * with a sentence. */
int snapshot_load(struct snapshot *s, char *err, size_t errlen) MUST_USE;

/* ---- building ---- */

/* A new folder in <state>/snapshots to build in, that belongs to this host's one builder: lock keeps others
 * out until it is closed. 0, or -1: errno EWOULDBLOCK if another process builds, otherwise with a sentence.
 * What dead builders left is removed. */
int snapshot_begin(const struct snapshot *s, char folder[400], int *lock, char *err, size_t errlen) MUST_USE;
/* The file for the guest's memory in it, owned by uid; -1 with errno. */
int snapshot_memory_file(const struct snapshot *s, const char *folder, long uid) MUST_USE;
/* Writes snapshot.json and gives the folder its name; what is there under it and was refused is removed. 0,
 * or -1 with a sentence. */
int snapshot_publish(const struct snapshot *s, const char *folder, char *err, size_t errlen) MUST_USE;
void snapshot_discard(const char *folder); /* removes a folder and what is in it */

/* What two identities differ in, in one line: the first line that one has and the other has not. Apart for
 * tests. */
void snapshot_difference(const char *wanted, const char *found, char *out, size_t outlen);

#endif
