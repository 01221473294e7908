/* auth.c: reads the key file and finds keys in it.
 *
 * A presented key is hashed (SHA-256) before anything is compared, and entries are found by their digest with
 * a binary search. What the search's timing tells is how many leading bits of *that digest* agree with a
 * stored one; nobody can steer a digest towards a wanted prefix without the key, so the key itself does not
 * leak. The last comparison takes constant time all the same. */
#include "auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json.h"
#include "../shared/mem.h"
#include "../shared/random.h"

#define DIGEST   64 /* hex digits of SHA-256 */
#define FILE_MAX (16 * 1024 * 1024)

struct key {
    char digest[DIGEST + 1];
    struct principal who;
};

struct keyring {
    struct key *keys; /* sorted by digest */
    size_t n;
};

struct auth {
    char *path; /* NULL: open */
    struct keyring ring;
};

static void keyring_cleanup(struct keyring *r)
{
    free(r->keys);
    memset(r, 0, sizeof(*r));
}

static unsigned scope_bits(const char *name)
{
    if (!strcmp(name, "read"))
        return 1u << SCOPE_READ;
    if (!strcmp(name, "create"))
        return 1u << SCOPE_READ | 1u << SCOPE_CREATE;
    if (!strcmp(name, "admin"))
        return 1u << SCOPE_READ | 1u << SCOPE_CREATE | 1u << SCOPE_ADMIN;
    return 0;
}

static int read_limit(const cJSON *entry, const char *name, long *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(entry, name);

    *out = -1;
    if (!v)
        return 0;
    if (!cJSON_IsNumber(v) || v->valuedouble < 0 || v->valuedouble > 1e6 ||
        v->valuedouble != (double)(long)v->valuedouble)
        return -1;
    *out = (long)v->valuedouble;
    return 0;
}

static int read_scopes(const cJSON *entry, unsigned *out)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(entry, "scopes"), *v;

    if (!cJSON_IsArray(list))
        return -1;
    *out = 0;
    cJSON_ArrayForEach(v, list)
    {
        unsigned bits = cJSON_IsString(v) ? scope_bits(v->valuestring) : 0;

        if (!bits)
            return -1;
        *out |= bits;
    }
    return *out ? 0 : -1;
}

/* NULL if all is well, else what is wrong with the entry. */
static const char *read_key(const cJSON *entry, struct key *out)
{
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(entry, "hash");
    const cJSON *project = cJSON_GetObjectItemCaseSensitive(entry, "project");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(entry, "name");
    const char *digest;

    if (!cJSON_IsObject(entry))
        return "is not an object";
    if (!cJSON_IsString(hash) || strncmp(hash->valuestring, "sha256:", 7))
        return "has no \"hash\" of the form sha256:<64 hex digits>";
    digest = hash->valuestring + 7;
    if (strlen(digest) != DIGEST || strspn(digest, "0123456789abcdef") != DIGEST)
        return "has a \"hash\" that is not sha256: and 64 lower-case hex digits";
    memcpy(out->digest, digest, DIGEST + 1);
    if (!cJSON_IsString(project) || !keys_is_name(project->valuestring))
        return "has no legal \"project\" (1 to 64 of A-Z a-z 0-9 . _ -)";
    snprintf(out->who.project, sizeof(out->who.project), "%s", project->valuestring);
    if (name && (!cJSON_IsString(name) || !keys_is_name(name->valuestring)))
        return "has an illegal \"name\"";
    if (name)
        snprintf(out->who.name, sizeof(out->who.name), "%s", name->valuestring);
    if (read_scopes(entry, &out->who.scopes))
        return "needs \"scopes\", a list of read, create and admin";
    if (read_limit(entry, "concurrency", &out->who.concurrency))
        return "has a \"concurrency\" that is not a whole number from 0";
    if (read_limit(entry, "queue", &out->who.queue))
        return "has a \"queue\" that is not a whole number from 0";
    return NULL;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(((const struct key *)a)->digest, ((const struct key *)b)->digest, DIGEST);
}

static char *read_file(const char *path, size_t *len, char *err, size_t errlen)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;

    if (!f) {
        snprintf(err, errlen, "%s: %s", path, strerror(errno));
        return NULL;
    }
    text = mem_alloc(FILE_MAX + 1);
    *len = fread(text, 1, FILE_MAX + 1, f);
    if (ferror(f) || *len > FILE_MAX) {
        snprintf(err, errlen, "%s: %s", path, ferror(f) ? "cannot be read" : "is larger than 16 MiB");
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

static int keyring_parse(struct keyring *r, const cJSON *root, const char *path, char *err, size_t errlen)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "keys"), *entry;
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    size_t i;

    if (count == 0) {
        snprintf(err, errlen, "%s: holds no \"keys\"", path);
        return -1;
    }
    r->keys = mem_alloc((size_t)count * sizeof(*r->keys));
    cJSON_ArrayForEach(entry, list)
    {
        const char *wrong = read_key(entry, &r->keys[r->n]);

        if (wrong) {
            snprintf(err, errlen, "%s: key %zu %s", path, r->n + 1, wrong);
            return -1;
        }
        r->n++;
    }
    qsort(r->keys, r->n, sizeof(*r->keys), compare_keys);
    for (i = 1; i < r->n; i++)
        if (!compare_keys(&r->keys[i - 1], &r->keys[i])) {
            snprintf(err, errlen, "%s: two keys have the hash sha256:%.12s…", path, r->keys[i].digest);
            return -1;
        }
    return 0;
}

int auth_reload(struct auth *a, char *err, size_t errlen)
{
    struct keyring fresh = {0};
    char *text = NULL, why[160];
    cJSON *root = NULL;
    size_t len;
    int rc = -1;

    if (!a->path)
        return 0;
    text = read_file(a->path, &len, err, errlen);
    if (!text)
        goto cleanup;
    root = json_parse(text, len, why, sizeof(why));
    if (!root) {
        snprintf(err, errlen, "%s: %s", a->path, why);
        goto cleanup;
    }
    if (keyring_parse(&fresh, root, a->path, err, errlen))
        goto cleanup;
    keyring_cleanup(&a->ring);
    a->ring = fresh;
    memset(&fresh, 0, sizeof(fresh));
    rc = 0;
cleanup:
    keyring_cleanup(&fresh);
    cJSON_Delete(root);
    free(text);
    return rc;
}

struct auth *auth_new(const char *path, char *err, size_t errlen)
{
    struct auth *a = mem_alloc(sizeof(*a));

    if (path && *path)
        a->path = mem_strdup(path);
    if (auth_reload(a, err, errlen)) {
        auth_free(a);
        return NULL;
    }
    return a;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    keyring_cleanup(&a->ring);
    free(a->path);
    free(a);
}

int auth_is_open(const struct auth *a)
{
    return !a->path;
}

size_t auth_count(const struct auth *a)
{
    return a->ring.n;
}

static const struct principal *find(const struct keyring *r, const char *key)
{
    struct key probe = {0};
    const struct key *found;

    random_sha256_hex(key, strlen(key), probe.digest);
    found = bsearch(&probe, r->keys, r->n, sizeof(*r->keys), compare_keys);
    if (!found || !random_equal(found->digest, DIGEST, probe.digest, DIGEST))
        return NULL;
    return &found->who;
}

enum err auth_check(const struct auth *a, const char *key, enum scope need, struct principal *out)
{
    const struct principal *who;

    memset(out, 0, sizeof(*out));
    out->concurrency = out->queue = -1;
    if (auth_is_open(a)) {
        snprintf(out->project, sizeof(out->project), "%s", AUTH_DEFAULT_PROJECT);
        out->scopes = scope_bits("admin");
        return ERR_ok;
    }
    who = key && *key ? find(&a->ring, key) : NULL;
    if (who)
        *out = *who;
    if (need == SCOPE_NONE)
        return ERR_ok;
    if (!who)
        return ERR_unauthorized;
    return auth_has(out, need) ? ERR_ok : ERR_forbidden;
}

int auth_has(const struct principal *p, enum scope s)
{
    return (p->scopes >> s & 1u) != 0;
}

const char *auth_reach(const struct principal *p)
{
    return auth_has(p, SCOPE_ADMIN) ? "" : p->project;
}
