/* http_target.c: decodes the path and the query of a request target, and refuses what could be read in two
 * ways. */
#include <ctype.h>
#include <string.h>

#include "http_internal.h"
#include "utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The byte that s (len > 0) begins with, once decoded, and how many bytes stand for it in *used; -1: bad
 * encoding. */
static int decode_byte(const char *s, size_t len, size_t *used)
{
    int high, low;

    *used = 1;
    if (*s != '%')
        return (unsigned char)*s;
    if (len < 3)
        return -1;
    high = hex_value(s[1]);
    low = hex_value(s[2]);
    if (high < 0 || low < 0)
        return -1;
    *used = 3;
    return high << 4 | low;
}

/* 1 if s is UTF-8 without control characters (C0, DEL, C1). */
static int is_clean_text(const char *s, size_t len)
{
    uint32_t cp;
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        n = utf8_next(s + i, len - i, &cp);
        if (n == 0 || cp < 0x20 || (cp >= 0x7F && cp < 0xA0))
            return 0;
    }
    return 1;
}

static int has_dot_segment(const char *path)
{
    for (const char *s = path; s; s = strchr(s, '/')) {
        size_t n;
        s += *s == '/';
        n = strcspn(s, "/");
        if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return 1;
    }
    return 0;
}

enum err http_target_path(const char *raw, size_t len, struct buf *out, const char **why)
{
    size_t used;

    out->len = 0;
    buf_reserve(out, len);
    if (len == 0 || raw[0] != '/') {
        *why = "the path does not begin with a slash";
        return ERR_bad_request;
    }
    for (size_t i = 0; i < len; i += used) {
        int c = decode_byte(raw + i, len - i, &used);
        char byte = (char)c;
        if (c < 0) {
            *why = "the path has a bad percent-encoding";
            return ERR_bad_request;
        }
        /* A decoded slash would make one segment look like two. */
        if (c == '\\' || c == '#' || (c == '/' && used == 3)) {
            *why = "the path has a character that is not allowed there";
            return ERR_bad_request;
        }
        buf_add(out, &byte, 1);
    }
    if (!is_clean_text(out->data, out->len)) {
        *why = "the path has control characters or is not UTF-8";
        return ERR_bad_request;
    }
    if (has_dot_segment(out->data)) {
        *why = "the path has dot segments";
        return ERR_bad_request;
    }
    return ERR_ok;
}

/* Like decode_byte, with '+' for a space. */
static int decode_query_byte(const char *s, size_t len, size_t *used)
{
    int c = decode_byte(s, len, used);

    return c == '+' && *used == 1 ? ' ' : c;
}

/* The continuation bytes of a character may be encoded apart, so characters are gathered first. */
static int is_clean_part(const char *s, size_t len)
{
    char ch[4];
    size_t have = 0, used;

    for (size_t i = 0; i < len; i += used) {
        int c = decode_query_byte(s + i, len - i, &used);
        if (c < 0)
            return 0;
        ch[have++] = (char)c;
        if (is_clean_text(ch, have))
            have = 0;
        else if (have == sizeof(ch) || (unsigned char)ch[0] < 0xC2)
            return 0;
    }
    return have == 0;
}

enum err http_target_check_query(const char *query, const char **why)
{
    for (const char *part = query; *part;) {
        size_t len = strcspn(part, "&=");
        if (!is_clean_part(part, len)) {
            *why = "the query has a bad percent-encoding, control characters or is not UTF-8";
            return ERR_bad_query;
        }
        part += len + (part[len] != '\0');
    }
    return ERR_ok;
}

/* 1 if the encoded text (len bytes) decodes to name. */
static int decodes_to(const char *s, size_t len, const char *name)
{
    size_t used;

    for (size_t i = 0; i < len; i += used, name++) {
        int c = decode_query_byte(s + i, len - i, &used);
        if (c <= 0 || c != (unsigned char)*name)
            return 0;
    }
    return *name == '\0';
}

int http_target_find(const char *query, const char *name, struct buf *out)
{
    size_t used;

    for (const char *pair = query; *pair;) {
        size_t len = strcspn(pair, "&");
        const char *equals = memchr(pair, '=', len);
        size_t name_len = equals ? (size_t)(equals - pair) : len;

        if (len > 0 && decodes_to(pair, name_len, name)) {
            buf_reserve(out, len);
            for (size_t i = name_len + (equals != NULL); i < len; i += used) {
                char c = (char)decode_query_byte(pair + i, len - i, &used);
                buf_add(out, &c, 1);
            }
            return 1;
        }
        pair += len + (pair[len] == '&');
    }
    return 0;
}

static int is_port(const char *s, size_t len)
{
    if (len == 0 || len > 5)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)s[i]))
            return 0;
    return 1;
}

int http_target_is_host(const char *s, size_t len)
{
    size_t i = 0;

    if (len == 0 || len > 255)
        return 0;
    if (s[0] == '[') {
        for (i = 1; i < len && (isxdigit((unsigned char)s[i]) || s[i] == ':' || s[i] == '.'); i++)
            ;
        if (i < 3 || i == len || s[i] != ']')
            return 0;
        i++;
    } else {
        for (; i < len && (isalnum((unsigned char)s[i]) || s[i] == '.' || s[i] == '-' || s[i] == '_'); i++)
            ;
        if (i == 0)
            return 0;
    }
    return i == len || (s[i] == ':' && is_port(s + i + 1, len - i - 1));
}
