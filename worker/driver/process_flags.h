/* process_flags.h: Chromium's binary and command line. */
#ifndef BERTH_PROCESS_FLAGS_H
#define BERTH_PROCESS_FLAGS_H
#include <stddef.h>

#include "../profile.h"

/* The profile's browser, else Debian's headless shell, else its Chromium. 0, or -1 with a sentence. */
int process_find_browser(const struct profile *profile, char *out, size_t outlen, char *err, size_t errlen);
/* NULL-terminated; free the list only. extra strings must outlive it. */
char **process_flags(const char *browser, const struct profile *profile, int port, int own_sandbox);

#endif
