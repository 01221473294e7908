/* errors.c: the table of errors.def as arrays. */
#include "errors.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
    const char *text;
} errors[ERR_COUNT] = {
#define ERR(name, status, text) {#name, status, text},
#include "errors.def"
#undef ERR
};

const char *err_name(enum err e)
{
    assert((unsigned)e < ERR_COUNT);
    return errors[e].name;
}

int err_status(enum err e)
{
    assert((unsigned)e < ERR_COUNT);
    return errors[e].status;
}

const char *err_text(enum err e)
{
    assert((unsigned)e < ERR_COUNT);
    return errors[e].text;
}

enum err err_from_name(const char *name, int len)
{
    for (int i = 0; i < ERR_COUNT; i++)
        if (len >= 0 && strlen(errors[i].name) == (size_t)len &&
            memcmp(errors[i].name, name, (size_t)len) == 0)
            return (enum err)i;
    return ERR_internal;
}
