/* log.c: see log.h. A line is built on the stack and leaves in one write(2) of at most PIPE_BUF bytes, so
 * lines of several processes on one pipe do not mix. What does not fit is cut: first a long value, then the
 * fields after it. */
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "number.h"
#include "utf8.h"

#define LINE_MAX_BYTES  PIPE_BUF
#define VALUE_MAX_BYTES 1500 /* of one value, as written */
#define TAIL_BYTES      24   /* kept free for `,"cut":1}` and the end of the line */
#define SECRET_SHOWN    4

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *log_program = "berth";
static enum log_level log_level = LOG_LEVEL_INFO;
static int log_json;

struct line {
    char data[LINE_MAX_BYTES];
    size_t len;
    int cut;
};

/* A value while it is put together from the format's text and conversions. */
struct value {
    const char *text; /* what is logged; points to the argument itself or to scratch */
    size_t len;
    int is_number;
    char scratch[512];
};

int log_init(const char *program, const char *level, const char *format)
{
    int known = 0;

    log_program = program;
    log_level = LOG_LEVEL_INFO;
    log_json = strcmp(format, "json") == 0;
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(level, level_names[i]) == 0) {
            log_level = (enum log_level)i;
            known = 1;
        }
    }
    return known && (log_json || strcmp(format, "text") == 0) ? 0 : -1;
}

int log_enabled(enum log_level level)
{
    return level >= log_level;
}

/* ---- pieces of a line ---- */

static int line_add(struct line *l, const char *s, size_t n)
{
    if (n > sizeof(l->data) - TAIL_BYTES - l->len) {
        l->cut = 1;
        return 0;
    }
    memcpy(l->data + l->len, s, n);
    l->len += n;
    return 1;
}

/* Plain words stand unquoted in text format; whatever could be mistaken for structure is quoted. */
static int is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] >= 0x7F || s[i] == '"' || s[i] == '=' || s[i] == '\\')
            return 0;
    return n > 0;
}

/* The bytes that a character (n bytes, code point c; n 0: not UTF-8) becomes inside quotes; their number. */
static size_t escape(char out[16], const char *s, size_t n, uint32_t c)
{
    if (n == 0)
        return (size_t)snprintf(out, 16, "\xEF\xBF\xBD");
    if (c == '"' || c == '\\')
        return (size_t)snprintf(out, 16, "\\%c", (char)c);
    if (c == '\n')
        return (size_t)snprintf(out, 16, "\\n");
    /* C0, DEL, C1, and the separators that some viewers take for a new line. */
    if (c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x2028 || c == 0x2029)
        return (size_t)snprintf(out, 16, "\\u%04x", (unsigned)c);
    memcpy(out, s, n);
    return n;
}

static void line_add_quoted(struct line *l, const char *s, size_t len)
{
    char one[16];
    size_t start = l->len;

    if (!line_add(l, "\"", 1))
        return;
    while (len > 0) {
        uint32_t c = 0;
        size_t n = utf8_next(s, len, &c), out = escape(one, s, n, c);
        if (l->len - start + out > VALUE_MAX_BYTES || l->len + out + 4 > sizeof(l->data) - TAIL_BYTES) {
            l->cut = 1;
            break;
        }
        line_add(l, one, out);
        s += n ? n : 1;
        len -= n ? n : 1;
    }
    l->data[l->len++] = '"'; /* room: the tail */
}

static int has_suffix(const char *key, size_t n, const char *suffix)
{
    size_t m = strlen(suffix);

    return n >= m && memcmp(key + n - m, suffix, m) == 0;
}

/* "secret", "key" and names that end in _secret or _key. */
static int is_secret(const char *key, size_t n)
{
    return (n == 6 && memcmp(key, "secret", 6) == 0) || (n == 3 && memcmp(key, "key", 3) == 0) ||
           has_suffix(key, n, "_secret") || has_suffix(key, n, "_key");
}

static void line_add_field(struct line *l, const char *key, size_t keylen, struct value *v)
{
    size_t before = l->len;

    if (is_secret(key, keylen)) {
        size_t shown = v->len >= 3 * SECRET_SHOWN ? SECRET_SHOWN : 0;
        memmove(v->scratch, v->text, shown);
        memcpy(v->scratch + shown, "...", 4);
        v->text = v->scratch;
        v->len = shown + 3;
        v->is_number = 0;
    }
    if (!line_add(l, log_json ? ",\"" : " ", log_json ? 2 : 1) || !line_add(l, key, keylen) ||
        !line_add(l, log_json ? "\":" : "=", log_json ? 2 : 1) || l->len + 8 > sizeof(l->data) - TAIL_BYTES) {
        l->len = before;
        l->cut = 1;
        return;
    }
    if (log_json ? v->is_number : v->len < VALUE_MAX_BYTES && is_plain(v->text, v->len)) {
        if (!line_add(l, v->text, v->len))
            l->len = before;
    } else {
        line_add_quoted(l, v->text, v->len);
    }
}

/* ---- the format ---- */

struct arguments {
    va_list ap; /* in a struct so that it can be handed on by pointer */
};

/* Copies what fits, as snprintf does; returns the whole length. */
static int number_into(char *out, size_t room, const char *text, size_t len)
{
    size_t fits = len < room ? len : room > 0 ? room - 1 : 0;

    memcpy(out, text, fits);
    if (room > 0)
        out[fits] = '\0';
    return (int)len;
}

/* Renders the conversion at *f (which is '%') and moves *f past it. Returns 0 if it is not one of log.h's. A
 * %s that is a value by itself is borrowed instead of copied. */
static int convert(const char **f, struct arguments *args, struct value *v, int whole)
{
    const char *p = *f + 1, *s;
    char *out = v->scratch + v->len;
    size_t room = sizeof(v->scratch) - v->len;
    char text[NUMBER_MAX];
    int precision = -1, longs = 0, is_size = 0, n = 0;

    if (*p == '.') {
        precision = 0;
        if (*++p == '*') {
            precision = va_arg(args->ap, int);
            p++;
        }
        for (; *p >= '0' && *p <= '9' && precision < 1000; p++)
            precision = precision * 10 + (*p - '0');
    }
    for (; *p == 'l'; p++)
        longs++;
    for (; *p == 'z'; p++)
        is_size = 1;
    switch (*p) {
    case 's':
        s = va_arg(args->ap, const char *);
        if (!s)
            s = "";
        n = (int)strnlen(s, precision >= 0 ? (size_t)precision : LINE_MAX_BYTES);
        if (whole) {
            v->text = s;
            v->len = (size_t)n;
            *f = p + 1;
            return 1;
        }
        n = snprintf(out, room, "%.*s", n, s);
        break;
    case 'd':
        n = number_into(out, room, text,
                        number_int(text, longs > 1 ? va_arg(args->ap, long long)
                                         : longs   ? va_arg(args->ap, long)
                                         : is_size ? (long long)va_arg(args->ap, ssize_t)
                                                   : va_arg(args->ap, int)));
        break;
    case 'u':
        n = snprintf(out, room, "%llu",
                     longs > 1 ? va_arg(args->ap, unsigned long long)
                     : longs   ? va_arg(args->ap, unsigned long)
                     : is_size ? (unsigned long long)va_arg(args->ap, size_t)
                               : va_arg(args->ap, unsigned));
        break;
    case 'f': {
        double d = va_arg(args->ap, double);
        v->is_number = isfinite(d);
        n = number_into(out, room, text, number_fixed(text, d, precision >= 0 ? precision : 6));
        break;
    }
    default:
        return 0;
    }
    if (*p == 'd' || *p == 'u')
        v->is_number = 1;
    v->len += (size_t)n < room ? (size_t)n : room - 1;
    *f = p + 1;
    return 1;
}

/* One key=value of the format, from f; returns where it ends, or NULL if the format cannot be followed
 * further. */
static const char *add_next_field(struct line *l, const char *f, struct arguments *args)
{
    const char *key = f;
    size_t keylen = strcspn(f, "= "), n;
    struct value v;
    int whole;

    if (f[keylen] != '=')
        return NULL;
    f += keylen + 1;
    n = strcspn(f, " ");
    whole = (n == 2 && memcmp(f, "%s", 2) == 0) || (n == 4 && memcmp(f, "%.*s", 4) == 0);
    v.text = v.scratch;
    v.len = 0;
    v.is_number = 0;
    for (const char *begin = f, *end = f + n; f < end;) {
        if (*f != '%') {
            if (v.len < sizeof(v.scratch) - 1)
                v.scratch[v.len++] = *f;
            v.is_number = 0;
            f++;
        } else {
            int first = f == begin;
            if (!convert(&f, args, &v, whole))
                return NULL;
            v.is_number &= first;
        }
    }
    line_add_field(l, key, keylen, &v);
    return f;
}

static void begin_line(struct line *l, enum log_level level, const char *event)
{
    char now[32];
    const char *const parts[] = {log_json ? "{\"time\":\"" : "",
                                 now,
                                 log_json ? "\",\"level\":\"" : " ",
                                 level_names[level],
                                 log_json ? "\",\"program\":\"" : " ",
                                 log_program,
                                 log_json ? "\",\"event\":\"" : " ",
                                 event,
                                 log_json ? "\"" : ""};

    clock_iso8601(clock_wall_ms(), now);
    l->len = 0;
    l->cut = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        line_add(l, parts[i], strlen(parts[i]));
    assert(l->len < sizeof(l->data) / 2);
}

static void end_line(struct line *l)
{
    int saved = errno;
    const char *tail = log_json ? l->cut ? ",\"cut\":1}\n" : "}\n" : l->cut ? " cut=1\n" : "\n";

    memcpy(l->data + l->len, tail, strlen(tail));
    l->len += strlen(tail);
    /* A log that cannot be written must not stop the service: the line is lost. */
    while (write(STDERR_FILENO, l->data, l->len) < 0 && errno == EINTR)
        ;
    errno = saved;
}

static void log_arguments(enum log_level level, const char *event, const char *fmt, struct arguments *args)
{
    struct line l;
    const char *f = fmt;

    if (!log_enabled(level))
        return;
    begin_line(&l, level, event);
    while (*f) {
        const char *next = *f == ' ' ? f + 1 : add_next_field(&l, f, args);
        if (!next) { /* not what log.h asks for: a mistake, but not worth a crash on a path that is rarely
                        taken */
            struct value v = {.text = fmt, .len = strlen(fmt)};
            line_add_field(&l, "bad_format", 10, &v);
            break;
        }
        f = next;
    }
    end_line(&l);
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    struct arguments args;

    va_start(args.ap, fmt);
    log_arguments(level, event, fmt, &args);
    va_end(args.ap);
}

void log_fatal(const char *event, const char *fmt, ...)
{
    struct arguments args;

    va_start(args.ap, fmt);
    log_arguments(LOG_LEVEL_ERROR, event, fmt, &args);
    va_end(args.ap);
    exit(1);
}
