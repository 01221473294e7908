/* ws.c: see ws.h. */
#include "ws.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "utf8.h"

#define CONTROL_MAX 125

void ws_accept_key(const char *key, char out[29])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */
    char text[128];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    /* The key was checked to have 24 characters; a longer one is cut, never overrun. */
    snprintf(text, sizeof(text), "%.64s%s", key, guid);
    if (!EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL))
        len = 0;
    assert(len == 20);
    EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}

void ws_add_control(struct buf *out, int opcode, const void *payload, size_t len, int mask)
{
    unsigned char frame[2 + 4 + CONTROL_MAX] = {(unsigned char)(0x80 | opcode), (unsigned char)len};
    size_t n = 2;
    char hex[9];

    assert(len <= CONTROL_MAX);
    if (mask) {
        unsigned long key;
        random_hex(hex, sizeof(hex));
        key = strtoul(hex, NULL, 16);
        frame[1] |= 0x80;
        for (int i = 0; i < 4; i++)
            frame[n++] = (unsigned char)(key >> (8 * i));
    }
    if (len)
        memcpy(frame + n, payload, len);
    for (size_t i = 0; mask && i < len; i++)
        frame[n + i] ^= frame[2 + i % 4];
    buf_add(out, frame, n + len);
}

void ws_add_close(struct buf *out, int code, const char *reason, int mask)
{
    unsigned char payload[CONTROL_MAX] = {(unsigned char)(code >> 8), (unsigned char)code};
    size_t len = 0, n;
    const size_t all = strlen(reason);

    while ((n = utf8_next(reason + len, all - len, NULL)) > 0 && 2 + len + n <= CONTROL_MAX)
        len += n;
    memcpy(payload + 2, reason, len);
    ws_add_control(out, WS_OP_CLOSE, payload, 2 + len, mask);
}

/* ---- following a stream */

/* Bytes of the header whose first two are in s->head. */
static size_t head_size(const struct ws_scan *s)
{
    const int len = s->head[1] & 0x7F;

    return 2 + (size_t)(len == 126 ? 2 : len == 127 ? 8 : 0) + (size_t)(s->head[1] & 0x80 ? 4 : 0);
}

/* The header is complete: takes it apart. */
static int read_head(struct ws_scan *s)
{
    const int short_len = s->head[1] & 0x7F, extra = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;
    uint64_t len = extra ? 0 : (uint64_t)short_len;

    s->opcode = s->head[0] & 0x0F;
    s->fin = s->head[0] >> 7;
    s->masked = s->head[1] >> 7;
    for (int i = 0; i < extra; i++)
        len = len << 8 | s->head[2 + i];
    if (s->masked)
        memcpy(s->mask_key, s->head + 2 + extra, sizeof(s->mask_key));
    if (len >> 63 || (s->opcode > WS_OP_BINARY && s->opcode < WS_OP_CLOSE) || s->opcode > WS_OP_PONG)
        return -1;
    if (s->opcode >= WS_OP_CLOSE && (len > CONTROL_MAX || !s->fin))
        return -1;
    s->left = len;
    s->head_len = 0;
    return 0;
}

long ws_scan_next(struct ws_scan *s, const uint8_t *data, size_t len, struct ws_piece *piece)
{
    size_t used = 0;

    *piece = (struct ws_piece){.opcode = s->opcode};
    if (len == 0)
        return 0;
    if (s->left > 0) {
        used = s->left < len ? (size_t)s->left : len;
        s->left -= used;
        piece->ends = s->left == 0;
        return (long)used;
    }
    while (used < len && (s->head_len < 2 || s->head_len < head_size(s)))
        s->head[s->head_len++] = data[used++];
    piece->opcode = s->head[0] & 0x0F;
    if (s->head_len < 2 || s->head_len < head_size(s))
        return (long)used;
    if (read_head(s))
        return -1;
    piece->starts = 1;
    piece->ends = s->left == 0;
    piece->payload_len = s->left;
    return (long)used;
}

int ws_scan_at_boundary(const struct ws_scan *s)
{
    return s->left == 0 && s->head_len == 0;
}

/* ---- why a session ended */

static const struct {
    const char *reason;
    int code;
    const char *text;
} endings[] = {
    {"released", WS_CLOSE_NORMAL, "session ended: released"},
    {"cancelled", WS_CLOSE_NORMAL, "session ended: cancelled"},
    {"timeout", 4001, "session ended: timeout"},
    {"idle", 4002, "session ended: idle"},
    {"disconnected", 4003, "session ended: disconnected"},
    {"browser_crashed", 4004, "session ended: browser_crashed"},
    {"drained", 4005, "session ended: drained"},
    {"worker_lost", 4006, "session ended: worker_lost"},
    {"start_failed", 4007, "session ended: start_failed"},
    {"queue_timeout", 4008, "session ended: queue_timeout"},
};

int ws_close_code(const char *reason)
{
    for (size_t i = 0; reason && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcmp(endings[i].reason, reason) == 0)
            return endings[i].code;
    return WS_CLOSE_INTERNAL;
}

const char *ws_close_text(const char *reason)
{
    for (size_t i = 0; reason && i < sizeof(endings) / sizeof(endings[0]); i++)
        if (strcmp(endings[i].reason, reason) == 0)
            return endings[i].text;
    return "session ended";
}
