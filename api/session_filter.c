/* session_filter.c: see session_filter.h. */
#include "session_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/json.h"
#include "../shared/mem.h"

void session_filter_cleanup(struct session_filter *f)
{
    int i;

    for (i = 0; i < f->path_n; i++)
        free(f->path[i]);
    for (i = 0; i < f->tags_n; i++) {
        free(f->tags[i].name);
        free(f->tags[i].value);
    }
    free(f->value);
    free(f->status);
    memset(f, 0, sizeof(*f));
}

int session_filter_status(struct session_filter *f, const char *status)
{
    static const struct {
        const char *status, *states[SESSION_FILTER_STATES];
        int exact; /* the states say it all */
    } known[] = {
        {"PENDING", {"queued", "starting"}, 1}, {"RUNNING", {"running", NULL}, 1},
        {"COMPLETED", {"ending", "ended"}, 0},  {"TIMED_OUT", {"ending", "ended"}, 0},
        {"ERROR", {"ending", "ended"}, 0},
    };
    size_t i;
    int n;

    if (f->states_n)
        return -1;
    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(known[i].status, status))
            continue;
        for (n = 0; n < SESSION_FILTER_STATES && known[i].states[n]; n++)
            f->states[f->states_n++] = known[i].states[n];
        if (!known[i].exact)
            f->status = mem_strdup(status);
        return 0;
    }
    return -1;
}

int session_filter_state(struct session_filter *f, const char *state)
{
    static const char *const known[] = {"queued", "starting", "running", "ending", "ended"};
    size_t i;

    if (f->states_n)
        return -1;
    for (i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (!strcmp(known[i], state)) {
            f->states[f->states_n++] = known[i];
            return 0;
        }
    return -1;
}

/* Reads a quoted text ('…' or "…", \ takes the next character as it is). NULL if there is none; *at moves
 * behind it. */
static char *read_quoted(const char **at)
{
    char quote = **at, *out, *o;
    const char *p = *at + 1;

    if (quote != '\'' && quote != '"')
        return NULL;
    o = out = mem_alloc(strlen(p) + 1);
    for (; *p && *p != quote; p++) {
        if (*p == '\\' && p[1])
            p++;
        *o++ = *p;
    }
    if (*p != quote) {
        free(out);
        return NULL;
    }
    *at = p + 1;
    return out;
}

int session_filter_query(struct session_filter *f, const char *q)
{
    static const char start[] = "user_metadata";

    if (f->path_n || strncmp(q, start, sizeof(start) - 1))
        return -1;
    q += sizeof(start) - 1;
    while (*q == '[' && f->path_n < SESSION_FILTER_PATH) {
        q++;
        f->path[f->path_n] = read_quoted(&q);
        if (!f->path[f->path_n])
            return -1;
        f->path_n++;
        if (*q++ != ']')
            return -1;
    }
    if (!f->path_n || *q++ != ':')
        return -1;
    q += strspn(q, " ");
    f->value = read_quoted(&q);
    return f->value && !*q ? 0 : -1;
}

int session_filter_tag(struct session_filter *f, const char *name, const char *value)
{
    if (f->tags_n == SESSION_FILTER_TAGS || !*name)
        return -1;
    f->tags[f->tags_n].name = mem_strdup(name);
    f->tags[f->tags_n].value = mem_strdup(value);
    f->tags_n++;
    return 0;
}

/* 1 if v, written as text, is `text`. */
static int is_text(const cJSON *v, const char *text)
{
    char *printed;
    int same;

    if (!v)
        return 0;
    if (cJSON_IsString(v))
        return !strcmp(v->valuestring, text);
    printed = json_print(v);
    same = !strcmp(printed, text);
    free(printed);
    return same;
}

static int meta_agrees(const struct session_filter *f, const cJSON *meta)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(meta, "userMetadata");
    const cJSON *tags = cJSON_GetObjectItemCaseSensitive(meta, "sessionTags");
    int i;

    for (i = 0; i < f->path_n; i++)
        v = cJSON_GetObjectItemCaseSensitive(v, f->path[i]);
    if (f->path_n && !is_text(v, f->value))
        return 0;
    for (i = 0; i < f->tags_n; i++)
        if (!is_text(cJSON_GetObjectItemCaseSensitive(tags, f->tags[i].name), f->tags[i].value))
            return 0;
    return 1;
}

int session_filter_shows(const struct session_filter *f, const struct session *s)
{
    char err[96];
    cJSON *meta;
    int shows;

    if (f->status && strcmp(f->status, session_status(s)))
        return 0;
    if (!f->path_n && !f->tags_n)
        return 1;
    meta = json_parse(s->meta, strlen(s->meta), err, sizeof(err));
    shows = meta && meta_agrees(f, meta);
    cJSON_Delete(meta);
    return shows;
}
