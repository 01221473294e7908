/* json.c: see json.h.
 *
 * cJSON takes more than JSON (trailing bytes, raw control characters, broken UTF-8, \u0000 that cuts a string
 * short, numbers it reads in part), so the text is first held to RFC 8259 in one pass here; cJSON then only
 * builds the tree. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "log.h"
#include "mem.h"
#include "utf8.h"

#define DEPTH_MAX    32
#define NUMBER_MAX   63 /* cJSON looks at no more characters of a number */
#define PAIRWISE_MAX 8  /* members up to which comparing each pair is cheaper than sorting */
#define SHOWN_KEY    40

struct scan {
    const char *start;
    const char *at;
    const char *end;
    const char *why;
};

static int fail(struct scan *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return -1;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static int peek(const struct scan *s)
{
    return s->at < s->end ? (unsigned char)*s->at : -1;
}

/* Four hex digits, or -1. */
static int scan_hex4(struct scan *s)
{
    int value = 0;

    for (int i = 0; i < 4; i++, s->at++) {
        int c = peek(s);
        if (c >= '0' && c <= '9')
            value = value << 4 | (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            value = value << 4 | ((c | 0x20) - 'a' + 10);
        else
            return fail(s, "bad \\u escape");
    }
    return value;
}

/* After "\u". */
static int scan_unicode_escape(struct scan *s)
{
    int unit = scan_hex4(s);

    if (unit < 0)
        return -1;
    if (unit == 0)
        return fail(s, "NUL in a string");
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return fail(s, "lone surrogate");
    if (unit < 0xD800 || unit > 0xDBFF)
        return 0;
    if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
        return fail(s, "lone surrogate");
    s->at += 2;
    unit = scan_hex4(s);
    if (unit < 0)
        return -1;
    return unit >= 0xDC00 && unit <= 0xDFFF ? 0 : fail(s, "lone surrogate");
}

static int scan_string(struct scan *s)
{
    if (peek(s) != '"')
        return fail(s, "a string is missing");
    for (s->at++;;) {
        const int c = peek(s);
        if (c < 0)
            return fail(s, "a string is not closed");
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c < 0x20)
            return fail(s, "control character in a string");
        if (c == '\\') {
            s->at++;
            if (peek(s) == 'u') {
                s->at++;
                if (scan_unicode_escape(s))
                    return -1;
                continue;
            }
            if (peek(s) <= 0 || !strchr("\"\\/bfnrt", peek(s)))
                return fail(s, "bad escape");
            s->at++;
            continue;
        }
        if (c < 0x80) {
            s->at++;
            continue;
        }
        const size_t n = utf8_next(s->at, (size_t)(s->end - s->at), NULL);
        if (n == 0)
            return fail(s, "invalid UTF-8");
        s->at += n;
    }
}

/* One digit at least. */
static int scan_digits(struct scan *s)
{
    if (peek(s) < '0' || peek(s) > '9')
        return fail(s, "bad number");
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return 0;
}

static int scan_number(struct scan *s)
{
    const char *start = s->at;
    char text[NUMBER_MAX + 1];

    if (peek(s) == '-')
        s->at++;
    if (peek(s) == '0')
        s->at++;
    else if (scan_digits(s))
        return -1;
    if (peek(s) == '.') {
        s->at++;
        if (scan_digits(s))
            return -1;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (scan_digits(s))
            return -1;
    }
    if (s->at - start > NUMBER_MAX)
        return fail(s, "number with too many digits");
    memcpy(text, start, (size_t)(s->at - start));
    text[s->at - start] = '\0';
    return isfinite(strtod(text, NULL)) ? 0 : fail(s, "number out of range");
}

static int scan_word(struct scan *s, const char *word)
{
    const size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "unknown word");
    s->at += len;
    return 0;
}

static int scan_value(struct scan *s, int depth);

/* After '[' or '{', up to and with close; members have a key if keyed. */
static int scan_members(struct scan *s, int depth, char close, int keyed)
{
    if (depth > DEPTH_MAX)
        return fail(s, "nested too deep");
    s->at++;
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return 0;
    }
    for (;; s->at++) {
        skip_space(s);
        if (keyed) {
            if (scan_string(s))
                return -1;
            skip_space(s);
            if (peek(s) != ':')
                return fail(s, "a colon is missing");
            s->at++;
        }
        if (scan_value(s, depth))
            return -1;
        skip_space(s);
        if (peek(s) == close) {
            s->at++;
            return 0;
        }
        if (peek(s) != ',')
            return fail(s, peek(s) < 0 ? "the text ends early" : "a comma is missing");
    }
}

static int scan_value(struct scan *s, int depth)
{
    skip_space(s);
    switch (peek(s)) {
    case -1:
        return fail(s, "the text ends early");
    case '{':
        return scan_members(s, depth + 1, '}', 1);
    case '[':
        return scan_members(s, depth + 1, ']', 0);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

/* ---- duplicate keys, on the tree: there "a" and "\u0061" are the same */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A key that object has twice, or NULL. */
static const char *object_duplicate(const cJSON *object)
{
    const int n = cJSON_GetArraySize(object);
    const char *found = NULL;
    const cJSON *a;
    const char **keys;
    int i = 0;

    if (n <= PAIRWISE_MAX) {
        cJSON_ArrayForEach(a,
                           object) for (const cJSON *b = a->next; b;
                                        b = b->next) if (strcmp(a->string, b->string) == 0) return a->string;
        return NULL;
    }
    keys = mem_alloc(sizeof(*keys) * (size_t)n);
    cJSON_ArrayForEach(a, object) keys[i++] = a->string;
    qsort(keys, (size_t)n, sizeof(*keys), compare_keys);
    for (i = 1; i < n && !found; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            found = keys[i];
    free(keys);
    return found;
}

/* A key that some object in v has twice, or NULL. The depth is bounded by the scan. */
static const char *tree_duplicate(const cJSON *v)
{
    const cJSON *child;
    const char *found = cJSON_IsObject(v) ? object_duplicate(v) : NULL;

    if (found)
        return found;
    cJSON_ArrayForEach(child, v)
    {
        found = child->child ? tree_duplicate(child) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static void describe_duplicate(const char *key, char *err, size_t errlen)
{
    struct buf text = {0};
    size_t len = 0, n;
    char cut[SHOWN_KEY + 4];

    while (key[len] && (n = utf8_next(key + len, strlen(key + len), NULL)) > 0 && len + n <= SHOWN_KEY)
        len += n;
    snprintf(cut, sizeof(cut), "%.*s%s", (int)len, key, key[len] ? "…" : "");
    buf_add_json_string(&text, cut);
    snprintf(err, errlen, "duplicate key %s", text.data);
    buf_cleanup(&text);
}

cJSON *json_parse(const char *text, size_t len, char *err, size_t errlen)
{
    struct scan s = {.start = text, .at = text, .end = text + len};
    const char *duplicate;
    cJSON *v;

    if (scan_value(&s, 0) == 0) {
        skip_space(&s);
        if (s.at < s.end)
            fail(&s, "something follows the value");
    }
    if (s.why) {
        snprintf(err, errlen, "%s at byte %zu", s.why, (size_t)(s.at - s.start));
        return NULL;
    }
    v = cJSON_ParseWithLength(text, len);
    if (!v) {
        snprintf(err, errlen, "not valid JSON"); /* cannot happen, but a parser is not asserted on */
        return NULL;
    }
    duplicate = tree_duplicate(v);
    if (duplicate) {
        describe_duplicate(duplicate, err, errlen);
        cJSON_Delete(v);
        return NULL;
    }
    return v;
}

char *json_print(const cJSON *v)
{
    char *text = cJSON_PrintUnformatted(v);

    if (!text)
        log_fatal("out_of_memory", "what=%s", "json");
    return text;
}
