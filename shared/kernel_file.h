/* kernel_file.h: the kernel's small files (/proc, /sys, cgroups), read and written whole. */
#ifndef BERTH_KERNEL_FILE_H
#define BERTH_KERNEL_FILE_H
#include <stddef.h>
#include <sys/types.h>

#include "errors.h"

/* The file's text, NUL-terminated and cut to the buffer. Its length, or -1 with errno and an empty text. */
ssize_t kernel_file_read(const char *path, char *out, size_t outlen) MUST_USE;
/* Writes the text at once, as the kernel wants it. 0, or -1 with errno. */
int kernel_file_write(const char *path, const char *text);

#endif
