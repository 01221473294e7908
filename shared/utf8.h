/* utf8.h: one character of UTF-8 text that may be anything. */
#ifndef BERTH_UTF8_H
#define BERTH_UTF8_H
#include <stddef.h>
#include <stdint.h>

/* The length in bytes (1 to 4) of the well-formed character that s (len bytes) begins with, its code point in
 * *cp; 0 if there is none: a stray or missing continuation byte, an overlong form, a surrogate, beyond
 * U+10FFFF, len 0. cp may be NULL. */
size_t utf8_next(const char *s, size_t len, uint32_t *cp);

#endif
