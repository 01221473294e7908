/* page_server_hello.c: see page_server_hello.h. */
#include "page_server_hello.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../shared/json.h"

#define FDS_MAX   4                  /* that a message is given room for: more than one is wrong */
#define EXACT_MAX 9007199254740992.0 /* whole numbers beyond are not exact in JSON */

static int read_number(const cJSON *region, const char *name, uint64_t *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(region, name);

    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble < EXACT_MAX))
        return -1;
    *out = (uint64_t)v->valuedouble;
    return (double)*out < v->valuedouble ? -1 : 0;
}

/* NULL: io has the regions; else what is wrong. */
static const char *read_regions(struct page_io *io, uint64_t file_size, const cJSON *list)
{
    const cJSON *item;

    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > PAGE_REGIONS_MAX)
        return "the regions are no array of up to 16";
    cJSON_ArrayForEach(item, list)
    {
        struct page_region *r = &io->regions[io->region_count];

        if (!cJSON_IsObject(item) || read_number(item, "base_host_virt_addr", &r->base) ||
            read_number(item, "size", &r->size) || read_number(item, "offset", &r->offset) ||
            read_number(item, "page_size", &r->page))
            return "a region lacks one of base_host_virt_addr, size, offset, page_size";
        io->region_count++;
    }
    return page_io_check(io, file_size);
}

static int is_userfaultfd(int fd)
{
    char link[64], path[64];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, link, sizeof(link) - 1);
    if (n < 0)
        return 0;
    link[n] = '\0';
    return !strcmp(link, "anon_inode:[userfaultfd]");
}

/* NULL: it serves; else what is wrong. */
static const char *check_descriptor(int fd)
{
    if (fd < 0)
        return "no descriptor came with the regions";
    if (!is_userfaultfd(fd))
        return "the descriptor is no userfaultfd";
    return fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ? strerror(errno) : NULL;
}

/* Whether the array has come: in one of flat objects the bracket that ends it is the only one. */
static int is_whole(const struct page_hello *h)
{
    size_t n = h->len;

    while (n > 0 && strchr(" \t\r\n", h->text[n - 1]))
        n--;
    return n > 0 && h->text[n - 1] == ']';
}

/* Takes the descriptors of a message: the first one, of the first message, is kept. -1: there was another. */
static int take_fds(int *kept, struct msghdr *m)
{
    int count = 0, seen = *kept >= 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        const unsigned char *at = CMSG_DATA(c);
        size_t bytes = c->cmsg_len - CMSG_LEN(0);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (; bytes >= sizeof(int); bytes -= sizeof(int), at += sizeof(int)) {
            int fd;

            memcpy(&fd, at, sizeof(fd));
            if (seen || count++ > 0) {
                close(fd);
                count = FDS_MAX;
            } else {
                *kept = fd;
            }
        }
    }
    return count > 1 || m->msg_flags & MSG_CTRUNC ? -1 : 0;
}

static enum page_hello_progress wrong(char *why, size_t len, const char *text)
{
    snprintf(why, len, "%s", text);
    return PAGE_HELLO_WRONG;
}

/* The message is whole. */
static enum page_hello_progress understand(const struct page_hello *h, struct page_io *io, uint64_t file_size,
                                           char *why, size_t len)
{
    cJSON *list = json_parse(h->text, h->len, why, len);
    const char *text;

    if (!list)
        return PAGE_HELLO_WRONG;
    text = read_regions(io, file_size, list);
    cJSON_Delete(list);
    if (!text)
        text = check_descriptor(io->uffd);
    return text ? wrong(why, len, text) : PAGE_HELLO_WHOLE;
}

enum page_hello_progress page_hello_read(struct page_hello *h, struct page_io *io, uint64_t file_size,
                                         char *why, size_t len)
{
    char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct iovec part = {h->text + h->len, sizeof(h->text) - h->len};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(io->connection, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PAGE_HELLO_MORE;
    if (n > 0 && take_fds(&io->uffd, &m))
        return wrong(why, len, "more than one descriptor came");
    if (n <= 0) /* before it has said anything: it will hang if it lives */
        return wrong(why, len, "the monitor hung up before it had sent its regions");
    h->len += (size_t)n;
    if (is_whole(h))
        return understand(h, io, file_size, why, len);
    if (h->text[0] != '[' || h->len == sizeof(h->text))
        return wrong(why, len, "what the monitor sent is no array of regions");
    return PAGE_HELLO_MORE;
}
