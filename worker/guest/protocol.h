/* protocol.h: what the worker and a microVM's init (worker/guest/init.c) say to each other, for both VMMs.
 *
 * Lines of `word key=value key=value…`, ended by \n, one space between fields, at most GUEST_LINE_MAX bytes.
 * Words and keys are [a-z0-9_-]; values are one or more printable ASCII characters without space. A line that
 * is anything else is an error: neither side guesses. docs/microvm.md has the messages and their order.
 *
 * Linked into the worker and into the guest: libc only, no allocation. */
#ifndef BERTH_GUEST_PROTOCOL_H
#define BERTH_GUEST_PROTOCOL_H
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_PROTOCOL   1               /* `booted protocol=` */
#define GUEST_PORT_NAME  "berth.control" /* virtio-serial port (QEMU) */
#define GUEST_VSOCK_PORT 5200            /* AF_VSOCK port the guest listens on (Firecracker) */
#define GUEST_CDP_PORT   9223            /* of eth0: the guest relays it to the browser on its loopback */

/* What eth0 has from boot on, unless the kernel command line says berth.address=A.B.C.D/N and
 * berth.gateway=. Clones should keep it (each in its own namespace): a browser that sees its address change
 * fails the requests that are under way. */
#define GUEST_ADDRESS "172.31.255.2"
#define GUEST_GATEWAY "172.31.255.1"
#define GUEST_PREFIX  30

#define GUEST_LINE_MAX    2048 /* with the \n */
#define GUEST_FIELDS_MAX  32
#define GUEST_ENTROPY_MIN 64
#define GUEST_ENTROPY_MAX 256
#define GUEST_WHY_MAX     128
#define GUEST_QUIET_MS    30000 /* how long it waits to come to rest before it says `settled` all the same */

/* Guest to host. Every step's duration is a field `<step>_ms=`, a decimal fraction of milliseconds. */
#define GUEST_BOOTED "booted" /* init runs, the root is mounted; the browser starts now */
#define GUEST_SETTLED                                                                                        \
    "settled" /* browser up, warmed, at rest (quiet=1), no connection open: take the snapshot */
#define GUEST_READY          "ready" /* after `restore`: all is set and CDP answers at GUEST_CDP_PORT */
#define GUEST_RESTORE_FAILED "restore-failed" /* why=: the VM is of no use any more */
#define GUEST_BROWSER_GONE   "browser-gone"   /* why=: the VM is of no use any more */
#define GUEST_REFUSED        "refused" /* why=: a line that makes no sense, or not now; nothing was done */
/* Host to guest. */
#define GUEST_RESTORE "restore"
#define GUEST_CLOCK   "clock" /* time_ns=: after `ready`, when the guest stood still; not answered */

struct guest_field {
    const char *key, *value;
};

struct guest_message {
    const char *word;
    int count;
    struct guest_field fields[GUEST_FIELDS_MAX];
};

/* Parses one line of length bytes without its \n; line has room for one byte more, is changed, and *out
 * points into it. 0, or -1: not a message. A key that comes twice is an error. */
int guest_message_parse(char *line, size_t length, struct guest_message *out)
    __attribute__((warn_unused_result));
const char *guest_message_get(const struct guest_message *m, const char *key); /* NULL: not there */

/* Host's order to a guest that has just been restored or booted: who it is. */
struct guest_restore {
    struct in_addr address, gateway;
    struct in_addr dns; /* 0.0.0.0: none */
    int prefix;
    unsigned char mac[6];
    char hostname[64];
    char id[33];         /* machine id: 32 lower-case hexadecimal digits */
    uint64_t time_ns;    /* CLOCK_REALTIME now; taken as late as possible */
    int fresh_renderer;  /* the page that is there gets a new renderer process before `ready` */
    size_t entropy_size; /* GUEST_ENTROPY_MIN … GUEST_ENTROPY_MAX */
    unsigned char entropy[GUEST_ENTROPY_MAX];
};

/* 0, or -1 with a static sentence in *why. Every field must be there
 * but dns and renderer; unknown fields are errors. */
int guest_restore_parse(const struct guest_message *m, struct guest_restore *out, const char **why)
    __attribute__((warn_unused_result));
/* The line, with its \n, NUL-terminated. Its length, or -1: a field is out of range or it does not fit. */
int guest_restore_format(const struct guest_restore *r, char *out, size_t size)
    __attribute__((warn_unused_result));

/* Text as a value: blanks and what is not printable become `_`, at most size - 1 bytes; never empty. */
void guest_value(const char *text, char *out, size_t size);

/* Puts bytes from a stream together into lines. Zeroed: ready. */
struct guest_lines {
    size_t used, taken;
    char data[GUEST_LINE_MAX + 1];
};

/* Where to read into, and how much fits there; then guest_lines_added with what was read. */
char *guest_lines_room(struct guest_lines *l, size_t *size);
void guest_lines_added(struct guest_lines *l, size_t size);
/* The next whole line, without its \n, valid until the next call of guest_lines_room; NULL: none yet. *length
 * is SIZE_MAX, with NULL, once a line is too long: give the stream up. */
char *guest_lines_next(struct guest_lines *l, size_t *length);

#endif
