/* mem.c: see mem.h. */
#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void *checked(void *p, size_t size)
{
    if (!p)
        log_fatal("out_of_memory", "bytes=%zu", size);
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1), size);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
    return checked(strndup(s, len), len);
}

char *mem_printf(const char *fmt, ...)
{
    char *s;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return checked(s, 0);
}
