/* identity.c: see identity.h. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

#define MACHINE_ID   "/etc/machine-id"
#define BOOT_ID_FILE "/run/boot-id"
#define BOOT_ID_PROC "/proc/sys/kernel/random/boot_id"

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    int result = fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ? -1 : 0;

    if (fd >= 0)
        close(fd);
    return result;
}

static int draw_boot_id(void)
{
    char uuid[64];
    int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, uuid, sizeof(uuid) - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -1;
    uuid[n] = '\0';
    return write_text(BOOT_ID_FILE, uuid);
}

int identity_prepare(void)
{
    /* Made now, with what an overlay does to make a file: a clone only writes it. */
    if (draw_boot_id() != 0 || write_text(MACHINE_ID, "") != 0)
        return -1;
    return mount(BOOT_ID_FILE, BOOT_ID_PROC, NULL, MS_BIND, NULL);
}

int identity_seed(const unsigned char *bytes, size_t size)
{
    struct {
        struct rand_pool_info head;
        unsigned char bytes[GUEST_ENTROPY_MAX];
    } pool;
    int fd, result;

    if (size > sizeof(pool.bytes)) {
        errno = EINVAL;
        return -1;
    }
    pool.head.entropy_count = (int)size * 8;
    pool.head.buf_size = (int)size;
    memcpy((unsigned char *)&pool + offsetof(struct rand_pool_info, buf), bytes, size);
    fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    result = ioctl(fd, RNDADDENTROPY, &pool) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0 ? 0 : -1;
    close(fd);
    explicit_bzero(&pool, sizeof(pool));
    return result;
}

int identity_clock(uint64_t time_ns)
{
    struct timespec t = {.tv_sec = (time_t)(time_ns / 1000000000U), .tv_nsec = (long)(time_ns % 1000000000U)};

    return clock_settime(CLOCK_REALTIME, &t);
}

int identity_set(const char *hostname, const char *id)
{
    char line[64];

    snprintf(line, sizeof(line), "%s\n", id);
    if (sethostname(hostname, strlen(hostname)) != 0 || write_text(MACHINE_ID, line) != 0)
        return -1;
    return draw_boot_id();
}
