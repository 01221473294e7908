/* links: worker/guest/protocol.c */
/* guest.c: the microVM's control channel on any bytes, in pieces of any size: neither side reads or writes
 * beyond its buffers, and what is taken for an order can be said again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/guest/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void take_line(char *line, size_t length)
{
    struct guest_message m;
    struct guest_restore order;
    const char *why = NULL;
    char said[GUEST_LINE_MAX + 1];

    if (guest_message_parse(line, length, &m) != 0)
        return;
    require(m.count >= 0 && m.count <= GUEST_FIELDS_MAX && m.word[0]);
    for (int i = 0; i < m.count; i++)
        require(guest_message_get(&m, m.fields[i].key) == m.fields[i].value && m.fields[i].value[0]);
    if (guest_restore_parse(&m, &order, &why) == 0)
        require(guest_restore_format(&order, said, sizeof(said)) > 0);
    else
        require(why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_lines lines = {0};
    size_t piece = size > 0 ? data[0] % 64 + 1U : 1;

    for (size_t at = 0; at < size;) {
        size_t room, length;
        char *to = guest_lines_room(&lines, &room), *line;
        size_t n = size - at < piece ? size - at : piece;
        if (n > room)
            n = room;
        memcpy(to, data + at, n);
        guest_lines_added(&lines, n);
        at += n;
        while ((line = guest_lines_next(&lines, &length)))
            take_line(line, length);
        if (length == SIZE_MAX)
            break;
        require(n > 0);
    }
    return 0;
}
