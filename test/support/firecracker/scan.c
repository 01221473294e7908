/* scan.c: see scan.h. */
#include "scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define DEPTH_MAX 16

int scan_fail(struct scan *s, int ahead, const char *format, ...)
{
    size_t line = 1, column = 0, n, end = s->at + (size_t)ahead;
    va_list args;

    for (size_t i = 0; i < end && i < s->len; i++) {
        column++;
        if (s->text[i] == '\n') {
            line++;
            column = 0;
        }
    }
    va_start(args, format);
    vsnprintf(s->err, s->errlen, format, args);
    va_end(args);
    n = strlen(s->err);
    snprintf(s->err + n, s->errlen - n, " at line %zu column %zu", line, column);
    return -1;
}

int scan_peek(struct scan *s)
{
    while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) && s->text[s->at])
        s->at++;
    return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static int read_escape(struct scan *s, struct text *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    unsigned code = 0;

    if (s->at >= s->len)
        return scan_fail(s, 0, "EOF while parsing a string");
    found = s->text[s->at] ? strchr(from, s->text[s->at]) : NULL;
    if (found) {
        s->at++;
        text_add(out, &to[found - from], 1);
        return 0;
    }
    if (s->text[s->at] != 'u' || s->len - s->at < 5 || sscanf(s->text + s->at + 1, "%4x", &code) != 1)
        return scan_fail(s, 1, "invalid escape");
    s->at += 5;
    if (code < 0x80)
        text_addf(out, "%c", (int)code);
    else if (code < 0x800)
        text_addf(out, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 0x3f)));
    else
        text_addf(out, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 0x3f)),
                  (int)(0x80 | (code & 0x3f)));
    return 0;
}

int scan_string(struct scan *s, char **out)
{
    struct text t = {0};

    text_add(&t, "", 0);
    s->at++;
    for (;;) {
        unsigned char c = s->at < s->len ? (unsigned char)s->text[s->at] : 0;

        if (s->at >= s->len) {
            text_clear(&t);
            return scan_fail(s, 0, "EOF while parsing a string");
        }
        s->at++;
        if (c == '"')
            break;
        if (c < 0x20) {
            text_clear(&t);
            return scan_fail(s, 0, "control character (\\u0000-\\u001F) found while parsing a string");
        }
        if (c != '\\') {
            text_add(&t, &c, 1);
        } else if (read_escape(s, &t) != 0) {
            text_clear(&t);
            return -1;
        }
    }
    *out = t.data;
    return 0;
}

int scan_number(struct scan *s, struct scan_number *n)
{
    size_t from = s->at, digits;

    memset(n, 0, sizeof(*n));
    if (s->text[s->at] == '-') {
        n->negative = 1;
        s->at++;
    }
    digits = s->at;
    while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9') {
        n->fraction |= n->n > (UINT64_MAX - 9) / 10; /* too large: a float, to the real one */
        n->n = n->n * 10 + (uint64_t)(s->text[s->at++] - '0');
    }
    if (s->at == digits || (s->text[digits] == '0' && s->at - digits > 1))
        return scan_fail(s, 0, "invalid number");
    while (s->at < s->len && s->text[s->at] && strchr(".eE+-0123456789", s->text[s->at])) {
        n->fraction = 1;
        s->at++;
    }
    snprintf(n->words, sizeof(n->words), "%s `%.*s`", n->fraction ? "floating point" : "integer",
             (int)(s->at - from > 40 ? 40 : s->at - from), s->text + from);
    return 0;
}

int scan_word(struct scan *s, const char *word)
{
    for (; *word; word++) {
        if (s->at >= s->len)
            return scan_fail(s, 0, "EOF while parsing a value");
        if (s->text[s->at++] != *word)
            return scan_fail(s, 0, "expected ident");
    }
    return 0;
}

int scan_wrong_type(struct scan *s, const char *expected)
{
    struct scan_number n;
    char *text;
    int c = scan_peek(s);

    switch (c) {
    case '"':
        if (scan_string(s, &text) != 0)
            return -1;
        scan_fail(s, 0, "invalid type: string \"%.200s\", expected %s", text, expected);
        free(text);
        return -1;
    case '{':
        return scan_fail(s, 0, "invalid type: map, expected %s", expected);
    case '[':
        return scan_fail(s, 0, "invalid type: sequence, expected %s", expected);
    case 'n':
        return scan_word(s, "null") ? -1 : scan_fail(s, 0, "invalid type: null, expected %s", expected);
    case 't':
        return scan_word(s, "true") ? -1
                                    : scan_fail(s, 0, "invalid type: boolean `true`, expected %s", expected);
    case 'f':
        return scan_word(s, "false")
                   ? -1
                   : scan_fail(s, 0, "invalid type: boolean `false`, expected %s", expected);
    case -1:
        return scan_fail(s, 0, "EOF while parsing a value");
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return scan_fail(s, 1, "expected value");
        return scan_number(s, &n) ? -1 : scan_fail(s, 0, "invalid type: %s, expected %s", n.words, expected);
    }
}

/* What stands between the brackets of a map or sequence that nobody is interested in. */
static int read_over(struct scan *s, int map)
{
    char *key;

    s->at++;
    if (++s->depth > DEPTH_MAX)
        return scan_fail(s, 0, "recursion limit exceeded");
    if (scan_peek(s) == (map ? '}' : ']')) {
        s->at++;
        s->depth--;
        return 0;
    }
    for (;;) {
        if (map) {
            if (scan_peek(s) != '"')
                return scan_fail(s, 1, "key must be a string");
            if (scan_string(s, &key) != 0)
                return -1;
            free(key);
            if (scan_peek(s) != ':')
                return scan_fail(s, 1, "expected `:`");
            s->at++;
        }
        if (scan_any(s) != 0)
            return -1;
        if (scan_peek(s) == (map ? '}' : ']'))
            break;
        if (scan_peek(s) < 0)
            return scan_fail(s, 0, "EOF while parsing %s", map ? "an object" : "a list");
        if (scan_peek(s) != ',')
            return scan_fail(s, 1, "expected `,` or `%c`", map ? '}' : ']');
        s->at++;
    }
    s->at++;
    s->depth--;
    return 0;
}

int scan_any(struct scan *s)
{
    struct scan_number n;
    char *text;
    int c = scan_peek(s);

    switch (c) {
    case '{':
    case '[':
        return read_over(s, c == '{');
    case '"':
        if (scan_string(s, &text) != 0)
            return -1;
        free(text);
        return 0;
    case 'n':
        return scan_word(s, "null");
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case -1:
        return scan_fail(s, 0, "EOF while parsing a value");
    default:
        return c == '-' || (c >= '0' && c <= '9') ? scan_number(s, &n) : scan_fail(s, 1, "expected value");
    }
}
