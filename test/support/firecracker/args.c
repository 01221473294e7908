/* args.c: see args.h. */
#include "args.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 64

const struct arg *args_find(const struct arg *list, const char *name)
{
    for (; list->name; list++)
        if (strcmp(list->name, name) == 0)
            return list;
    return NULL;
}

static int take(struct arg *list, char ***at, char *err, size_t errlen)
{
    const char *given = *(*at)++;
    const char *name = strncmp(given, "--", 2) == 0 ? given + 2 : given;
    struct arg *a = name == given ? NULL : (struct arg *)args_find(list, name);

    if (!a || a->count == ARGS_VALUES)
        return snprintf(err, errlen,
                        "Found argument '%.200s' which wasn't expected, or isn't valid in this context.",
                        name),
               -1;
    if (a->count && a->kind != ARGS_MANY)
        return snprintf(err, errlen, "The argument '%.200s' was provided more than once.", name), -1;
    if (a->kind == ARGS_FLAG) {
        a->values[a->count++] = "";
        return 0;
    }
    if (!**at || strncmp(**at, "--", 2) == 0)
        return snprintf(err, errlen, "The argument '%.200s' requires a value, but none was supplied.", name),
               -1;
    a->values[a->count++] = *(*at)++;
    return 0;
}

int args_parse(struct arg *list, char **argv, char ***extra, char *err, size_t errlen)
{
    static char *none[] = {NULL};
    char **at = argv + 1;

    *extra = none;
    for (char **p = at; *p; p++)
        if (strcmp(*p, "--") == 0) {
            *extra = p + 1;
            *p = NULL;
            break;
        }
    for (char **p = at; *p; p++)
        if (strcmp(*p, "--version") == 0) {
            ((struct arg *)args_find(list, "version"))->values[0] = "";
            ((struct arg *)args_find(list, "version"))->count = 1;
            return 0;
        }
    while (*at)
        if (take(list, &at, err, errlen) != 0)
            return -1;
    for (struct arg *a = list; a->name; a++)
        if (a->required && !a->count)
            return snprintf(err, errlen, "Argument '%s' required, but not found.", a->name), -1;
    return 0;
}

const char *args_get(const struct arg *list, const char *name)
{
    const struct arg *a = args_find(list, name);

    if (!a)
        abort();
    return a->count ? a->values[0] : a->fallback;
}

int args_check_id(const char *id, char *err, size_t errlen)
{
    size_t n = strlen(id);

    if (n < 1 || n > ID_MAX)
        return snprintf(err, errlen, "Invalid len (%zu);  the length must be between 1 and %d", n, ID_MAX),
               -1;
    for (size_t i = 0; i < n; i++)
        if (id[i] != '-' && !isalnum((unsigned char)id[i]))
            return snprintf(err, errlen, "Invalid char (%c) at position %zu", id[i], i), -1;
    return 0;
}
