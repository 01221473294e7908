/* number.c: see number.h. */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXACT 1e12 /* below this, three decimals more stay exact in 64 bits */

/* Digits of v, at least `least`, written backwards so that they end before end; returns where they begin. */
static char *backwards(char *end, unsigned long long v, int least)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (--least > 0 || v > 0);
    return end;
}

size_t number_int(char out[24], long long v)
{
    char digits[24], *end = digits + sizeof(digits),
                     *at = backwards(end, v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v, 1);
    size_t n;

    if (v < 0)
        *--at = '-';
    n = (size_t)(end - at);
    memcpy(out, at, n);
    out[n] = '\0';
    return n;
}

size_t number_fixed(char out[NUMBER_MAX], double v, int decimals)
{
    static const unsigned scale[] = {1, 10, 100, 1000};
    unsigned long long whole;
    char digits[32], *end = digits + sizeof(digits), *at = end;
    size_t n;

    if (decimals < 0 || decimals > 3 || !(fabs(v) < EXACT))
        return (size_t)snprintf(out, NUMBER_MAX, "%.*f", decimals < 0 ? 6 : decimals > 20 ? 20 : decimals, v);
    whole = (unsigned long long)llrint(fabs(v) * scale[decimals]);
    if (decimals > 0) {
        at = backwards(end, whole % scale[decimals], decimals);
        *--at = '.';
    }
    at = backwards(at, whole / scale[decimals], 1);
    if (signbit(v))
        *--at = '-';
    n = (size_t)(end - at);
    memcpy(out, at, n);
    out[n] = '\0';
    return n;
}

void number_digits(char *out, unsigned v, int n)
{
    while (n-- > 0) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}
