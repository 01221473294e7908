/* mem.h: allocation that does not return on failure (out of memory is fatal everywhere in Berth). */
#ifndef BERTH_MEM_H
#define BERTH_MEM_H
#include <stddef.h>

void *mem_alloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
