/* text.c: see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void room(struct text *t, size_t more)
{
    if (t->len + more + 1 <= t->size)
        return;
    t->size = (t->len + more + 1) * 2;
    t->data = realloc(t->data, t->size);
    if (!t->data)
        abort();
}

void text_add(struct text *t, const void *data, size_t len)
{
    room(t, len);
    memcpy(t->data + t->len, data, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void text_addf(struct text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    room(t, (size_t)n);
    va_start(args, format);
    vsnprintf(t->data + t->len, (size_t)n + 1, format, args);
    va_end(args);
    t->len += (size_t)n;
}

void text_add_json(struct text *t, const char *s)
{
    text_add(t, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_addf(t, "\\%c", *s);
        else if (*s == '\n')
            text_add(t, "\\n", 2);
        else if ((unsigned char)*s < 0x20)
            text_addf(t, "\\u%04x", *s);
        else
            text_add(t, s, 1);
    }
    text_add(t, "\"", 1);
}

void text_drop(struct text *t, size_t len)
{
    memmove(t->data, t->data + len, t->len - len);
    t->len -= len;
    t->data[t->len] = '\0';
}

void text_clear(struct text *t)
{
    free(t->data);
    memset(t, 0, sizeof(*t));
}

const char *os_error(int error)
{
    static char text[160];

    snprintf(text, sizeof(text), "%s (os error %d)", strerror(error), error);
    return text;
}

int fault_set(struct fault *f, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    return -1;
}
