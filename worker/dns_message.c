/* dns_message.c: see dns_message.h. Every byte comes from a page or from the network. */
#include "dns_message.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define FLAG_QR     0x8000
#define FLAG_OPCODE 0x7800
#define FLAG_AA     0x0400
#define FLAG_RD     0x0100
#define FLAG_RA     0x0080

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A question's name, which is never compressed. The offset after it, or 0. */
static size_t parse_name(const uint8_t *data, size_t len, size_t at, char name[DNS_NAME_MAX])
{
    size_t n = 0;

    for (;;) {
        size_t label = at < len ? data[at] : 64;

        at++;
        if (label > 63 || at + label > len || n + label + 2 > DNS_NAME_MAX)
            return 0;
        if (!label)
            break;
        if (n)
            name[n++] = '.';
        for (size_t i = 0; i < label; i++, at++) {
            int c = tolower(data[at]);

            name[n++] = (char)(isalnum(c) || c == '-' || c == '_' ? c : '?');
        }
    }
    name[n] = '\0';
    return at;
}

static int parse_question(const uint8_t *data, size_t len, struct dns_query *q)
{
    size_t at = get16(data + 4) == 1 ? parse_name(data, len, DNS_HEADER_LEN, q->name) : 0;

    if (!at || at + 4 > len)
        return -1;
    q->type = get16(data + at);
    q->class = get16(data + at + 2);
    q->end = at + 4;
    return 0;
}

int dns_parse_query(const uint8_t *data, size_t len, struct dns_query *q)
{
    uint16_t flags;

    if (len < DNS_HEADER_LEN)
        return -1;
    flags = get16(data + 2);
    q->id = get16(data);
    if (flags & FLAG_QR)
        return -1;
    if (flags & FLAG_OPCODE)
        return DNS_NOTIMP;
    if (parse_question(data, len, q) != 0 || get16(data + 6) != 0)
        return DNS_FORMERR;
    return 0;
}

int dns_is_answer(const uint8_t *answer, size_t len, uint16_t id, const uint8_t *query,
                  const struct dns_query *q)
{
    struct dns_query a;

    if (len < DNS_HEADER_LEN || get16(answer) != id || !(get16(answer + 2) & FLAG_QR))
        return 0;
    /* A resolver that did not understand may answer without the question. */
    if (get16(answer + 4) == 0)
        return (get16(answer + 2) & 0xF) != DNS_NOERROR;
    if (parse_question(answer, len, &a) != 0 || a.end != q->end || a.type != q->type || a.class != q->class)
        return 0;
    for (size_t i = DNS_HEADER_LEN; i < q->end - 4; i++) {
        if (tolower(answer[i]) != tolower(query[i]))
            return 0;
    }
    return 1;
}

void dns_set_id(uint8_t *message, uint16_t id)
{
    put16(message, id);
}

size_t dns_answer_code(uint8_t *out, const uint8_t *query, const struct dns_query *q, enum dns_rcode code)
{
    uint16_t flags = get16(query + 2);

    memset(out, 0, DNS_HEADER_LEN);
    memcpy(out, query, 2);
    put16(out + 2, (uint16_t)(FLAG_QR | FLAG_RA | (flags & (FLAG_OPCODE | FLAG_RD)) | code));
    if (!q)
        return DNS_HEADER_LEN;
    put16(out + 4, 1);
    memcpy(out + DNS_HEADER_LEN, query + DNS_HEADER_LEN, q->end - DNS_HEADER_LEN);
    return q->end;
}

size_t dns_answer_address(uint8_t *out, const uint8_t *query, const struct dns_query *q,
                          struct in_addr address, uint32_t ttl)
{
    size_t at = dns_answer_code(out, query, q, DNS_NOERROR);

    put16(out + 2, get16(out + 2) | FLAG_AA);
    put16(out + 6, 1);
    put16(out + at, 0xC000 | DNS_HEADER_LEN); /* the question's name */
    put16(out + at + 2, DNS_TYPE_A);
    put16(out + at + 4, DNS_CLASS_IN);
    put16(out + at + 6, (uint16_t)(ttl >> 16));
    put16(out + at + 8, (uint16_t)ttl);
    put16(out + at + 10, 4);
    memcpy(out + at + 12, &address, 4);
    return at + 16;
}
