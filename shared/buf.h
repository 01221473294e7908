/* buf.h: a growable run of bytes. data is always NUL-terminated after len once anything was added. */
#ifndef BERTH_BUF_H
#define BERTH_BUF_H
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

void buf_cleanup(struct buf *b); /* frees; b is empty and usable again */
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_add_int(struct buf *b, long long v);
void buf_add_fixed(struct buf *b, double v, int decimals); /* as "%.*f", without printf for up to three */
void buf_consume(struct buf *b, size_t len);               /* drops len bytes from the front */
/* JSON text of a string, quotes included; bytes that are not UTF-8 become U+FFFD. s may be NULL: null. */
void buf_add_json_string(struct buf *b, const char *s);
/* ,"name":"text" (or null): one more member of a JSON object. name needs no escapes. */
void buf_add_json_member(struct buf *b, const char *name, const char *text);
char *buf_take(struct buf *b); /* the bytes, NUL-terminated; caller frees; b is empty */

#endif
