/* session_list.c: walks the index (script `list`) in slices until the page is full, the walk is over, or it
 * has looked at so many sessions that the rest had better be another request.
 *
 * The walk goes project by project (one, except for administrators) and, where the filter names states, state
 * by state. A cursor is "<project>~<state's number>~<the script's cursor>", percent-free since names and ids
 * are plain. */
#include "session_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/mem.h"
#include "session_filter.h"
#include "session_view.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000
#define SLICE         100
#define BYTES_MAX     (4 << 20) /* a session may hold 60 KB of metadata: a page ends where it gets this long */
#define LOOKED_MAX    5000      /* sessions a request looks at */
#define CURSOR_MAX    400

struct list {
    struct session_filter filter;
    struct buf json;
    char **projects; /* sorted; those to walk */
    size_t projects_n, project;
    char wanted[KEYS_ID_MAX + 1]; /* project at which to start, "": the first */
    int stage;                    /* of filter.states */
    char cursor[CURSOR_MAX];      /* the script's */
    long limit, found, looked, slices;
};

static void free_list(void *data)
{
    struct list *l = data;
    size_t i;

    for (i = 0; i < l->projects_n; i++)
        free(l->projects[i]);
    free(l->projects);
    session_filter_cleanup(&l->filter);
    buf_cleanup(&l->json);
    free(l);
}

/* ---- parameters ---- */

static int refuse_query(struct call *c, const char *name, const char *what)
{
    char message[160];

    snprintf(message, sizeof(message), "%s: %s", name, what);
    call_error_field(c, ERR_bad_query, name, message);
    return -1;
}

/* The names of the query's parameters that begin with "tag.", which only the raw target tells. */
static int read_tags(struct call *c, struct list *l)
{
    const char *at = strchr(http_target(c->x), '?'), *value;
    char name[128];
    size_t len;

    for (; at; at = strchr(at, '&')) {
        at++;
        len = strcspn(at, "=&#");
        if (strncmp(at, "tag.", 4) || len >= sizeof(name))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len, at);
        value = http_query(c->x, name);
        if (!value || session_filter_tag(&l->filter, name + 4, value))
            return refuse_query(c, "tag",
                                "has to be tag.<name>=<value>, at most 16 of them, names without escapes");
    }
    return 0;
}

static int read_filter(struct call *c, struct list *l)
{
    const char *status = http_query(c->x, "status"), *state = http_query(c->x, "state");
    const char *q = http_query(c->x, "q");

    if (status && *status && session_filter_status(&l->filter, status))
        return refuse_query(c, "status", "has to be PENDING, RUNNING, ERROR, TIMED_OUT or COMPLETED");
    if (state && *state && session_filter_state(&l->filter, state))
        return refuse_query(c, "state",
                            "has to be queued, starting, running, ending or ended, and not besides status");
    if (q && *q && session_filter_query(&l->filter, q))
        return refuse_query(c, "q", "has to be user_metadata['<key>']:'<value>'");
    return read_tags(c, l);
}

static int read_cursor(struct call *c, struct list *l)
{
    const char *text = http_query(c->x, "cursor"), *first, *second;
    char *end;
    long stage;

    if (!text || !*text)
        return 0;
    first = strchr(text, '~');
    second = first ? strchr(first + 1, '~') : NULL;
    if (!second || first - text > KEYS_ID_MAX || strlen(second + 1) >= sizeof(l->cursor))
        return refuse_query(c, "cursor", "is not one of ours");
    snprintf(l->wanted, sizeof(l->wanted), "%.*s", (int)(first - text), text);
    stage = strtol(first + 1, &end, 10);
    if (!keys_is_name(l->wanted) || end != second || stage < 0 || stage > l->filter.states_n)
        return refuse_query(c, "cursor", "is not one of ours");
    l->stage = (int)stage;
    snprintf(l->cursor, sizeof(l->cursor), "%s", second + 1);
    return 0;
}

/* ---- the walk ---- */

static void step(struct call *c);

/* The request's own query with the cursor replaced, so that a client may just follow it. */
static void add_next_link(struct call *c, const char *cursor)
{
    struct buf link = {0};
    const char *at = strchr(http_target(c->x), '?'), *p;
    size_t len;

    buf_adds(&link, "</v1/sessions?");
    for (; at; at = strchr(at, '&')) {
        at++;
        len = strcspn(at, "&#");
        if (len && strncmp(at, "cursor=", 7) && strncmp(at, "apiKey=", 7) && !memchr(at, '>', len)) {
            buf_add(&link, at, len);
            buf_adds(&link, "&");
        }
    }
    buf_adds(&link, "cursor=");
    for (p = cursor; *p; p++)
        buf_addf(&link, strchr(" %&+#<>", *p) ? "%%%02X" : "%c", *p);
    buf_adds(&link, ">; rel=\"next\"");
    http_add_header(c->x, "Link", link.data);
    buf_cleanup(&link);
}

static void answer(struct call *c)
{
    struct list *l = c->data;
    struct buf cursor = {0};

    buf_adds(&l->json, "]");
    if (l->project < l->projects_n) {
        buf_addf(&cursor, "%s~%d~%s", l->projects[l->project], l->stage, l->cursor);
        http_add_header(c->x, "X-Next-Cursor", cursor.data);
        add_next_link(c, cursor.data);
    }
    buf_cleanup(&cursor);
    call_reply(c, 200, &l->json);
}

static void take_slice(struct list *l, const redisReply *sessions)
{
    struct session_view view = {0};
    struct session s;
    size_t i;

    for (i = 0; sessions && i < sessions->elements; i++) {
        l->looked++;
        session_read(sessions->element[i], &s);
        if (!session_filter_shows(&l->filter, &s))
            continue;
        if (l->found++)
            buf_adds(&l->json, ",");
        session_add_json(&l->json, &s, &view);
    }
}

/* To the next state, or the next project. */
static void move_on(struct list *l)
{
    *l->cursor = '\0';
    if (++l->stage < l->filter.states_n)
        return;
    l->stage = 0;
    l->project++;
}

static void on_slice(struct call *c, const redisReply *reply)
{
    struct list *l = c->data;
    enum err e = redis_code(reply);
    const char *next;

    if (e == ERR_bad_argument) {
        refuse_query(c, "cursor", "is not one of ours");
        return;
    }
    if (e) {
        call_error(c, e, NULL, NULL);
        return;
    }
    take_slice(l, redis_array(reply, 2));
    next = redis_str(reply, 1);
    if (next && *next)
        snprintf(l->cursor, sizeof(l->cursor), "%s", next);
    else
        move_on(l);
    l->slices++;
    step(c);
}

static void step(struct call *c)
{
    struct list *l = c->data;
    long count = l->limit - l->found;
    char number[24];

    if (l->project >= l->projects_n || count <= 0 || l->looked >= LOOKED_MAX ||
        l->slices >= LOOKED_MAX / 10 || l->json.len >= BYTES_MAX) {
        answer(c);
        return;
    }
    /* No more than the page still takes: whatever a slice holds is then shown or filtered out, and the cursor
     * is exact. */
    if (count > SLICE)
        count = SLICE;
    snprintf(number, sizeof(number), "%ld", count);
    CALL_SCRIPT(c, on_slice, SCRIPT_list, l->projects[l->project],
                l->filter.states_n ? l->filter.states[l->stage] : "", l->cursor, number);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void begin(struct call *c)
{
    struct list *l = c->data;

    qsort(l->projects, l->projects_n, sizeof(*l->projects), compare_names);
    while (*l->wanted && l->project < l->projects_n && strcmp(l->projects[l->project], l->wanted) < 0)
        l->project++;
    if (l->project < l->projects_n && *l->wanted && strcmp(l->projects[l->project], l->wanted)) {
        l->stage = 0; /* that project has gone */
        *l->cursor = '\0';
    }
    buf_adds(&l->json, "[");
    step(c);
}

static void add_project(struct list *l, const char *name)
{
    l->projects[l->projects_n++] = mem_strdup(name);
}

static void on_projects(void *arg, const redisReply *reply)
{
    struct call *c = arg;
    struct list *l = c->data;
    size_t i;

    if (c->x && (!reply || reply->type != REDIS_REPLY_ARRAY)) {
        call_error(c, ERR_redis_unavailable, NULL, NULL);
    } else if (c->x) {
        l->projects = mem_alloc((reply->elements + 1) * sizeof(*l->projects));
        for (i = 0; i < reply->elements; i++)
            if (reply->element[i]->str && keys_is_name(reply->element[i]->str))
                add_project(l, reply->element[i]->str);
        begin(c);
    }
    call_drop(c);
}

void session_list_on_get(struct call *c)
{
    struct list *l = mem_alloc(sizeof(*l));
    const char *named = http_query(c->x, "projectId");
    char key[KEYS_MAX];

    c->data = l;
    c->free_data = free_list;
    l->limit = LIMIT_DEFAULT;
    if (call_query_number(c, "limit", 1, LIMIT_MAX, &l->limit) || read_filter(c, l) || read_cursor(c, l))
        return;
    if (auth_has(&c->who, SCOPE_ADMIN) && !(named && *named)) {
        call_hold(c);
        redis_call(c->api->redis, on_projects, c, "SMEMBERS", keys_projects(key, c->api->settings.cell),
                   NULL);
        return;
    }
    if (named && *named && strcmp(named, c->who.project) && !auth_has(&c->who, SCOPE_ADMIN)) {
        call_error_field(c, ERR_forbidden, "projectId", "projectId: the API key is for another project");
        return;
    }
    if (named && *named && !keys_is_name(named)) {
        refuse_query(c, "projectId", "has to be 1 to 64 of A-Z a-z 0-9 . _ -");
        return;
    }
    l->projects = mem_alloc(sizeof(*l->projects));
    add_project(l, named && *named ? named : c->who.project);
    begin(c);
}
