/* utf8.c: see utf8.h. Follows the table of well-formed sequences in RFC 3629. */
#include "utf8.h"

size_t utf8_next(const char *s, size_t len, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n;
    uint32_t c, least;

    if (len == 0)
        return 0;
    c = p[0];
    if (c < 0x80)
        n = 1, least = 0;
    else if (c >= 0xC2 && c <= 0xDF)
        n = 2, least = 0x80, c &= 0x1F;
    else if (c >= 0xE0 && c <= 0xEF)
        n = 3, least = 0x800, c &= 0x0F;
    else if (c >= 0xF0 && c <= 0xF4)
        n = 4, least = 0x10000, c &= 0x07;
    else
        return 0;
    if (n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    if (cp)
        *cp = c;
    return n;
}
