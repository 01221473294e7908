/* snapshot.c: see snapshot.h: finding, checking and loading; snapshot_build.c makes them. */
#include "snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../shared/json.h"
#include "../shared/random.h"

#define FORMAT     1
#define JSON_MAX   (64 * 1024)
#define PIECE      (8LL * 1024 * 1024)
#define ALL_SEALS  (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SHOWN_LINE 120

void snapshot_init(struct snapshot *s, const char *state, char *identity, int memory_mb)
{
    char digest[65];

    memset(s, 0, sizeof(*s));
    s->memory = s->source = -1;
    s->identity = identity;
    s->memory_mb = memory_mb;
    random_sha256_hex(identity, strlen(identity), digest);
    snprintf(s->key, sizeof(s->key), "%.32s", digest);
    snprintf(s->state, sizeof(s->state), "%s", state);
    snprintf(s->folder, sizeof(s->folder), "%s/snapshots/%s", s->state, s->key);
}

void snapshot_cleanup(struct snapshot *s)
{
    free(s->identity);
    if (s->memory >= 0)
        close(s->memory);
    if (s->source >= 0)
        close(s->source);
    memset(s, 0, sizeof(*s));
    s->memory = s->source = -1;
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

/* The identity in a folder's snapshot.json, caller frees; NULL with what is wrong. */
static char *read_identity(const char *folder, char *why, size_t whylen)
{
    char path[500], *identity = NULL, *text = NULL;
    cJSON *json = NULL;
    const cJSON *value, *format;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/snapshot.json", folder);
    f = fopen(path, "re");
    if (!f) {
        snprintf(why, whylen, "%s: %s", path, strerror(errno));
        return NULL;
    }
    text = malloc(JSON_MAX);
    n = text ? fread(text, 1, JSON_MAX, f) : 0;
    fclose(f);
    json = json_parse(text ? text : "", n, why, whylen);
    free(text);
    if (!json)
        return NULL;
    format = cJSON_GetObjectItemCaseSensitive(json, "format");
    value = cJSON_GetObjectItemCaseSensitive(json, "identity");
    if (!cJSON_IsNumber(format) || format->valueint != FORMAT || !cJSON_IsString(value))
        snprintf(why, whylen, "snapshot.json is not of format %d", FORMAT);
    else
        identity = strdup(value->valuestring);
    cJSON_Delete(json);
    return identity;
}

/* That the folder's snapshot is the wanted one: 0, or -1 with the reason. */
static int check_folder(const struct snapshot *s, const char *folder, char *why, size_t whylen)
{
    char *identity = read_identity(folder, why, whylen), path[500];
    struct stat st;
    int same;

    if (!identity)
        return -1;
    same = strcmp(identity, s->identity) == 0;
    if (!same)
        snapshot_difference(s->identity, identity, why, whylen);
    free(identity);
    if (!same)
        return -1;
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, folder);
    if (stat(path, &st) != 0 || st.st_size != s->memory_mb * 1048576LL) {
        snprintf(why, whylen, "its memory is missing or has another size");
        return -1;
    }
    return 0;
}

int snapshot_check(const struct snapshot *s, char *why, size_t whylen)
{
    char parent[400], folder[700], reason[400];
    struct dirent *e;
    size_t used;
    DIR *d;

    if (access(s->folder, F_OK) == 0)
        return check_folder(s, s->folder, why, whylen) == 0 ? 1 : -1;
    snprintf(why, whylen, "none was built yet");
    snprintf(parent, sizeof(parent), "%s/snapshots", s->state);
    d = opendir(parent);
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof(folder), "%s/%s", parent, e->d_name);
        if (check_folder(s, folder, reason, sizeof(reason)) == 0)
            snprintf(reason, sizeof(reason), "it lies under another's name");
        used = strlen(why);
        snprintf(why + used, whylen - used, "; %.8s does not fit: %s", e->d_name, reason);
    }
    if (d)
        closedir(d);
    return 0;
}

/* ---- loading ---- */

static int open_memory(struct snapshot *s)
{
    char path[500];

    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, s->folder);
    s->source = open(path, O_RDONLY | O_CLOEXEC);
    if (s->source < 0)
        return -1;
    s->memory = memfd_create("berth-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->memory < 0 || ftruncate(s->memory, s->memory_mb * 1048576LL) != 0)
        return -1;
    s->at = 0;
    return 0;
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
    s->at += len;
    result = 0;
cleanup:
    munmap(to, (size_t)len);
    return result;
}

/* Into the page cache: otherwise the first guests would wait for the disk. As snapshot_load. */
static int load_file(struct snapshot *s, char *err, size_t errlen)
{
    char path[500];

    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, s->folder);
    if (s->memory < 0) {
        s->memory = open(path, O_RDONLY | O_CLOEXEC);
        s->at = 0;
    }
    if (s->memory < 0) {
        snprintf(err, errlen, "cannot open the snapshot's memory: %s", strerror(errno));
        return -1;
    }
    (void)posix_fadvise(s->memory, s->at, PIECE, POSIX_FADV_WILLNEED);
    s->at += PIECE;
    return s->at < s->memory_mb * 1048576LL;
}

int snapshot_load(struct snapshot *s, char *err, size_t errlen)
{
    if (s->by_file)
        return load_file(s, err, errlen);
    if (s->source < 0 && s->memory >= 0)
        return 0;
    if ((s->source < 0 && open_memory(s) != 0) || load_piece(s) != 0)
        goto fail;
    if (s->at < s->memory_mb * 1048576LL)
        return 1;
    if (fcntl(s->memory, F_ADD_SEALS, ALL_SEALS) != 0)
        goto fail;
    close(s->source);
    s->source = -1;
    return 0;
fail:
    snprintf(err, errlen, "cannot load the snapshot's memory: %s", strerror(errno));
    if (s->source >= 0)
        close(s->source);
    if (s->memory >= 0)
        close(s->memory);
    s->source = s->memory = -1;
    return -1;
}
