/* ws.c: ws_scan_next on any bytes: cut in any way it sees the same frames. The first byte is the size of the
 * pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t frames, ends, payload, mix;
    int failed;
    int boundary;
};

static struct seen follow(const uint8_t *data, size_t len, size_t step)
{
    struct ws_scan s = {0};
    struct ws_piece piece;
    struct seen seen = {0};
    size_t at = 0;

    while (at < len && !seen.failed) {
        const size_t n = step < len - at ? step : len - at;
        uint8_t *exact = malloc(n); /* so that a read beyond the piece is seen */
        size_t done = 0;
        memcpy(exact, data + at, n);
        while (done < n) {
            const long used = ws_scan_next(&s, exact + done, n - done, &piece);
            if (used == 0 || used > (long)(n - done))
                abort();
            if (used < 0) {
                seen.failed = 1;
                break;
            }
            if (piece.starts) {
                seen.frames++;
                seen.payload += piece.payload_len;
                seen.mix = seen.mix * 31 + (uint64_t)piece.opcode + piece.payload_len;
            }
            seen.ends += (uint64_t)(piece.ends != 0);
            done += (size_t)used;
        }
        free(exact);
        at += n;
    }
    if (seen.ends > seen.frames || seen.frames > seen.ends + 1)
        abort();
    seen.boundary = ws_scan_at_boundary(&s);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, pieces;
    struct buf out = {0};
    char text[200];

    if (size == 0)
        return 0;
    whole = follow(data + 1, size - 1, size);
    pieces = follow(data + 1, size - 1, 1 + (size_t)data[0] % 32);
    if (memcmp(&whole, &pieces, sizeof(whole)) != 0)
        abort();
    /* A close frame of any text is one whole frame. */
    memcpy(text, data, size < 199 ? size : 199);
    text[size < 199 ? size : 199] = '\0';
    ws_add_close(&out, 1000, text, data[0] & 1);
    whole = follow((const uint8_t *)out.data, out.len, out.len);
    if (whole.failed || whole.frames != 1 || whole.ends != 1 || !whole.boundary || out.len > 131)
        abort();
    buf_cleanup(&out);
    return 0;
}
