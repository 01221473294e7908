/* kernel_file.c: see kernel_file.h. */
#include "kernel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void close_keeping_errno(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

ssize_t kernel_file_read(const char *path, char *out, size_t outlen)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    out[0] = '\0';
    if (fd < 0)
        return -1;
    while (len + 1 < outlen && (n = read(fd, out + len, outlen - 1 - len)) > 0)
        len += (size_t)n;
    close_keeping_errno(fd);
    if (n < 0)
        len = 0;
    out[len] = '\0';
    return n < 0 ? -1 : (ssize_t)len;
}

int kernel_file_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    close_keeping_errno(fd);
    return n < 0 ? -1 : 0;
}
