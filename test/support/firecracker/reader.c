/* reader.c: see reader.h. */
#include "reader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"
#include "text.h"

int reader_minor;

static int read_struct(struct scan *s, const struct table *t, struct value *out);

static int read_unsigned(struct scan *s, const char *type, uint64_t max, struct value *out)
{
    struct scan_number n;
    int c = scan_peek(s);

    if (c != '-' && (c < '0' || c > '9'))
        return scan_wrong_type(s, type);
    if (scan_number(s, &n) != 0)
        return -1;
    if (n.fraction)
        return scan_fail(s, 0, "invalid type: %s, expected %s", n.words, type);
    if ((n.negative && n.n) || n.n > max)
        return scan_fail(s, 0, "invalid value: %s, expected %s", n.words, type);
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

static int read_enum(struct scan *s, const char *const *variants, struct value *out)
{
    struct text list = {0};
    char *text;
    int count = 0;

    if (scan_peek(s) < 0)
        return scan_fail(s, 0, "EOF while parsing a value");
    if (scan_peek(s) != '"')
        return scan_fail(s, 1, "expected value");
    if (scan_string(s, &text) != 0)
        return -1;
    for (; variants[count]; count++)
        if (strcmp(variants[count], text) == 0) {
            out->variant = count;
            out->text = text;
            return 0;
        }
    list_names(&list, variants, count);
    scan_fail(s, 0, "unknown variant `%.100s`, %s", text, list.data);
    text_clear(&list);
    free(text);
    return -1;
}

static int read_list(struct scan *s, const struct table *t, struct value *out)
{
    if (scan_peek(s) != '[')
        return scan_wrong_type(s, "a sequence");
    s->at++;
    if (scan_peek(s) == ']') {
        s->at++;
        return 0;
    }
    for (;;) {
        out->fields = realloc(out->fields, sizeof(struct value) * (size_t)(out->count + 1));
        memset(&out->fields[out->count], 0, sizeof(struct value));
        out->count++;
        if (t) {
            if (read_struct(s, t, &out->fields[out->count - 1]) != 0)
                return -1;
        } else if (scan_peek(s) != '"') {
            return scan_wrong_type(s, "a string");
        } else if (scan_string(s, &out->fields[out->count - 1].text) != 0) {
            return -1;
        }
        if (scan_peek(s) == ']')
            break;
        if (scan_peek(s) < 0)
            return scan_fail(s, 0, "EOF while parsing a list");
        if (scan_peek(s) != ',')
            return scan_fail(s, 1, "expected `,` or `]`");
        s->at++;
    }
    s->at++;
    return 0;
}

static int is_mac(const char *text)
{
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
            return 0;
    return text[17] == '\0';
}

static int read_value(struct scan *s, const struct field *f, struct value *out)
{
    int c = scan_peek(s);

    if (f->need == FIELD_OPTIONAL && c == 'n')
        return scan_word(s, "null");
    out->set = 1;
    switch (f->type) {
    case FIELD_BOOL:
        if (c != 't' && c != 'f')
            return scan_wrong_type(s, "a boolean");
        out->boolean = c == 't';
        return scan_word(s, c == 't' ? "true" : "false");
    case FIELD_U8:
        return read_unsigned(s, "u8", UINT8_MAX, out);
    case FIELD_U16:
        return read_unsigned(s, "u16", UINT16_MAX, out);
    case FIELD_U32:
        return read_unsigned(s, "u32", UINT32_MAX, out);
    case FIELD_U64:
        return read_unsigned(s, "u64", UINT64_MAX, out);
    case FIELD_STRING:
    case FIELD_PATH:
        if (c != '"')
            return scan_wrong_type(s, f->type == FIELD_PATH ? "path string" : "a string");
        return scan_string(s, &out->text);
    case FIELD_MAC:
        if (c != '"')
            return scan_wrong_type(s, "a string");
        if (scan_string(s, &out->text) != 0)
            return -1;
        return is_mac(out->text) ? 0 : scan_fail(s, 0, "The provided MAC address is invalid.");
    case FIELD_ENUM:
        return read_enum(s, f->variants, out);
    case FIELD_STRUCT:
        return read_struct(s, f->table, out);
    case FIELD_LIST:
        return read_list(s, f->table, out);
    case FIELD_ANY:
        break;
    }
    return scan_any(s);
}

static int known(const struct field *f)
{
    return f->since <= reader_minor;
}

static int unknown_field(struct scan *s, const struct table *t, const char *name)
{
    struct text list = {0};
    const char *names[32];
    int count = 0;

    for (const struct field *f = t->fields; f->name; f++)
        if (known(f) && count < 32)
            names[count++] = f->name;
    list_names(&list, names, count);
    scan_fail(s, 0, "unknown field `%.100s`, %s", name, list.data ? list.data : "there are no fields");
    text_clear(&list);
    return -1;
}

static int read_member(struct scan *s, const struct table *t, const char *key, struct value *out, char *given)
{
    for (int i = 0; t->fields[i].name; i++) {
        if (strcmp(t->fields[i].name, key) != 0 || !known(&t->fields[i]))
            continue;
        if (given[i])
            return scan_fail(s, 0, "duplicate field `%s`", key);
        given[i] = 1;
        if (scan_peek(s) != ':')
            return scan_fail(s, 1, "expected `:`");
        s->at++;
        return read_value(s, &t->fields[i], &out->fields[i]);
    }
    if (!t->lax)
        return unknown_field(s, t, key);
    if (scan_peek(s) != ':')
        return scan_fail(s, 1, "expected `:`");
    s->at++;
    return scan_any(s);
}

static int read_struct(struct scan *s, const struct table *t, struct value *out)
{
    char given[64] = {0}, expected[80], *key;
    int count = 0, result;

    while (t->fields[count].name)
        count++;
    snprintf(expected, sizeof(expected), "struct %s", t->name);
    if (scan_peek(s) != '{')
        return scan_wrong_type(s, expected);
    out->fields = calloc((size_t)count + 1, sizeof(struct value));
    out->count = count;
    s->at++;
    for (int first = 1; scan_peek(s) != '}'; first = 0) {
        if (scan_peek(s) < 0)
            return scan_fail(s, 0, "EOF while parsing an object");
        if (!first) {
            if (scan_peek(s) != ',')
                return scan_fail(s, 1, "expected `,` or `}`");
            s->at++;
            if (scan_peek(s) == '}')
                return scan_fail(s, 1, "trailing comma");
        }
        if (scan_peek(s) < 0)
            return scan_fail(s, 0, "EOF while parsing a value");
        if (scan_peek(s) != '"')
            return scan_fail(s, 1, "key must be a string");
        if (scan_string(s, &key) != 0)
            return -1;
        result = read_member(s, t, key, out, given);
        free(key);
        if (result != 0)
            return -1;
    }
    s->at++;
    for (int i = 0; i < count; i++)
        if (t->fields[i].need == FIELD_REQUIRED && !given[i] && known(&t->fields[i]))
            return scan_fail(s, 0, "missing field `%s`", t->fields[i].name);
    return 0;
}

int reader_parse(const struct table *table, const char *text, size_t len, struct value *out, char *err,
                 size_t errlen)
{
    struct scan s = {.text = text, .len = len, .err = err, .errlen = errlen};
    int result;

    memset(out, 0, sizeof(*out));
    result = table ? read_struct(&s, table, out) : scan_any(&s);
    if (result == 0 && scan_peek(&s) >= 0)
        result = scan_fail(&s, 1, "trailing characters");
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
