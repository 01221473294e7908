/* profile.c: see profile.h. */
#include "profile.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/buf.h"
#include "../shared/json.h"
#include "../shared/mem.h"
#include "egress.h"
#include "net_shape.h"

#define FILE_MAX (256 * 1024)
#define ARGS_MAX 256

#define DEFAULT_NAME      "default"
#define DEFAULT_MEMORY_MB 1024
#define DEFAULT_CPUS      2
#define DEFAULT_PIDS      512
#define DEFAULT_SHM_MB    256
#define DEFAULT_TMP_MB    512

static const char *const drivers[] = {"process", "docker", "qemu", "firecracker", "sim"};

struct loader {
    struct profile_set *set;
    const struct settings *settings;
    char *err;
    unsigned errlen;
};

/* ---- lists of strings ---- */

static size_t list_len(char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

static void list_add(char ***list, const char *s)
{
    size_t n = list_len(*list);

    *list = mem_realloc(*list, (n + 2) * sizeof(**list));
    (*list)[n] = mem_strdup(s);
    (*list)[n + 1] = NULL;
}

/* ---- one profile ---- */

static void profile_cleanup(struct profile *p)
{
    free(p->name);
    free(p->driver);
    free(p->browser);
    egress_free_list(p->args);
    egress_free_list(p->egress_allow);
    memset(p, 0, sizeof(*p));
}

static void profile_defaults(struct profile *p, const struct settings *s)
{
    memset(p, 0, sizeof(*p));
    p->driver = mem_strdup(s->driver && *s->driver ? s->driver : "process");
    p->memory_mb = DEFAULT_MEMORY_MB;
    p->cpus = DEFAULT_CPUS;
    p->pids = DEFAULT_PIDS;
    p->shm_mb = DEFAULT_SHM_MB;
    p->tmp_mb = DEFAULT_TMP_MB;
    p->browser = s->browser && *s->browser ? mem_strdup(s->browser) : NULL;
    p->args = mem_alloc(sizeof(*p->args));
    p->egress_allow = egress_split(s->egress_allow);
    p->sim_start_ms = (int)s->sim_start;
    p->sim_fail_percent = (int)s->sim_fail;
}

static int fail(const struct loader *l, const struct profile *p, const char *member, const char *what)
{
    snprintf(l->err, l->errlen, "profile \"%.64s\": %.64s %s", p->name ? p->name : "?", member, what);
    return -1;
}

static int name_is_good(const char *s)
{
    size_t len = strlen(s);

    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)s[i]) && !strchr("._-", s[i]))
            return 0;
    }
    return len >= 1 && len <= 64;
}

static int read_name(struct loader *l, struct profile *p, const cJSON *item)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(item, "name");

    if (!cJSON_IsString(v) || !name_is_good(v->valuestring))
        return fail(l, p, "name", "has to be 1 to 64 letters, digits, dots, underscores or dashes");
    if (profile_find(l->set, v->valuestring)) {
        p->name = mem_strdup(v->valuestring);
        return fail(l, p, "name", "is there twice");
    }
    p->name = mem_strdup(v->valuestring);
    return 0;
}

static int read_int(struct loader *l, const struct profile *p, const cJSON *v, int min, int max, int *out)
{
    char what[80];

    if (cJSON_IsNumber(v) && v->valuedouble >= min && v->valuedouble <= max &&
        v->valuedouble == (int)v->valuedouble) {
        *out = (int)v->valuedouble;
        return 0;
    }
    snprintf(what, sizeof(what), "has to be a whole number from %d to %d", min, max);
    return fail(l, p, v->string, what);
}

static int read_list(struct loader *l, const struct profile *p, const cJSON *v, char ***out)
{
    const cJSON *item;

    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) > ARGS_MAX)
        return fail(l, p, v->string, "has to be a list of at most 256 strings");
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsString(item) || !*item->valuestring)
            return fail(l, p, v->string, "has to be a list of strings that are not empty");
        list_add(out, item->valuestring);
    }
    return 0;
}

static int read_driver(struct loader *l, struct profile *p, const cJSON *v)
{
    for (size_t i = 0; cJSON_IsString(v) && i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strcmp(v->valuestring, drivers[i]) == 0) {
            free(p->driver);
            p->driver = mem_strdup(v->valuestring);
            return 0;
        }
    }
    return fail(l, p, "driver", "has to be process, docker, qemu, firecracker or sim");
}

static int read_browser(struct loader *l, struct profile *p, const cJSON *v)
{
    if (!cJSON_IsString(v) || v->valuestring[0] != '/')
        return fail(l, p, "browser", "has to be an absolute path");
    free(p->browser);
    p->browser = mem_strdup(v->valuestring);
    return 0;
}

static int read_args(struct loader *l, struct profile *p, const cJSON *v)
{
    if (read_list(l, p, v, &p->args) != 0)
        return -1;
    for (char **arg = p->args; *arg; arg++) {
        /* These belong to the driver: with others the worker could not reach the browser, or the jail would
         * have a hole. */
        if (strncmp(*arg, "--", 2) != 0 || strncmp(*arg, "--remote-debugging-", 19) == 0 ||
            strncmp(*arg, "--user-data-dir", 15) == 0 || strncmp(*arg, "--no-sandbox", 12) == 0)
            return fail(
                l, p, "args",
                "has to be flags (--name[=value]) other than remote-debugging-*, user-data-dir, no-sandbox");
    }
    return 0;
}

static int read_egress(struct loader *l, struct profile *p, const cJSON *v)
{
    struct egress_policy policy;
    char what[160];

    if (read_list(l, p, v, &p->egress_allow) != 0)
        return -1;
    if (egress_parse(&policy, p->egress_allow, what, sizeof(what)) != 0)
        return fail(l, p, "egressAllow", what);
    return 0;
}

static int read_cpus(struct loader *l, struct profile *p, const cJSON *v)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0.05 && v->valuedouble <= 1024))
        return fail(l, p, "cpus", "has to be a number from 0.05 to 1024");
    p->cpus = v->valuedouble;
    return 0;
}

static int read_rate(struct loader *l, struct profile *p, const cJSON *v)
{
    double *out = strcmp(v->string, "downloadMbps") == 0 ? &p->download_mbps : &p->upload_mbps;

    if (!cJSON_IsNumber(v) || !(v->valuedouble >= NET_SHAPE_MIN_MBPS && v->valuedouble <= NET_SHAPE_MAX_MBPS))
        return fail(l, p, v->string, "has to be a number from 0.1 to 10000");
    *out = v->valuedouble;
    return 0;
}

static int read_disk_rate(struct loader *l, struct profile *p, const cJSON *v)
{
    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0.1 && v->valuedouble <= 100000))
        return fail(l, p, v->string, "has to be a number from 0.1 to 100000");
    p->disk.mib_s = v->valuedouble;
    return 0;
}

static int read_disk_iops(struct loader *l, struct profile *p, const cJSON *v)
{
    int iops;

    if (read_int(l, p, v, 1, 10000000, &iops) != 0)
        return -1;
    p->disk.iops = iops;
    return 0;
}

static int read_member(struct loader *l, struct profile *p, const cJSON *v)
{
    const struct {
        const char *name;
        int min, max, *out;
    } ints[] = {
        {"warm", 0, 10000, &p->warm},
        {"memoryMb", 64, 1048576, &p->memory_mb},
        {"pids", 16, 1000000, &p->pids},
        {"shmMb", 1, 1048576, &p->shm_mb},
        {"tmpMb", 8, 1048576, &p->tmp_mb},
        {"simStartMs", 0, 600000, &p->sim_start_ms},
        {"simFailPercent", 0, 100, &p->sim_fail_percent},
    };
    static const struct {
        const char *name;
        int (*read)(struct loader *l, struct profile *p, const cJSON *v);
    } others[] = {
        {"driver", read_driver},      {"browser", read_browser},     {"args", read_args},
        {"egressAllow", read_egress}, {"cpus", read_cpus},           {"downloadMbps", read_rate},
        {"uploadMbps", read_rate},    {"diskMiBps", read_disk_rate}, {"diskIops", read_disk_iops},
    };

    if (strcmp(v->string, "name") == 0)
        return 0;
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        if (strcmp(v->string, ints[i].name) == 0)
            return read_int(l, p, v, ints[i].min, ints[i].max, ints[i].out);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(v->string, others[i].name) == 0)
            return others[i].read(l, p, v);
    }
    return fail(l, p, v->string, "is not a member of a profile");
}

/* Appends one profile to the set, which owns it even when this fails. */
static int read_profile(struct loader *l, const cJSON *item)
{
    struct profile *p;
    const cJSON *v;

    l->set->items = mem_realloc(l->set->items, (l->set->count + 1) * sizeof(*l->set->items));
    p = &l->set->items[l->set->count];
    profile_defaults(p, l->settings);
    if (!cJSON_IsObject(item) || read_name(l, p, item) != 0) {
        if (!cJSON_IsObject(item))
            snprintf(l->err, l->errlen, "profiles[%zu] has to be an object", l->set->count);
        profile_cleanup(p);
        return -1;
    }
    l->set->count++;
    if (strcmp(p->name, DEFAULT_NAME) == 0)
        p->warm = (int)l->settings->warm;
    cJSON_ArrayForEach(v, item)
    {
        if (read_member(l, p, v) != 0)
            return -1;
    }
    return 0;
}

/* ---- the file ---- */

static int read_file(const char *path, struct buf *out, char *err, unsigned errlen)
{
    FILE *f = fopen(path, "re");
    char chunk[4096];
    size_t n;
    int result = -1;

    if (!f) {
        snprintf(err, errlen, "BERTH_PROFILES: cannot read %s: %s", path, strerror(errno));
        return -1;
    }
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0 && out->len <= FILE_MAX)
        buf_add(out, chunk, n);
    if (ferror(f))
        snprintf(err, errlen, "BERTH_PROFILES: cannot read %s: %s", path, strerror(errno));
    else if (out->len > FILE_MAX)
        snprintf(err, errlen, "BERTH_PROFILES: %s is larger than %d bytes", path, FILE_MAX);
    else
        result = 0;
    fclose(f);
    return result;
}

static int load_file(struct loader *l, const char *path)
{
    struct buf text = {0};
    cJSON *root = NULL;
    const cJSON *profiles, *item;
    char why[160];
    int result = -1;

    if (read_file(path, &text, l->err, l->errlen) != 0)
        goto cleanup;
    root = json_parse(text.data ? text.data : "", text.len, why, sizeof(why));
    if (!root) {
        snprintf(l->err, l->errlen, "BERTH_PROFILES: %s: %s", path, why);
        goto cleanup;
    }
    profiles = cJSON_GetObjectItemCaseSensitive(root, "profiles");
    if (!cJSON_IsArray(profiles) || cJSON_GetArraySize(root) != 1 || cJSON_GetArraySize(profiles) < 1 ||
        cJSON_GetArraySize(profiles) > PROFILE_MAX) {
        snprintf(l->err, l->errlen,
                 "BERTH_PROFILES: %s has to be {\"profiles\":[...]} and nothing else, with 1 to %d profiles",
                 path, PROFILE_MAX);
        goto cleanup;
    }
    cJSON_ArrayForEach(item, profiles)
    {
        if (read_profile(l, item) != 0)
            goto cleanup;
    }
    result = 0;
cleanup:
    cJSON_Delete(root);
    buf_cleanup(&text);
    return result;
}

int profile_set_load(struct profile_set *set, const struct settings *s, char *err, unsigned errlen)
{
    struct loader l = {set, s, err, errlen};
    struct egress_policy policy;
    char **allow = egress_split(s->egress_allow);
    char why[160];
    int result = -1;

    memset(set, 0, sizeof(*set));
    if (egress_parse(&policy, allow, why, sizeof(why)) != 0) {
        snprintf(err, errlen, "BERTH_EGRESS_ALLOW: %s", why);
    } else if (s->profiles && *s->profiles) {
        result = load_file(&l, s->profiles);
    } else {
        set->items = mem_alloc(sizeof(*set->items));
        set->count = 1;
        profile_defaults(&set->items[0], s);
        set->items[0].name = mem_strdup(DEFAULT_NAME);
        set->items[0].warm = (int)s->warm;
        result = 0;
    }
    egress_free_list(allow);
    if (result != 0)
        profile_set_cleanup(set);
    return result;
}

void profile_set_cleanup(struct profile_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        profile_cleanup(&set->items[i]);
    free(set->items);
    memset(set, 0, sizeof(*set));
}

const struct profile *profile_find(const struct profile_set *set, const char *name)
{
    for (size_t i = 0; name && i < set->count; i++) {
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    }
    return NULL;
}
