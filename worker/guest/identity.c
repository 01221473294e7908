/* identity.c: see identity.h. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

#define MACHINE_ID      "/etc/machine-id"
#define MACHINE_ID_SIZE 33 /* machine-id(5): 32 hexadecimal digits and a line's end */
#define BOOT_ID_FILE    "/run/boot-id"
#define BOOT_ID_PROC    "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_SIZE    37

#define UUID_SIZE 16

/* The files' texts, mapped: what a clone writes is there for every reader without a system call, whose code
 * would first have to be read, and translated, in each clone. */
static char *machine_id, *boot_id;

/* A new file of size bytes, all line ends, as memory. NULL with errno. */
static char *map_text(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);
    char *text = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        text = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (text == MAP_FAILED)
        return NULL;
    return memset(text, '\n', size);
}

/* A random UUID (RFC 9562, version 4), as the kernel writes its own. */
static int draw_boot_id(void)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[UUID_SIZE];
    char *to = boot_id;

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return -1;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    for (int i = 0; i < UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex[bytes[i] >> 4];
        *to++ = hex[bytes[i] & 0x0f];
    }
    return 0;
}

int identity_prepare(void)
{
    machine_id = map_text(MACHINE_ID, MACHINE_ID_SIZE);
    boot_id = map_text(BOOT_ID_FILE, BOOT_ID_SIZE);
    if (!machine_id || !boot_id || draw_boot_id() != 0)
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
    size_t length = strlen(id);

    if (length >= MACHINE_ID_SIZE) {
        errno = EINVAL;
        return -1;
    }
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the text of a file */
    memcpy(machine_id, id, length);
    return sethostname(hostname, strlen(hostname)) != 0 ? -1 : draw_boot_id();
}
