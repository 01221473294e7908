/* snapshot_record.h: snapshot.json: the identity of what lies in a snapshot's folder, and each file's length
 * and checksum. The checksum finds what broke on disk or was cut short; it is no protection against somebody
 * who may write there. */
#ifndef BERTH_SNAPSHOT_RECORD_H
#define BERTH_SNAPSHOT_RECORD_H
#include <stddef.h>
#include <stdint.h>

#include "../shared/errors.h"

#define SNAPSHOT_RECORD      "snapshot.json"
#define SNAPSHOT_WORKING_SET "working-set" /* comes later, and checks itself */
#define SNAPSHOT_FILES_MAX   8

struct snapshot_file {
    char name[32];
    long long size;
    uint64_t sum;
};

struct snapshot_record {
    char *identity;
    struct snapshot_file files[SNAPSHOT_FILES_MAX];
    int count;
};

/* Of a folder's descriptor. 0, or -1 with what is wrong. */
int snapshot_record_read(int folder, struct snapshot_record *r, char *why, size_t whylen) MUST_USE;
/* Looks at the files that are in the folder, writes the record beside them, and sees to it that all of it is
 * on the disk. Blocks for as long as that takes. 0, or -1 with a sentence. */
int snapshot_record_write(int folder, const char *key, const char *identity, char *err,
                          size_t errlen) MUST_USE;
const struct snapshot_file *snapshot_record_file(const struct snapshot_record *r, const char *name);
void snapshot_record_cleanup(struct snapshot_record *r);

/* The checksum, taken a piece at a time: all but the last have to be multiples of 32 bytes. */
struct snapshot_sum {
    uint64_t lanes[4];
    uint64_t size;
};

void snapshot_sum_init(struct snapshot_sum *s);
void snapshot_sum_add(struct snapshot_sum *s, const void *data, size_t len);
uint64_t snapshot_sum_end(const struct snapshot_sum *s);
/* Of a whole file; 0, or -1 with errno. */
int snapshot_sum_file(int fd, uint64_t *out) MUST_USE;

#endif
