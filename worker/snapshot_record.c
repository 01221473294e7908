/* snapshot_record.c: see snapshot_record.h. */
#include "snapshot_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/json.h"
#include "../shared/mem.h"

#define FORMAT   2
#define JSON_MAX (64 * 1024)
#define PIECE    (1024 * 1024)
#define PRIME    0x9E3779B185EBCA87ULL
#define BLOCK    32

/* ---- checksum ---- */

void snapshot_sum_init(struct snapshot_sum *s)
{
    for (int i = 0; i < 4; i++)
        s->lanes[i] = PRIME * (uint64_t)(i + 1);
    s->size = 0;
}

/* Four words side by side: as fast as memory is read. Every step can be undone, so one changed word always
 * shows. */
static void add_block(uint64_t lanes[4], const unsigned char *at)
{
    uint64_t words[4];

    memcpy(words, at, sizeof(words));
    for (int i = 0; i < 4; i++) {
        uint64_t v = (lanes[i] ^ words[i]) * PRIME;

        lanes[i] = v << 29 | v >> 35;
    }
}

void snapshot_sum_add(struct snapshot_sum *s, const void *data, size_t len)
{
    const unsigned char *at = data;
    uint64_t lanes[4];

    memcpy(lanes, s->lanes, sizeof(lanes));
    s->size += len;
    for (; len >= BLOCK; len -= BLOCK, at += BLOCK)
        add_block(lanes, at);
    if (len > 0) {
        unsigned char last[BLOCK] = {0};

        memcpy(last, at, len);
        add_block(lanes, last);
    }
    memcpy(s->lanes, lanes, sizeof(lanes));
}

uint64_t snapshot_sum_end(const struct snapshot_sum *s)
{
    uint64_t sum = s->size * PRIME;

    for (int i = 0; i < 4; i++) {
        sum = (sum ^ s->lanes[i]) * PRIME;
        sum ^= sum >> 32;
    }
    return sum;
}

int snapshot_sum_file(int fd, uint64_t *out)
{
    struct snapshot_sum sum;
    unsigned char *piece = mem_alloc(PIECE);
    size_t have;
    ssize_t n = 1;

    snapshot_sum_init(&sum);
    do {
        for (have = 0; have < PIECE && n > 0; have += n > 0 ? (size_t)n : 0)
            n = pread(fd, piece + have, PIECE - have, (off_t)(sum.size + have));
        snapshot_sum_add(&sum, piece, have);
    } while (n > 0);
    free(piece);
    *out = snapshot_sum_end(&sum);
    return n < 0 ? -1 : 0;
}

/* ---- reading ---- */

static int take_file(struct snapshot_file *file, const cJSON *item)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name"));
    const char *sum = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "sum"));
    const cJSON *size = cJSON_GetObjectItemCaseSensitive(item, "size");

    if (!name || !*name || strlen(name) >= sizeof(file->name) || *name == '.' || strchr(name, '/') || !sum ||
        strlen(sum) != 16 || strspn(sum, "0123456789abcdef") != 16 || !cJSON_IsNumber(size) ||
        !(size->valuedouble >= 0 && size->valuedouble < 1e15))
        return -1;
    strcpy(file->name, name);
    file->size = (long long)size->valuedouble;
    file->sum = strtoull(sum, NULL, 16);
    return 0;
}

static int take(struct snapshot_record *r, const cJSON *json)
{
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(json, "format"),
                *identity = cJSON_GetObjectItemCaseSensitive(json, "identity"),
                *files = cJSON_GetObjectItemCaseSensitive(json, "files"), *item;

    if (!cJSON_IsNumber(format) || format->valueint != FORMAT || !cJSON_IsString(identity) ||
        !cJSON_IsArray(files) || cJSON_GetArraySize(files) > SNAPSHOT_FILES_MAX)
        return -1;
    cJSON_ArrayForEach(item, files)
    {
        if (take_file(&r->files[r->count], item) != 0)
            return -1;
        r->count++;
    }
    r->identity = mem_strdup(identity->valuestring);
    return 0;
}

int snapshot_record_read(int folder, struct snapshot_record *r, char *why, size_t whylen)
{
    int fd = openat(folder, SNAPSHOT_RECORD, O_RDONLY | O_CLOEXEC), result = -1;
    char *text, reason[160];
    cJSON *json;
    ssize_t n;

    memset(r, 0, sizeof(*r));
    if (fd < 0) {
        snprintf(why, whylen, "its " SNAPSHOT_RECORD " cannot be read: %s", strerror(errno));
        return -1;
    }
    text = mem_alloc(JSON_MAX);
    n = read(fd, text, JSON_MAX);
    close(fd);
    json = json_parse(text, n > 0 ? (size_t)n : 0, reason, sizeof(reason));
    free(text);
    if (!json) {
        snprintf(why, whylen, "its " SNAPSHOT_RECORD " is no JSON: %s", reason);
        return -1;
    }
    result = take(r, json);
    if (result != 0)
        snprintf(why, whylen, "its " SNAPSHOT_RECORD " is not of format %d", FORMAT);
    cJSON_Delete(json);
    return result;
}

const struct snapshot_file *snapshot_record_file(const struct snapshot_record *r, const char *name)
{
    for (int i = 0; i < r->count; i++) {
        if (strcmp(r->files[i].name, name) == 0)
            return &r->files[i];
    }
    return NULL;
}

void snapshot_record_cleanup(struct snapshot_record *r)
{
    free(r->identity);
    memset(r, 0, sizeof(*r));
}

/* ---- writing ---- */

/* One file's line in the record; its data is on the disk afterwards. 0, or -1 with errno. */
static int add_file(int folder, const char *name, cJSON *files)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC), result = -1, saved;
    cJSON *item;
    struct stat st;
    char sum[17];
    uint64_t value;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && snapshot_sum_file(fd, &value) == 0 && fsync(fd) == 0) {
        item = cJSON_CreateObject();
        snprintf(sum, sizeof(sum), "%016" PRIx64, value);
        cJSON_AddStringToObject(item, "name", name);
        cJSON_AddNumberToObject(item, "size", (double)st.st_size);
        cJSON_AddStringToObject(item, "sum", sum);
        cJSON_AddItemToArray(files, item);
        result = 0;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return result;
}

static int add_files(int folder, cJSON *files)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    while (result == 0 && (e = readdir(d))) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, SNAPSHOT_RECORD) == 0 ||
            strcmp(e->d_name, SNAPSHOT_WORKING_SET) == 0)
            continue;
        if (cJSON_GetArraySize(files) == SNAPSHOT_FILES_MAX ||
            strlen(e->d_name) >= sizeof(((struct snapshot_file *)0)->name)) {
            errno = EINVAL;
            result = -1;
        } else {
            result = add_file(folder, e->d_name, files);
        }
    }
    closedir(d);
    return result;
}

static int write_text(int folder, const char *text)
{
    int fd = openat(folder, SNAPSHOT_RECORD, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ok;
    size_t len = strlen(text);

    if (fd < 0)
        return -1;
    ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    return close(fd) == 0 && ok ? 0 : -1;
}

int snapshot_record_write(int folder, const char *key, const char *identity, char *err, size_t errlen)
{
    cJSON *json = cJSON_CreateObject(), *files;
    char *text;
    int result;

    cJSON_AddNumberToObject(json, "format", FORMAT);
    cJSON_AddStringToObject(json, "key", key);
    cJSON_AddStringToObject(json, "identity", identity);
    files = cJSON_AddArrayToObject(json, "files");
    result = add_files(folder, files);
    if (result == 0) {
        text = json_print(json);
        result = write_text(folder, text);
        free(text);
    }
    if (result == 0)
        result = fsync(folder);
    if (result != 0)
        snprintf(err, errlen, "cannot write the snapshot to the disk: %s", strerror(errno));
    cJSON_Delete(json);
    return result;
}
