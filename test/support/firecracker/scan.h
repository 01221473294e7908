/* scan.h: JSON, token by token: what reader.c reads its typed fields with. Errors are in the real one's
 * words, with the line and column they were found at. All that return int: 0, or -1 with the error in err. */
#ifndef FAKE_SCAN_H
#define FAKE_SCAN_H
#include <stddef.h>
#include <stdint.h>

struct scan {
    const char *text;
    size_t at, len;
    int depth;
    char *err;
    size_t errlen;
};

struct scan_number {
    int negative, fraction; /* fraction: n does not hold it */
    uint64_t n;
    char words[64]; /* as errors name it */
};

/* -1, with the error at the place read up to and `ahead` bytes more. */
int scan_fail(struct scan *s, int ahead, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The first byte that is no white space, which is not read; -1: there is none. */
int scan_peek(struct scan *s);

int scan_word(struct scan *s, const char *word);
int scan_string(struct scan *s, char **out); /* at its opening quote; the caller frees *out */
int scan_number(struct scan *s, struct scan_number *n);
int scan_any(struct scan *s); /* a value that nobody is interested in */
/* -1: a value of another type than is expected; reads it as far as the real one does, and says so. */
int scan_wrong_type(struct scan *s, const char *expected);

#endif
