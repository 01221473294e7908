/* dial.c: see dial.h. */
#include "dial.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int dial(int fd, struct in_addr address, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = address};
    int saved;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int dial_loopback(int fd, int port)
{
    return dial(fd, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
}
