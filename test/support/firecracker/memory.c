/* memory.c: see memory.h. */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"

#define PAGE    4096
#define GAP_AT  (3072ULL << 20) /* where a PC's devices are: what is above is a region of its own */
#define MAGIC   0x6567617065676170ULL
#define DIRTIED 16 /* pages a running guest writes: every so many of those looked at */
#define REGIONS 2
#define WORDS   (PAGE / sizeof(uint64_t))

static struct region {
    char *at;
    uint64_t size, offset;
} regions[REGIONS];
static int region_count;
static uint64_t seed;
static int uffd = -1;
static int touch_wanted, touching, touched;
static void (*when_touched)(void);
static struct watch done;

static void split(uint64_t mib)
{
    uint64_t size = mib << 20;

    region_count = size > GAP_AT ? 2 : 1;
    regions[0] = (struct region){.size = size > GAP_AT ? GAP_AT : size};
    regions[1] = (struct region){.size = size > GAP_AT ? size - GAP_AT : 0, .offset = GAP_AT};
}

static int map_anonymous(void)
{
    for (int i = 0; i < region_count; i++) {
        regions[i].at = mmap(NULL, regions[i].size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (regions[i].at == MAP_FAILED)
            return -1;
    }
    return 0;
}

/* ---- the pattern ---- */

static uint64_t next(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ x << 17;
}

static void fill(uint64_t *page, uint64_t offset)
{
    uint64_t x = (offset ^ seed) | 1;

    page[0] = MAGIC;
    page[1] = offset;
    for (size_t i = 2; i < WORDS; i++)
        page[i] = x = next(x);
}

static int is_right(const uint64_t *page, uint64_t offset)
{
    uint64_t wanted[WORDS];

    fill(wanted, offset);
    return memcmp(page, wanted, PAGE) == 0;
}

int memory_new(uint64_t mib)
{
    split(mib);
    if (map_anonymous() != 0 || getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return -1;
    for (int i = 0; i < region_count; i++)
        for (uint64_t at = 0; at < regions[i].size; at += MEMORY_STEP)
            fill((uint64_t *)(void *)(regions[i].at + at), regions[i].offset + at);
    touched = 1;
    return 0;
}

uint64_t memory_seed(void)
{
    return seed;
}

/* ---- the file ---- */

int memory_save(const char *path, uint64_t mib, struct fault *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    off_t size = (off_t)(mib << 20);
    struct stat st;

    if (fd < 0)
        return fault_set(f, "Cannot perform open on the memory backing file: %s", os_error(errno));
    if (fstat(fd, &st) == 0 && st.st_size != size && ftruncate(fd, 0) != 0)
        fault_set(f, "Cannot perform truncate on the memory backing file: %s", os_error(errno));
    else if (ftruncate(fd, size) != 0)
        fault_set(f, "Cannot perform set_length on the memory backing file: %s", os_error(errno));
    for (int i = 0; i < region_count && !f->text[0]; i++)
        for (uint64_t at = 0; at < regions[i].size && !f->text[0]; at += MEMORY_STEP)
            if (pwrite(fd, regions[i].at + at, PAGE, (off_t)(regions[i].offset + at)) != PAGE)
                fault_set(f, "Cannot write memory file: Cannot dump memory: %s", os_error(errno));
    if (!f->text[0] && fsync(fd) != 0)
        fault_set(f, "Cannot perform sync_all on the memory backing file: %s", os_error(errno));
    close(fd);
    return f->text[0] ? -1 : 0;
}

int memory_load_file(const char *path, uint64_t mib, uint64_t with_seed, struct fault *f)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return fault_set(f, "Failed to load guest memory: %s", os_error(errno));
    split(mib);
    seed = with_seed;
    touch_wanted = 1;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < mib << 20) {
        close(fd);
        return fault_set(
            f, "Failed to restore guest memory: Total sum of memory regions exceeds largest possible "
               "file offset");
    }
    for (int i = 0; i < region_count; i++) {
        regions[i].at = mmap(NULL, regions[i].size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd,
                             (off_t)regions[i].offset);
        if (regions[i].at == MAP_FAILED) {
            close(fd);
            return fault_set(f, "Failed to restore guest memory: Cannot create mmap region: %s",
                             os_error(errno));
        }
    }
    close(fd);
    return 0;
}

/* ---- userfaultfd ---- */

static int make_uffd(void)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_EVENT_REMOVE};
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

    if (device >= 0) {
        uffd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        close(device);
    } else {
        uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    }
    return uffd < 0 ? -1 : ioctl(uffd, UFFDIO_API, &api);
}

static int send_mappings(int fd)
{
    struct text json = {0};
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part;
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ssize_t n;

    text_addf(&json, "[");
    for (int i = 0; i < region_count; i++)
        text_addf(&json,
                  "%s{\"base_host_virt_addr\":%llu,\"size\":%llu,\"offset\":%llu,\"page_size\":%d,"
                  "\"page_size_kib\":%d}",
                  i ? "," : "", (unsigned long long)(uintptr_t)regions[i].at,
                  (unsigned long long)regions[i].size, (unsigned long long)regions[i].offset, PAGE, PAGE);
    text_addf(&json, "]");
    part = (struct iovec){json.data, json.len};
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &uffd, sizeof(int));
    n = sendmsg(fd, &m, MSG_NOSIGNAL);
    text_clear(&json);
    return n > 0 ? 0 : -1;
}

int memory_load_uffd(const char *path, uint64_t mib, uint64_t with_seed, struct fault *f)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd;

    split(mib);
    seed = with_seed;
    touch_wanted = 1;
    if (map_anonymous() != 0)
        return fault_set(f, "Failed to restore guest memory: Cannot create mmap region: %s", os_error(errno));
    if (make_uffd() != 0)
        return fault_set(f, "Failed to UFFD object: %s", os_error(errno));
    for (int i = 0; i < region_count; i++) {
        struct uffdio_register r = {.range = {(uintptr_t)regions[i].at, regions[i].size},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};

        if (ioctl(uffd, UFFDIO_REGISTER, &r) != 0)
            return fault_set(f, "Failed to register memory address range with the userfaultfd object: %s",
                             os_error(errno));
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        return fault_set(f, "Failed to connect to UDS Unix stream: %s", os_error(errno));
    if (send_mappings(fd) != 0)
        return fault_set(f, "Failed to sends file descriptor: %s", os_error(errno));
    return 0; /* fd stays open: the handler knows by it that this process lives */
}

/* ---- the vCPU ---- */

static void *vcpu(void *arg)
{
    uint64_t one = 1, looked = 0;

    (void)arg;
    for (int i = 0; i < region_count; i++)
        for (uint64_t at = 0; at < regions[i].size; at += MEMORY_STEP) {
            volatile char *page = regions[i].at + at;

            if (!is_right((const uint64_t *)(const void *)(regions[i].at + at), regions[i].offset + at)) {
                fprintf(stderr,
                        "fake: Kernel panic: the page at %llu of guest memory is not the snapshot's\n",
                        (unsigned long long)(regions[i].offset + at));
                _exit(148);
            }
            if (looked++ % DIRTIED == 0)
                *page = *page;
        }
    if (write(done.fd, &one, sizeof(one)) != sizeof(one))
        _exit(1);
    return NULL;
}

static void on_done(struct watch *w, short events)
{
    int fd = w->fd;

    (void)events;
    loop_remove(w);
    close(fd);
    touched = 1;
    if (when_touched)
        when_touched();
}

void memory_touch(void)
{
    pthread_t thread;
    int fd;

    if (!touch_wanted || touching)
        return;
    touching = 1;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    done = (struct watch){.fd = -1, .guest = 1, .on_ready = on_done};
    loop_add(&done, fd, POLLIN);
    if (pthread_create(&thread, NULL, vcpu, NULL) != 0)
        abort();
    pthread_detach(thread);
}

void memory_when_touched(void (*then)(void))
{
    when_touched = then;
    if (touched)
        then();
}
