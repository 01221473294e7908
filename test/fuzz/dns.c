/* links: worker/dns_message.c worker/dns_upstream.c */
/* dns.c: DNS messages from pages and from the network, and resolv.conf, on any bytes. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"
#include "worker/dns_message.h"
#include "worker/dns_upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_storage list[DNS_UPSTREAMS_MAX];
    struct dns_query q, again;
    char *text = mem_strndup((const char *)data, size);

    if (dns_parse_query(data, size, &q) == 0) {
        size_t len = q.end + 16, n;
        uint8_t *out = mem_alloc(len);

        require(q.end <= size && strlen(q.name) < DNS_NAME_MAX);
        n = dns_answer_address(out, data, &q, (struct in_addr){htonl(1)}, 5);
        require(n == len && dns_is_answer(out, n, q.id, data, &q));
        n = dns_answer_code(out, data, &q, DNS_SERVFAIL);
        require(n == q.end && dns_is_answer(out, n, q.id, data, &q));
        require(dns_parse_query(out, n, &again) == -1); /* an answer is never a query: no loops */
        /* Whatever else the bytes are, as an answer to themselves they are read within their bounds. */
        for (size_t cut = 0; cut <= size; cut += 1 + cut / 2)
            dns_is_answer(data, cut, q.id, data, &q);
        free(out);
    }
    require(dns_parse_resolv_conf(text, 53, list) <= DNS_UPSTREAMS_MAX);
    free(text);
    return 0;
}
