/* random.h: unguessable names, digests, comparison in constant time (OpenSSL, getrandom). */
#ifndef BERTH_RANDOM_H
#define BERTH_RANDOM_H
#include <stddef.h>

/* Fills out with n-1 random characters of the alphabet and a NUL. */
void random_hex(char *out, size_t n);    /* 0-9a-f */
void random_base32(char *out, size_t n); /* a-z2-7 */
void random_bytes(void *out, size_t n);
double random_unit(void); /* in [0, 1), for jitter; not secret */
/* Lower-case hex of SHA-256, out has 65 bytes. */
void random_sha256_hex(const void *data, size_t len, char out[65]);
/* 1 if both are equal; takes time that depends on the lengths alone. */
int random_equal(const char *a, size_t alen, const char *b, size_t blen);

#endif
