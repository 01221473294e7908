/* dns_message.h: as much of a DNS message as a relay has to understand: the header and the one question. */
#ifndef BERTH_DNS_MESSAGE_H
#define BERTH_DNS_MESSAGE_H
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "../shared/errors.h"

#define DNS_HEADER_LEN  12
#define DNS_NAME_MAX    256
#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MAX     4096

enum { DNS_TYPE_A = 1, DNS_CLASS_IN = 1 };
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5
};

struct dns_query {
    uint16_t id;
    uint16_t type, class;
    size_t end;              /* of the question section */
    char name[DNS_NAME_MAX]; /* lower case, dots between labels, none at the end; odd bytes as '?' */
};

/* 0: a query that may be passed on. A positive rcode: answer with that. -1: drop it (too short, or an
 * answer). */
int dns_parse_query(const uint8_t *data, size_t len, struct dns_query *q) MUST_USE;
/* 1 if this is an answer with that id to that question (its name compared without regard to case). */
int dns_is_answer(const uint8_t *answer, size_t len, uint16_t id, const uint8_t *query,
                  const struct dns_query *q);
void dns_set_id(uint8_t *message, uint16_t id);
/* Answers to a query, made of its own question: the rcode alone, or one address. The length; out has at least
 * DNS_HEADER_LEN + (q->end - DNS_HEADER_LEN) + 16 bytes. q may be NULL (question not understood). */
size_t dns_answer_code(uint8_t *out, const uint8_t *query, const struct dns_query *q, enum dns_rcode code);
size_t dns_answer_address(uint8_t *out, const uint8_t *query, const struct dns_query *q,
                          struct in_addr address, uint32_t ttl);

#endif
