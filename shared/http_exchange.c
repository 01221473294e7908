/* http_exchange.c: what handlers ask of a request, and the memory behind it. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_internal.h"
#include "mem.h"

/* Buffers that grew beyond this are not kept for the next request. */
#define KEEP_BYTES 4096

void http_exchange_init(struct http_exchange *x, struct http_conn *c, const struct http_limits *limits)
{
    x->conn = c;
    x->limits = limits;
    x->method_name = "-";
    x->target = "";
    x->minor = 1;
    x->keep_alive = 1;
}

static void drop_notes(struct http_exchange *x)
{
    while (x->notes) {
        struct http_note *note = x->notes;
        x->notes = note->next;
        free(note);
    }
}

static struct buf emptied(struct buf b)
{
    if (b.cap > KEEP_BYTES)
        buf_cleanup(&b);
    else if (b.data) {
        b.len = 0;
        b.data[0] = '\0';
    }
    return b;
}

void http_exchange_reset(struct http_exchange *x)
{
    struct buf head = emptied(x->head), body = emptied(x->body), path = emptied(x->path),
               reply = emptied(x->reply_head);

    drop_notes(x);
    memset(x, 0, sizeof(*x));
    x->head = head;
    x->body = body;
    x->path = path;
    x->reply_head = reply;
}

void http_exchange_cleanup(struct http_exchange *x)
{
    drop_notes(x);
    buf_cleanup(&x->head);
    buf_cleanup(&x->body);
    buf_cleanup(&x->path);
    buf_cleanup(&x->reply_head);
}

char *http_exchange_note(struct http_exchange *x, size_t len)
{
    struct http_note *note = mem_alloc(sizeof(*note) + len + 1);

    note->next = x->notes;
    x->notes = note;
    return note->text;
}

enum http_method http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_method_name(const struct http_exchange *x)
{
    return x->method_name;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path.data ? x->path.data : "";
}

const char *http_target(const struct http_exchange *x)
{
    return x->target;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    const char *found = NULL;
    size_t len = 0;
    int several = 0;
    char *joined;

    for (size_t i = 0; i < x->n_fields; i++)
        if (strcasecmp(x->fields[i].name, name) == 0) {
            several = found != NULL;
            found = found ? found : x->fields[i].value;
            len += strlen(x->fields[i].value) + 2;
        }
    if (!several)
        return found;
    /* Made on demand: to the caller the request does not change. */
    joined = http_exchange_note((struct http_exchange *)x, len);
    for (size_t i = 0; i < x->n_fields; i++)
        if (strcasecmp(x->fields[i].name, name) == 0) {
            if (*joined)
                strcat(joined, ", ");
            strcat(joined, x->fields[i].value);
        }
    return joined;
}

int http_header_at(const struct http_exchange *x, size_t i, const char **name, const char **value)
{
    if (i >= x->n_fields)
        return 0;
    *name = x->fields[i].name;
    *value = x->fields[i].value;
    return 1;
}

const char *http_query(struct http_exchange *x, const char *name)
{
    struct buf value = {0};
    char *text = NULL;

    if (x->query && http_target_find(x->query, name, &value)) {
        text = http_exchange_note(x, value.len);
        if (value.len)
            memcpy(text, value.data, value.len);
    }
    buf_cleanup(&value);
    return text;
}

const char *http_body(const struct http_exchange *x, size_t *len)
{
    if (len)
        *len = x->body.len;
    return x->body.data ? x->body.data : "";
}

const char *http_peer(const struct http_exchange *x)
{
    return x->conn->peer;
}

const char *http_request_id(const struct http_exchange *x)
{
    return x->request_id;
}

double http_age_ms(const struct http_exchange *x)
{
    return x->arrived_ms > 0 ? clock_mono_ms() - x->arrived_ms : 0;
}

void http_set_user(struct http_exchange *x, void *user, void (*on_gone)(struct http_exchange *x, void *user))
{
    x->user = user;
    x->on_gone = on_gone;
}

static int is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

int http_is_token(const char *s)
{
    if (!*s)
        return 0;
    while (is_token_char(*s))
        s++;
    return *s == '\0';
}

/* 1 if the comma-separated list has this word, in any case. */
static int list_has(const char *list, const char *word)
{
    const size_t len = strlen(word);

    if (!list)
        return 0;
    while (*list) {
        list += strspn(list, ", \t");
        if (strncasecmp(list, word, len) == 0 && strchr(", \t", list[len]) != NULL) /* finds the NUL too */
            return 1;
        list += strcspn(list, ",");
    }
    return 0;
}

/* 16 bytes in base64: 22 characters and two '='. */
static int is_websocket_key(const char *key)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    return key && strlen(key) == 24 && strspn(key, alphabet) == 22 && strcmp(key + 22, "==") == 0;
}

int http_is_upgrade(const struct http_exchange *x)
{
    const char *version;

    if (x->method != HTTP_METHOD_GET || x->minor != 1 || x->body.len > 0 ||
        !list_has(http_header(x, "Connection"), "upgrade") ||
        !list_has(http_header(x, "Upgrade"), "websocket") ||
        !is_websocket_key(http_header(x, "Sec-WebSocket-Key")))
        return 0;
    version = http_header(x, "Sec-WebSocket-Version");
    return version && strcmp(version, "13") == 0;
}
