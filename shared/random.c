/* random.c: see random.h. */
#include "random.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"

/* Bytes fetched ahead: a system call for each number is dear. What was handed out is wiped, and a child that
 * fork has made fetches its own. */
static struct {
    unsigned char bytes[256]; /* getrandom gives as much in one go, never less */
    size_t left;
} ahead;

static void fetch(void *out, size_t n)
{
    ssize_t got;

    do {
        got = getrandom(out, n, 0);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)n)
        log_fatal("no_randomness", "error=%s", strerror(errno));
}

static void on_fork_child(void)
{
    ahead.left = 0;
}

static void fill(void *out, size_t n)
{
    static int watched;
    char *p = out;

    while (n > 0) {
        size_t part;

        if (ahead.left == 0) {
            if (!watched)
                watched = pthread_atfork(NULL, NULL, on_fork_child) == 0;
            fetch(ahead.bytes, sizeof(ahead.bytes));
            ahead.left = sizeof(ahead.bytes);
        }
        part = n < ahead.left ? n : ahead.left;
        ahead.left -= part;
        memcpy(p, ahead.bytes + ahead.left, part);
        memset(ahead.bytes + ahead.left, 0, part);
        p += part;
        n -= part;
    }
}

/* alphabet has a power of two of characters, mask is their number - 1: so that no character is likelier. */
static void fill_from(char *out, size_t n, const char *alphabet, unsigned mask)
{
    if (n == 0)
        return;
    fill(out, n - 1);
    for (size_t i = 0; i < n - 1; i++)
        out[i] = alphabet[(unsigned char)out[i] & mask];
    out[n - 1] = '\0';
}

void random_hex(char *out, size_t n)
{
    fill_from(out, n, "0123456789abcdef", 15);
}

void random_base32(char *out, size_t n)
{
    fill_from(out, n, "abcdefghijklmnopqrstuvwxyz234567", 31);
}

void random_bytes(void *out, size_t n)
{
    fill(out, n);
}

double random_unit(void)
{
    uint64_t bits;

    fill(&bits, sizeof(bits));
    return (double)(bits >> 11) / 9007199254740992.0; /* 2^53 */
}

void random_sha256_hex(const void *data, size_t len, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256(data, len, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

int random_equal(const char *a, size_t alen, const char *b, size_t blen)
{
    return alen == blen && CRYPTO_memcmp(a, b, alen) == 0;
}
