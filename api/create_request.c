/* create_request.c: one table of fields, one checker each. */
#include "create_request.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json.h"

#define TAGS_MAX 16
#define META_MAX 60000 /* the scripts take 65536 */
#define TEXT_MAX 256   /* bytes of a short text: region, a tag's name or value, a provider's field */

struct parse {
    struct create_request *r;
    const struct create_bounds *bounds;
    struct create_problem *why;
    const char *region, *browser, *proxy_profile;
    const cJSON *metadata, *tags, *provider, *browser_settings;
    double timeout, timeout_sec; /* seconds, 0: absent */
};

enum kind { KIND_TEXT, KIND_BOOL, KIND_NUMBER, KIND_OBJECT, KIND_ANY };

struct field {
    const char *name;
    enum kind kind;
    enum err (*check)(struct parse *p, const struct field *f, const cJSON *v);
};

static enum err refuse(struct parse *p, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum err refuse(struct parse *p, const char *field, const char *fmt, ...)
{
    size_t at;
    va_list ap;

    snprintf(p->why->field, sizeof(p->why->field), "%s", field);
    at = (size_t)snprintf(p->why->message, sizeof(p->why->message), "%s: ", p->why->field);
    va_start(ap, fmt);
    vsnprintf(p->why->message + at, sizeof(p->why->message) - at, fmt, ap);
    va_end(ap);
    return ERR_bad_field;
}

/* ---- checkers ---- */

static enum err check_browser(struct parse *p, const struct field *f, const cJSON *v)
{
    if (strcmp(v->valuestring, "chromium") && strcmp(v->valuestring, "chrome"))
        return refuse(p, f->name, "has to be \"chromium\"");
    p->browser = "chromium";
    return ERR_ok;
}

static enum err check_keep_alive(struct parse *p, const struct field *f, const cJSON *v)
{
    (void)f;
    p->r->keep_alive = cJSON_IsTrue(v);
    return ERR_ok;
}

static enum err check_seconds(struct parse *p, const struct field *f, const cJSON *v, double min, double *out)
{
    double max = (double)p->bounds->timeout_max_ms / 1000.0;

    if (!(v->valuedouble >= min && v->valuedouble <= max))
        return refuse(p, f->name, "has to be from %g to %g seconds", min, max);
    *out = v->valuedouble;
    return ERR_ok;
}

static enum err check_timeout(struct parse *p, const struct field *f, const cJSON *v)
{
    return check_seconds(p, f, v, 1, &p->timeout);
}

static enum err check_timeout_sec(struct parse *p, const struct field *f, const cJSON *v)
{
    return check_seconds(p, f, v, 1, &p->timeout_sec);
}

static enum err check_idle(struct parse *p, const struct field *f, const cJSON *v)
{
    double seconds = 0;
    enum err e = check_seconds(p, f, v, 0, &seconds);

    if (!e)
        p->r->idle_ms = lround(seconds * 1000.0);
    return e;
}

static enum err check_name(struct parse *p, const struct field *f, const cJSON *v, char out[KEYS_ID_MAX + 1])
{
    if (!keys_is_name(v->valuestring))
        return refuse(p, f->name, "has to be 1 to 64 of A-Z a-z 0-9 . _ -");
    snprintf(out, KEYS_ID_MAX + 1, "%s", v->valuestring);
    return ERR_ok;
}

static enum err check_profile(struct parse *p, const struct field *f, const cJSON *v)
{
    return check_name(p, f, v, p->r->profile);
}

static enum err check_project(struct parse *p, const struct field *f, const cJSON *v)
{
    return check_name(p, f, v, p->r->project);
}

static enum err check_text(struct parse *p, const struct field *f, const cJSON *v, const char **out)
{
    if (strlen(v->valuestring) > TEXT_MAX)
        return refuse(p, f->name, "is longer than %d bytes", TEXT_MAX);
    *out = v->valuestring;
    return ERR_ok;
}

static enum err check_region(struct parse *p, const struct field *f, const cJSON *v)
{
    return check_text(p, f, v, &p->region);
}

static enum err check_proxy_profile(struct parse *p, const struct field *f, const cJSON *v)
{
    if (strcmp(v->valuestring, "") && strcmp(v->valuestring, "none") && strcmp(v->valuestring, "direct"))
        return refuse(p, f->name, "proxies are not available");
    return check_text(p, f, v, &p->proxy_profile);
}

/* An object of short texts, at most `most` of them. */
static enum err check_texts(struct parse *p, const char *field, const cJSON *v, int most)
{
    const cJSON *item;

    if (cJSON_GetArraySize(v) > most)
        return refuse(p, field, "has more than %d members", most);
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsString(item) || strlen(item->valuestring) > TEXT_MAX || strlen(item->string) > TEXT_MAX)
            return refuse(p, field, "its members have to be strings of at most %d bytes", TEXT_MAX);
    }
    return ERR_ok;
}

static enum err check_tags(struct parse *p, const struct field *f, const cJSON *v)
{
    p->tags = v;
    return check_texts(p, f->name, v, TAGS_MAX);
}

static enum err check_provider(struct parse *p, const struct field *f, const cJSON *v)
{
    p->provider = v;
    return check_texts(p, f->name, v, TAGS_MAX);
}

static enum err check_metadata(struct parse *p, const struct field *f, const cJSON *v)
{
    (void)f;
    p->metadata = v;
    return ERR_ok;
}

/* Something this service does not have: fine as long as the client does not ask for it. */
static int asks_for_something(const cJSON *v)
{
    return cJSON_IsTrue(v) || cJSON_IsNumber(v) || (cJSON_IsString(v) && *v->valuestring) ||
           ((cJSON_IsArray(v) || cJSON_IsObject(v)) && v->child);
}

static enum err check_proxies(struct parse *p, const struct field *f, const cJSON *v)
{
    return asks_for_something(v) ? refuse(p, f->name, "proxies are not available") : ERR_ok;
}

static enum err check_extension(struct parse *p, const struct field *f, const cJSON *v)
{
    return asks_for_something(v) ? refuse(p, f->name, "extensions are not available") : ERR_ok;
}

static enum err check_browser_settings(struct parse *p, const struct field *f, const cJSON *v)
{
    /* Left out silently, these would change what the client gets or is protected from. */
    static const struct {
        const char *member, *name, *what;
    } absent[] = {
        {"context", "browserSettings.context", "saved contexts are not available"},
        {"extensionId", "browserSettings.extensionId", "extensions are not available"},
        {"allowedDomains", "browserSettings.allowedDomains", "domain restrictions are not available"},
    };
    size_t i;

    (void)f;
    for (i = 0; i < sizeof(absent) / sizeof(*absent); i++)
        if (asks_for_something(cJSON_GetObjectItemCaseSensitive(v, absent[i].member)))
            return refuse(p, absent[i].name, "%s", absent[i].what);
    p->browser_settings = v;
    return ERR_ok;
}

static const struct field fields[] = {
    {"browser", KIND_TEXT, check_browser},
    {"keepAlive", KIND_BOOL, check_keep_alive},
    {"timeoutSec", KIND_NUMBER, check_timeout_sec},
    {"timeout", KIND_NUMBER, check_timeout},
    {"idleTimeoutSec", KIND_NUMBER, check_idle},
    {"proxyProfile", KIND_TEXT, check_proxy_profile},
    {"runtimeProfile", KIND_TEXT, check_profile},
    {"region", KIND_TEXT, check_region},
    {"provider", KIND_OBJECT, check_provider},
    {"sessionTags", KIND_OBJECT, check_tags},
    {"projectId", KIND_TEXT, check_project},
    {"userMetadata", KIND_OBJECT, check_metadata},
    {"browserSettings", KIND_OBJECT, check_browser_settings},
    {"proxies", KIND_ANY, check_proxies},
    {"proxySettings", KIND_OBJECT, check_proxies},
    {"extensionId", KIND_TEXT, check_extension},
};

/* ---- the whole ---- */

static int is_kind(const cJSON *v, enum kind kind)
{
    switch (kind) {
    case KIND_TEXT:
        return cJSON_IsString(v);
    case KIND_BOOL:
        return cJSON_IsBool(v);
    case KIND_NUMBER:
        return cJSON_IsNumber(v);
    case KIND_OBJECT:
        return cJSON_IsObject(v);
    case KIND_ANY:
        return 1;
    }
    return 0;
}

static enum err check_member(struct parse *p, const cJSON *v)
{
    static const char *const kinds[] = {
        [KIND_TEXT] = "a string",    [KIND_BOOL] = "true or false", [KIND_NUMBER] = "a number",
        [KIND_OBJECT] = "an object", [KIND_ANY] = "anything",
    };
    size_t i;

    if (cJSON_IsNull(v))
        return ERR_ok;
    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (strcmp(fields[i].name, v->string))
            continue;
        if (!is_kind(v, fields[i].kind))
            return refuse(p, fields[i].name, "has to be %s", kinds[fields[i].kind]);
        return fields[i].check(p, &fields[i], v);
    }
    return ERR_ok;
}

/* timeout (Browserbase) and timeoutSec (BaseLayer) are one thing; a client that says both has to mean the
 * same. */
static enum err settle_timeout(struct parse *p)
{
    double seconds = p->timeout_sec > 0 ? p->timeout_sec : p->timeout;

    if (p->timeout > 0 && fabs(seconds - p->timeout) > 0)
        return refuse(p, "timeout", "says something else than timeoutSec");
    if (seconds > 0)
        p->r->timeout_ms = lround(seconds * 1000.0);
    return ERR_ok;
}

static void add_member(struct buf *b, const char *name, const cJSON *v)
{
    char *text = json_print(v);

    buf_addf(b, ",\"%s\":", name);
    buf_adds(b, text);
    free(text);
}

static void write_meta(struct parse *p)
{
    struct buf *b = &p->r->meta;

    buf_adds(b, "{\"browser\":\"chromium\"");
    buf_add_json_member(b, "region", p->region ? p->region : "local");
    if (p->metadata && p->metadata->child)
        add_member(b, "userMetadata", p->metadata);
    if (p->tags && p->tags->child)
        add_member(b, "sessionTags", p->tags);
    if (p->provider && p->provider->child)
        add_member(b, "provider", p->provider);
    if (p->browser_settings && p->browser_settings->child)
        add_member(b, "browserSettings", p->browser_settings);
    if (p->proxy_profile)
        buf_add_json_member(b, "proxyProfile", p->proxy_profile);
    buf_adds(b, "}");
}

static int is_blank(const char *body, size_t len)
{
    return len == 0 || strspn(body, " \t\r\n") >= len;
}

enum err create_request_parse(struct create_request *r, const struct create_bounds *bounds, const char *body,
                              size_t len, struct create_problem *why)
{
    struct parse p = {.r = r, .bounds = bounds, .why = why};
    cJSON *root = NULL;
    const cJSON *v;
    enum err e = ERR_ok;

    memset(r, 0, sizeof(*r));
    memset(why, 0, sizeof(*why));
    snprintf(r->profile, sizeof(r->profile), "default");
    r->timeout_ms = bounds->timeout_ms;
    r->idle_ms = bounds->idle_ms;
    if (!is_blank(body, len)) {
        root = json_parse(body, len, why->message, sizeof(why->message));
        if (!root)
            return ERR_bad_json;
        if (!cJSON_IsObject(root)) {
            snprintf(why->message, sizeof(why->message), "the body has to be an object");
            e = ERR_bad_json;
            goto cleanup;
        }
        cJSON_ArrayForEach(v, root)
        {
            e = check_member(&p, v);
            if (e)
                goto cleanup;
        }
    }
    e = settle_timeout(&p);
    if (e)
        goto cleanup;
    write_meta(&p);
    if (r->meta.len > META_MAX)
        e = refuse(&p, "userMetadata", "it and what else describes the session are larger than %d bytes",
                   META_MAX);
cleanup:
    cJSON_Delete(root);
    return e;
}

void create_request_cleanup(struct create_request *r)
{
    buf_cleanup(&r->meta);
}
