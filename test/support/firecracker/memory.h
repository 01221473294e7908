/* memory.h: the guest's memory. Some of its pages carry a pattern made of their offset and a seed of the
 * guest's boot; a clone that runs looks at all of them, so what it was given can be told from what it should
 * have been given. The looking is a thread's, as a vCPU is: a page that nobody serves stops the guest, not
 * the API. */
#ifndef FAKE_MEMORY_H
#define FAKE_MEMORY_H
#include <stdint.h>

#include "text.h"

#define MEMORY_STEP (256 * 1024) /* a page with the pattern this often */

int memory_new(uint64_t mib); /* 0, or -1 with errno */
uint64_t memory_seed(void);

/* These: 0, or -1 with the fault's own part of the words. */
int memory_save(const char *path, uint64_t mib, struct fault *f);
int memory_load_file(const char *path, uint64_t mib, uint64_t seed, struct fault *f);
int memory_load_uffd(const char *path, uint64_t mib, uint64_t seed, struct fault *f);

/* Begins to look at the pages, once after a load; a guest that finds others dies (the process ends). */
void memory_touch(void);
/* Called from the loop once all are as they should be; at once if it is so already. */
void memory_when_touched(void (*then)(void));

#endif
