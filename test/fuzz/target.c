/* target.c: decoding of paths, queries and hosts. The first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/http_internal.h"
#include "shared/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const char *s, size_t len)
{
    uint32_t cp;

    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_next(s + i, len - i, &cp);
        if (n == 0 || cp < 0x20 || cp == 0x7F)
            abort();
    }
}

static void check_path(const char *raw, size_t len)
{
    struct buf out = {0};
    const char *why = NULL;

    if (http_target_path(raw, len, &out, &why) == ERR_ok) {
        check_clean(out.data, out.len);
        if (out.data[0] != '/' || strlen(out.data) != out.len || strchr(out.data, '\\') ||
            strstr(out.data, "/../") || strstr(out.data, "/./"))
            abort();
    } else if (!why)
        abort();
    buf_cleanup(&out);
}

/* Text: a name, a newline, a query. */
static void check_query(const char *text)
{
    const char *newline = strchr(text, '\n'), *why = NULL;
    struct buf out = {0};
    char *name;

    if (!newline)
        return;
    if (http_target_check_query(newline + 1, &why) != ERR_ok) {
        if (!why)
            abort();
        return;
    }
    name = strndup(text, (size_t)(newline - text));
    if (http_target_find(newline + 1, name, &out) && out.data) {
        check_clean(out.data, out.len);
        if (strlen(out.data) != out.len)
            abort();
    }
    free(name);
    buf_cleanup(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    text = malloc(size); /* the rest and a NUL, nothing more */
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] % 3 == 0)
        check_path(text, size - 1);
    else if (data[0] % 3 == 1)
        check_query(text);
    else
        (void)http_target_is_host(text, size - 1);
    free(text);
    return 0;
}
