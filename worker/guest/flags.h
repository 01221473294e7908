/* flags.h: the browser's command line. Of several --disable-features Chromium takes the last alone: here they
 * become one. */
#ifndef BERTH_GUEST_FLAGS_H
#define BERTH_GUEST_FLAGS_H
#include <stddef.h>

#define FLAGS_MAX          128
#define FLAGS_FEATURES_MAX 2048

struct flags {
    size_t count;
    const char *argv[FLAGS_MAX];       /* NULL-terminated; points to what was added and to features */
    char features[FLAGS_FEATURES_MAX]; /* --disable-features=…, empty: none */
};

/* Zeroed: ready. 0, or -1: no room. */
int flags_add(struct flags *f, const char *flag) __attribute__((warn_unused_result));
/* Adds the features, then last. Nothing may be added after. */
int flags_end(struct flags *f, const char *last) __attribute__((warn_unused_result));

#endif
