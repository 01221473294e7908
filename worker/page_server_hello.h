/* page_server_hello.h: the one message that the monitor sends to its page server: a JSON array of its
 * memory's regions, with a userfaultfd. Hostile until it has been understood. */
#ifndef BERTH_PAGE_SERVER_HELLO_H
#define BERTH_PAGE_SERVER_HELLO_H
#include <stddef.h>

#include "page_server_io.h"

/* Zeroed: nothing has come. */
struct page_hello {
    char text[8192];
    size_t len;
};

enum page_hello_progress { PAGE_HELLO_MORE, PAGE_HELLO_WHOLE, PAGE_HELLO_WRONG };

/* Reads once from io->connection, without blocking. The descriptor that comes is io->uffd (it was -1), and
 * the owner of io closes it, whatever is said of it. WHOLE: io also has the regions, all of them within a
 * file of this size, and the descriptor is a userfaultfd that does not block. WRONG: why says what is. */
enum page_hello_progress page_hello_read(struct page_hello *h, struct page_io *io, uint64_t file_size,
                                         char *why, size_t len);

#endif
