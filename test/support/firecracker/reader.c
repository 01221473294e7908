/* reader.c: see reader.h. */
#include "reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define DEPTH_MAX 16

struct reader {
    const char *s;
    size_t at, len;
    int depth;
    char *err;
    size_t errlen;
};

int reader_minor;

/* The error, at the place read up to and `ahead` bytes more. */
static int fail(struct reader *r, int ahead, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, int ahead, const char *format, ...)
{
    size_t line = 1, column = 0, n, end = r->at + (size_t)ahead;
    va_list args;

    for (size_t i = 0; i < end && i < r->len; i++) {
        column++;
        if (r->s[i] == '\n') {
            line++;
            column = 0;
        }
    }
    va_start(args, format);
    vsnprintf(r->err, r->errlen, format, args);
    va_end(args);
    n = strlen(r->err);
    snprintf(r->err + n, r->errlen - n, " at line %zu column %zu", line, column);
    return -1;
}

static int peek(struct reader *r)
{
    while (r->at < r->len && strchr(" \t\r\n", r->s[r->at]) && r->s[r->at])
        r->at++;
    return r->at < r->len ? (unsigned char)r->s[r->at] : -1;
}

static int read_escape(struct reader *r, struct text *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    unsigned code = 0;

    if (r->at >= r->len)
        return fail(r, 0, "EOF while parsing a string");
    found = r->s[r->at] ? strchr(from, r->s[r->at]) : NULL;
    if (found) {
        r->at++;
        text_add(out, &to[found - from], 1);
        return 0;
    }
    if (r->s[r->at] != 'u' || r->len - r->at < 5 || sscanf(r->s + r->at + 1, "%4x", &code) != 1)
        return fail(r, 1, "invalid escape");
    r->at += 5;
    if (code < 0x80)
        text_addf(out, "%c", (int)code);
    else if (code < 0x800)
        text_addf(out, "%c%c", (int)(0xc0 | code >> 6), (int)(0x80 | (code & 0x3f)));
    else
        text_addf(out, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 0x3f)),
                  (int)(0x80 | (code & 0x3f)));
    return 0;
}

/* At the opening quote. */
static int read_string(struct reader *r, char **out)
{
    struct text t = {0};

    text_add(&t, "", 0);
    r->at++;
    for (;;) {
        unsigned char c = r->at < r->len ? (unsigned char)r->s[r->at] : 0;

        if (r->at >= r->len) {
            text_clear(&t);
            return fail(r, 0, "EOF while parsing a string");
        }
        r->at++;
        if (c == '"')
            break;
        if (c < 0x20) {
            text_clear(&t);
            return fail(r, 0, "control character (\\u0000-\\u001F) found while parsing a string");
        }
        if (c != '\\') {
            text_add(&t, &c, 1);
        } else if (read_escape(r, &t) != 0) {
            text_clear(&t);
            return -1;
        }
    }
    *out = t.data;
    return 0;
}

struct number {
    int negative, fraction;
    uint64_t n;
    char words[64];
};

static int read_number(struct reader *r, struct number *n)
{
    size_t from = r->at, digits;

    memset(n, 0, sizeof(*n));
    if (r->s[r->at] == '-') {
        n->negative = 1;
        r->at++;
    }
    digits = r->at;
    while (r->at < r->len && r->s[r->at] >= '0' && r->s[r->at] <= '9') {
        n->fraction |= n->n > (UINT64_MAX - 9) / 10; /* too large: a float, to the real one */
        n->n = n->n * 10 + (uint64_t)(r->s[r->at++] - '0');
    }
    if (r->at == digits || (r->s[digits] == '0' && r->at - digits > 1))
        return fail(r, 0, "invalid number");
    while (r->at < r->len && r->s[r->at] && strchr(".eE+-0123456789", r->s[r->at])) {
        n->fraction = 1;
        r->at++;
    }
    snprintf(n->words, sizeof(n->words), "%s `%.*s`", n->fraction ? "floating point" : "integer",
             (int)(r->at - from > 40 ? 40 : r->at - from), r->s + from);
    return 0;
}

static int read_word(struct reader *r, const char *word)
{
    for (; *word; word++) {
        if (r->at >= r->len)
            return fail(r, 0, "EOF while parsing a value");
        if (r->s[r->at++] != *word)
            return fail(r, 0, "expected ident");
    }
    return 0;
}

/* A value of another type than is expected: reads it as far as the real one does, and says so. */
static int wrong_type(struct reader *r, const char *expected)
{
    struct number n;
    char *text;
    int c = peek(r);

    switch (c) {
    case '"':
        if (read_string(r, &text) != 0)
            return -1;
        fail(r, 0, "invalid type: string \"%.200s\", expected %s", text, expected);
        free(text);
        return -1;
    case '{':
        return fail(r, 0, "invalid type: map, expected %s", expected);
    case '[':
        return fail(r, 0, "invalid type: sequence, expected %s", expected);
    case 'n':
        return read_word(r, "null") ? -1 : fail(r, 0, "invalid type: null, expected %s", expected);
    case 't':
        return read_word(r, "true") ? -1 : fail(r, 0, "invalid type: boolean `true`, expected %s", expected);
    case 'f':
        return read_word(r, "false") ? -1
                                     : fail(r, 0, "invalid type: boolean `false`, expected %s", expected);
    case -1:
        return fail(r, 0, "EOF while parsing a value");
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return fail(r, 1, "expected value");
        return read_number(r, &n) ? -1 : fail(r, 0, "invalid type: %s, expected %s", n.words, expected);
    }
}

static int read_any(struct reader *r);

/* What stands between the brackets of a map or sequence that nobody is interested in. */
static int read_over(struct reader *r, int map)
{
    char *key;

    r->at++;
    if (++r->depth > DEPTH_MAX)
        return fail(r, 0, "recursion limit exceeded");
    if (peek(r) == (map ? '}' : ']')) {
        r->at++;
        r->depth--;
        return 0;
    }
    for (;;) {
        if (map) {
            if (peek(r) != '"')
                return fail(r, 1, "key must be a string");
            if (read_string(r, &key) != 0)
                return -1;
            free(key);
            if (peek(r) != ':')
                return fail(r, 1, "expected `:`");
            r->at++;
        }
        if (read_any(r) != 0)
            return -1;
        if (peek(r) == (map ? '}' : ']'))
            break;
        if (peek(r) < 0)
            return fail(r, 0, "EOF while parsing %s", map ? "an object" : "a list");
        if (peek(r) != ',')
            return fail(r, 1, "expected `,` or `%c`", map ? '}' : ']');
        r->at++;
    }
    r->at++;
    r->depth--;
    return 0;
}

static int read_any(struct reader *r)
{
    struct number n;
    char *text;
    int c = peek(r);

    switch (c) {
    case '{':
    case '[':
        return read_over(r, c == '{');
    case '"':
        if (read_string(r, &text) != 0)
            return -1;
        free(text);
        return 0;
    case 'n':
        return read_word(r, "null");
    case 't':
        return read_word(r, "true");
    case 'f':
        return read_word(r, "false");
    case -1:
        return fail(r, 0, "EOF while parsing a value");
    default:
        return c == '-' || (c >= '0' && c <= '9') ? read_number(r, &n) : fail(r, 1, "expected value");
    }
}

static int read_struct(struct reader *r, const struct table *t, struct value *out);

static int read_unsigned(struct reader *r, const char *type, uint64_t max, struct value *out)
{
    struct number n;
    int c = peek(r);

    if (c != '-' && (c < '0' || c > '9'))
        return wrong_type(r, type);
    if (read_number(r, &n) != 0)
        return -1;
    if (n.fraction)
        return fail(r, 0, "invalid type: %s, expected %s", n.words, type);
    if ((n.negative && n.n) || n.n > max)
        return fail(r, 0, "invalid value: %s, expected %s", n.words, type);
    out->number = n.n;
    return 0;
}

static void list_names(struct text *out, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        text_addf(out, "%s`%s`",
                  i == 0       ? count > 2 ? "expected one of " : "expected "
                  : count == 2 ? " or "
                               : ", ",
                  names[i]);
}

static int read_enum(struct reader *r, const char *const *variants, struct value *out)
{
    struct text list = {0};
    char *text;
    int count = 0;

    if (peek(r) < 0)
        return fail(r, 0, "EOF while parsing a value");
    if (peek(r) != '"')
        return fail(r, 1, "expected value");
    if (read_string(r, &text) != 0)
        return -1;
    for (; variants[count]; count++)
        if (strcmp(variants[count], text) == 0) {
            out->variant = count;
            out->text = text;
            return 0;
        }
    list_names(&list, variants, count);
    fail(r, 0, "unknown variant `%.100s`, %s", text, list.data);
    text_clear(&list);
    free(text);
    return -1;
}

static int read_list(struct reader *r, const struct table *t, struct value *out)
{
    if (peek(r) != '[')
        return wrong_type(r, "a sequence");
    r->at++;
    if (peek(r) == ']') {
        r->at++;
        return 0;
    }
    for (;;) {
        out->fields = realloc(out->fields, sizeof(struct value) * (size_t)(out->count + 1));
        memset(&out->fields[out->count], 0, sizeof(struct value));
        out->count++;
        if (t) {
            if (read_struct(r, t, &out->fields[out->count - 1]) != 0)
                return -1;
        } else if (peek(r) != '"') {
            return wrong_type(r, "a string");
        } else if (read_string(r, &out->fields[out->count - 1].text) != 0) {
            return -1;
        }
        if (peek(r) == ']')
            break;
        if (peek(r) < 0)
            return fail(r, 0, "EOF while parsing a list");
        if (peek(r) != ',')
            return fail(r, 1, "expected `,` or `]`");
        r->at++;
    }
    r->at++;
    return 0;
}

static int is_mac(const char *text)
{
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
            return 0;
    return text[17] == '\0';
}

static int read_value(struct reader *r, const struct field *f, struct value *out)
{
    int c = peek(r);

    if (f->need == FIELD_OPTIONAL && c == 'n')
        return read_word(r, "null");
    out->set = 1;
    switch (f->type) {
    case FIELD_BOOL:
        if (c != 't' && c != 'f')
            return wrong_type(r, "a boolean");
        out->boolean = c == 't';
        return read_word(r, c == 't' ? "true" : "false");
    case FIELD_U8:
        return read_unsigned(r, "u8", UINT8_MAX, out);
    case FIELD_U16:
        return read_unsigned(r, "u16", UINT16_MAX, out);
    case FIELD_U32:
        return read_unsigned(r, "u32", UINT32_MAX, out);
    case FIELD_U64:
        return read_unsigned(r, "u64", UINT64_MAX, out);
    case FIELD_STRING:
    case FIELD_PATH:
        if (c != '"')
            return wrong_type(r, f->type == FIELD_PATH ? "path string" : "a string");
        return read_string(r, &out->text);
    case FIELD_MAC:
        if (c != '"')
            return wrong_type(r, "a string");
        if (read_string(r, &out->text) != 0)
            return -1;
        return is_mac(out->text) ? 0 : fail(r, 0, "The provided MAC address is invalid.");
    case FIELD_ENUM:
        return read_enum(r, f->variants, out);
    case FIELD_STRUCT:
        return read_struct(r, f->table, out);
    case FIELD_LIST:
        return read_list(r, f->table, out);
    case FIELD_ANY:
        break;
    }
    return read_any(r);
}

static int known(const struct field *f)
{
    return f->since <= reader_minor;
}

static int unknown_field(struct reader *r, const struct table *t, const char *name)
{
    struct text list = {0};
    const char *names[32];
    int count = 0;

    for (const struct field *f = t->fields; f->name; f++)
        if (known(f) && count < 32)
            names[count++] = f->name;
    list_names(&list, names, count);
    fail(r, 0, "unknown field `%.100s`, %s", name, list.data ? list.data : "there are no fields");
    text_clear(&list);
    return -1;
}

static int read_member(struct reader *r, const struct table *t, const char *key, struct value *out,
                       char *given)
{
    for (int i = 0; t->fields[i].name; i++) {
        if (strcmp(t->fields[i].name, key) != 0 || !known(&t->fields[i]))
            continue;
        if (given[i])
            return fail(r, 0, "duplicate field `%s`", key);
        given[i] = 1;
        if (peek(r) != ':')
            return fail(r, 1, "expected `:`");
        r->at++;
        return read_value(r, &t->fields[i], &out->fields[i]);
    }
    if (!t->lax)
        return unknown_field(r, t, key);
    if (peek(r) != ':')
        return fail(r, 1, "expected `:`");
    r->at++;
    return read_any(r);
}

static int read_struct(struct reader *r, const struct table *t, struct value *out)
{
    char given[64] = {0}, expected[80], *key;
    int count = 0, result;

    while (t->fields[count].name)
        count++;
    snprintf(expected, sizeof(expected), "struct %s", t->name);
    if (peek(r) != '{')
        return wrong_type(r, expected);
    out->fields = calloc((size_t)count + 1, sizeof(struct value));
    out->count = count;
    r->at++;
    for (int first = 1; peek(r) != '}'; first = 0) {
        if (peek(r) < 0)
            return fail(r, 0, "EOF while parsing an object");
        if (!first) {
            if (peek(r) != ',')
                return fail(r, 1, "expected `,` or `}`");
            r->at++;
            if (peek(r) == '}')
                return fail(r, 1, "trailing comma");
        }
        if (peek(r) < 0)
            return fail(r, 0, "EOF while parsing a value");
        if (peek(r) != '"')
            return fail(r, 1, "key must be a string");
        if (read_string(r, &key) != 0)
            return -1;
        result = read_member(r, t, key, out, given);
        free(key);
        if (result != 0)
            return -1;
    }
    r->at++;
    for (int i = 0; i < count; i++)
        if (t->fields[i].need == FIELD_REQUIRED && !given[i] && known(&t->fields[i]))
            return fail(r, 0, "missing field `%s`", t->fields[i].name);
    return 0;
}

int reader_parse(const struct table *table, const char *text, size_t len, struct value *out, char *err,
                 size_t errlen)
{
    struct reader r = {.s = text, .len = len, .err = err, .errlen = errlen};
    int result;

    memset(out, 0, sizeof(*out));
    result = table ? read_struct(&r, table, out) : read_any(&r);
    if (result == 0 && peek(&r) >= 0)
        result = fail(&r, 1, "trailing characters");
    if (result != 0)
        reader_free(out);
    return result;
}

void reader_free(struct value *v)
{
    for (int i = 0; v->fields && i < v->count; i++)
        reader_free(&v->fields[i]);
    free(v->fields);
    free(v->text);
    memset(v, 0, sizeof(*v));
}

const struct value *reader_get(const struct table *table, const struct value *v, const char *name)
{
    for (int i = 0; table->fields[i].name; i++)
        if (strcmp(table->fields[i].name, name) == 0)
            return &v->fields[i];
    fprintf(stderr, "fake firecracker: %s has no field %s\n", table->name, name);
    abort();
}
