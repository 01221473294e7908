/* router.c: a linear walk; the table has two dozen entries and most differ in their first segments. */
#include "router.h"

#include <stdio.h>
#include <string.h>

/* 1 if path fits pattern; id takes what stands for ":id". */
static int fits(const char *pattern, const char *path, char id[KEYS_ID_MAX + 1])
{
    *id = '\0';
    while (*pattern) {
        if (*pattern == ':') {
            size_t len = strcspn(path, "/");

            if (len == 0 || len > KEYS_ID_MAX)
                return 0;
            memcpy(id, path, len);
            id[len] = '\0';
            path += len;
            pattern += strcspn(pattern, "/");
        } else if (*pattern++ != *path++) {
            return 0;
        }
    }
    return *path == '\0';
}

enum err router_find(const struct route *routes, size_t n, enum http_method method, const char *path,
                     struct router_match *out)
{
    enum http_method wanted = method == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : method;
    char id[KEYS_ID_MAX + 1];
    size_t i;

    memset(out, 0, sizeof(*out));
    for (i = 0; i < n; i++) {
        if (!fits(routes[i].pattern, path, id))
            continue;
        out->methods |= 1u << routes[i].method;
        if (routes[i].method == wanted && !out->route) {
            out->route = &routes[i];
            memcpy(out->id, id, sizeof(id));
        }
    }
    if (out->route)
        return ERR_ok;
    return out->methods ? ERR_method_not_allowed : ERR_not_found;
}

void router_allow(unsigned methods, char *out, size_t n)
{
    static const char *const names[] = {
        [HTTP_METHOD_GET] = "GET",         [HTTP_METHOD_HEAD] = "HEAD",   [HTTP_METHOD_POST] = "POST",
        [HTTP_METHOD_PUT] = "PUT",         [HTTP_METHOD_PATCH] = "PATCH", [HTTP_METHOD_DELETE] = "DELETE",
        [HTTP_METHOD_OPTIONS] = "OPTIONS",
    };
    size_t i, at = 0;

    *out = '\0';
    methods |= 1u << HTTP_METHOD_OPTIONS;
    if (methods >> HTTP_METHOD_GET & 1u)
        methods |= 1u << HTTP_METHOD_HEAD;
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (methods >> i & 1u && at < n)
            at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "", names[i]);
}
