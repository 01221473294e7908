/* text.h: a growing byte buffer and Firecracker's way to word an errno. */
#ifndef FAKE_TEXT_H
#define FAKE_TEXT_H
#include <stddef.h>

struct text {
    char *data; /* NUL-terminated once something was added */
    size_t len, size;
};

void text_add(struct text *t, const void *data, size_t len);
void text_addf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_json(struct text *t, const char *s); /* as a JSON string, with its quotes */
void text_drop(struct text *t, size_t len);        /* from the front */
void text_clear(struct text *t);

/* "No such file or directory (os error 2)"; valid until the next call. */
const char *os_error(int error);

#define FAULT_MAX 1024
/* What is wrong with a request; not empty: it is refused. */
struct fault {
    char text[FAULT_MAX];
};
int fault_set(struct fault *f, const char *format, ...) __attribute__((format(printf, 2, 3))); /* -1 */

#endif
