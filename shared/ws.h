/* ws.h: the parts of RFC 6455 a relay needs: the accept key, frame boundaries in a byte stream, control
 * frames. */
#ifndef BERTH_WS_H
#define BERTH_WS_H
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "errors.h"

#define WS_OP_TEXT   0x1
#define WS_OP_BINARY 0x2
#define WS_OP_CLOSE  0x8
#define WS_OP_PING   0x9
#define WS_OP_PONG   0xA

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; out has 29 bytes. */
void ws_accept_key(const char *key, char out[29]);
/* A control frame (payload <= 125 bytes), masked if mask is set (client to server). Appended to out. */
void ws_add_control(struct buf *out, int opcode, const void *payload, size_t len, int mask);
/* A close frame with code and reason (cut to 123 bytes at a UTF-8 boundary). */
void ws_add_close(struct buf *out, int code, const char *reason, int mask);

/* Follows frame boundaries through a stream fed in pieces of any size, without copying payload. */
struct ws_scan {
    uint64_t left; /* payload bytes still to come of the frame begun */
    uint8_t head[14];
    uint8_t head_len; /* header bytes collected so far; 0: at a boundary (when left is 0) */
    uint8_t opcode;
    uint8_t fin;
    uint8_t masked;
    uint8_t mask_key[4];
};
/* Looks at the next bytes: returns how many belong to one piece (part of a header, a header, or payload),
 * sets *opcode and *starts (a frame's header was completed by this piece) and *ends (the frame is over with
 * this piece). -1: a protocol error (reserved opcode, control frame over 125 bytes or fragmented, 64-bit
 * length with the top bit). */
struct ws_piece {
    int opcode;
    int starts;
    int ends;
    uint64_t payload_len; /* of the frame, valid once the header is complete */
};
long ws_scan_next(struct ws_scan *s, const uint8_t *data, size_t len, struct ws_piece *piece) MUST_USE;
int ws_scan_at_boundary(const struct ws_scan *s);

/* Close codes that Berth's gateway uses; docs/http.md has the table. */
#define WS_CLOSE_NORMAL     1000
#define WS_CLOSE_GOING_AWAY 1001
#define WS_CLOSE_INTERNAL   1011
#define WS_CLOSE_TRY_LATER  1013
/* The code and text for a session's end reason ("released", "timeout", …). */
int ws_close_code(const char *reason);
const char *ws_close_text(const char *reason);

#endif
