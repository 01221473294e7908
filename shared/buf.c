/* buf.c: see buf.h. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "number.h"
#include "utf8.h"

#define FIRST_CAP 64

void buf_cleanup(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_reserve(struct buf *b, size_t more)
{
    size_t need, cap;

    if (more > SIZE_MAX / 2 - b->len - 1)
        log_fatal("out_of_memory", "bytes=%zu", more);
    need = b->len + more + 1; /* the NUL */
    if (need <= b->cap)
        return;
    cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
    b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    buf_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    buf_reserve(b, FIRST_CAP);
    n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
    if (n < 0)
        log_fatal("bad_format", "format=%s", fmt);
    if ((size_t)n >= b->cap - b->len) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
    }
    b->len += (size_t)n;
    va_end(again);
    va_end(ap);
}

void buf_add_int(struct buf *b, long long v)
{
    char text[24];
    size_t len = number_int(text, v);

    buf_add(b, text, len);
}

void buf_add_fixed(struct buf *b, double v, int decimals)
{
    char text[NUMBER_MAX];
    size_t len = number_fixed(text, v, decimals);

    buf_add(b, text, len);
}

void buf_consume(struct buf *b, size_t len)
{
    assert(len <= b->len);
    if (len == 0)
        return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
    b->data[b->len] = '\0';
}

/* The escape of an ASCII byte inside a JSON string, or NULL if it stands for itself. scratch has 7 bytes. */
static const char *json_escape(unsigned char c, char *scratch)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7F)
            return NULL;
        snprintf(scratch, 7, "\\u%04x", c);
        return scratch;
    }
}

/* Stands for itself in a JSON string, whatever is around it. */
static int is_plain(char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

void buf_add_json_string(struct buf *b, const char *s)
{
    size_t left, run = 0, n;
    char scratch[7];
    const char *escape;

    if (!s) {
        buf_adds(b, "null");
        return;
    }
    left = strlen(s);
    buf_reserve(b, left + 2);
    buf_add(b, "\"", 1);
    while (run < left) {
        if (is_plain(s[run])) {
            run++;
            continue;
        }
        n = utf8_next(s + run, left - run, NULL);
        escape = n == 0 ? "\xEF\xBF\xBD" : n == 1 ? json_escape((unsigned char)s[run], scratch) : NULL;
        if (!escape) {
            run += n;
            continue;
        }
        buf_add(b, s, run);
        buf_adds(b, escape);
        s += run + 1;
        left -= run + 1;
        run = 0;
    }
    buf_add(b, s, run);
    buf_add(b, "\"", 1);
}

void buf_add_json_member(struct buf *b, const char *name, const char *text)
{
    buf_adds(b, ",\"");
    buf_adds(b, name);
    buf_adds(b, "\":");
    buf_add_json_string(b, text);
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : mem_strdup("");

    *b = (struct buf){0};
    return data;
}
