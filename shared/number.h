/* number.h: numbers as text, without printf: on the path of every request this is what most of its time went
 * to. */
#ifndef BERTH_NUMBER_H
#define BERTH_NUMBER_H
#include <stddef.h>

#define NUMBER_MAX 352 /* the longest double in full, with NUL */

/* As "%lld". Returns the length; out is NUL-terminated. */
size_t number_int(char out[24], long long v);
/* As "%.<decimals>f"; the last digit may be one off where v lies all but between two. */
size_t number_fixed(char out[NUMBER_MAX], double v, int decimals);
/* n digits of v with leading zeros; no NUL. */
void number_digits(char *out, unsigned v, int n);

#endif
