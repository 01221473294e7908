/* links: worker/dns_message.c worker/dns_upstream.c */
/* Unit tests of DNS parsing with hostile messages, and of resolv.conf. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/dns_message.h"
#include "worker/dns_upstream.h"

/* "A.example": id 0x1234, RD, one question, type A. */
static const uint8_t good[] = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0, 0, 0, 0, 1, 'A',
                               7,    'e',  'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1};

static void test_query(void **state)
{
    struct dns_query q;

    (void)state;
    assert_int_equal(dns_parse_query(good, sizeof(good), &q), 0);
    assert_string_equal(q.name, "a.example");
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.type, DNS_TYPE_A);
    assert_int_equal(q.end, sizeof(good));
}

/* Every prefix, every single changed byte: never accepted with an end beyond the message. Copies on the heap,
 * so that the sanitizer sees a byte too far. */
static void test_cut_and_bent(void **state)
{
    struct dns_query q;

    (void)state;
    for (size_t len = 0; len < sizeof(good); len++) {
        uint8_t *copy = malloc(len ? len : 1);

        memcpy(copy, good, len);
        assert_int_not_equal(dns_parse_query(copy, len, &q), 0);
        free(copy);
    }
    for (size_t at = 0; at < sizeof(good); at++) {
        for (int value = 0; value < 256; value++) {
            uint8_t *copy = malloc(sizeof(good));

            memcpy(copy, good, sizeof(good));
            copy[at] = (uint8_t)value;
            if (dns_parse_query(copy, sizeof(good), &q) == 0)
                assert_true(q.end <= sizeof(good) && strlen(q.name) < DNS_NAME_MAX);
            dns_is_answer(copy, sizeof(good), 0x1234, good, &q);
            free(copy);
        }
    }
}

static void test_odd(void **state)
{
    uint8_t m[1024] = {0, 1, 0, 0, 0, 1};
    struct dns_query q;

    (void)state;
    /* a pointer in the question */
    memcpy(m + 12, "\xC0\x0C\0\1\0\1", 6);
    assert_int_equal(dns_parse_query(m, 18, &q), DNS_FORMERR);
    /* a name of more than 255 bytes */
    for (int i = 0; i < 5; i++)
        m[12 + i * 64] = 63;
    assert_int_equal(dns_parse_query(m, sizeof(m), &q), DNS_FORMERR);
    /* the root */
    memcpy(m + 12, "\0\0\2\0\1", 5);
    assert_int_equal(dns_parse_query(m, 17, &q), 0);
    assert_string_equal(q.name, "");
    /* bytes that could be taken for dots or ends */
    memcpy(m + 12, "\3a.\0\1b\0\0\1\0\1", 11);
    assert_int_equal(dns_parse_query(m, 23, &q), 0);
    assert_string_equal(q.name, "a??.b");
    m[5] = 2; /* two questions */
    assert_int_equal(dns_parse_query(m, 23, &q), DNS_FORMERR);
    m[2] = 0x28; /* an update */
    assert_int_equal(dns_parse_query(m, 23, &q), DNS_NOTIMP);
    m[2] = 0x80; /* an answer: answering would make a loop */
    assert_int_equal(dns_parse_query(m, 23, &q), -1);
}

static void test_answers(void **state)
{
    uint8_t out[600];
    struct dns_query q;
    size_t n;

    (void)state;
    assert_int_equal(dns_parse_query(good, sizeof(good), &q), 0);
    n = dns_answer_address(out, good, &q, (struct in_addr){htonl(0x0A000001)}, 5);
    assert_int_equal(n, sizeof(good) + 16);
    assert_memory_equal(out + n - 4, "\x0A\0\0\1", 4);
    assert_true(dns_is_answer(out, n, 0x1234, good, &q));
    assert_false(dns_is_answer(out, n, 0x1235, good, &q));
    assert_false(dns_is_answer(good, sizeof(good), 0x1234, good, &q)); /* not an answer */
    out[13] = 'b';                                                     /* to another question */
    assert_false(dns_is_answer(out, n, 0x1234, good, &q));
    out[13] = 'a'; /* other case */
    assert_true(dns_is_answer(out, n, 0x1234, good, &q));
    n = dns_answer_code(out, good, NULL, DNS_FORMERR);
    assert_int_equal(n, DNS_HEADER_LEN);
    assert_int_equal(out[3] & 15, DNS_FORMERR);
    assert_true(dns_is_answer(out, n, 0x1234, good, &q)); /* an error without the question */
    out[3] = 0;
    assert_false(dns_is_answer(out, n, 0x1234, good, &q));
}

static void test_resolv_conf(void **state)
{
    struct sockaddr_storage list[DNS_UPSTREAMS_MAX];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&list[0];

    (void)state;
    assert_int_equal(
        dns_parse_resolv_conf("# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.1\nnameserver\tfd00::1\n"
                              "nameserver nonsense\nnameserver 127.0.0.53#x\nnameserver 1.1.1.1",
                              53, list),
        3);
    assert_int_equal(v4->sin_addr.s_addr, htonl(0x0A000001));
    assert_int_equal(ntohs(v4->sin_port), 53);
    assert_int_equal(list[1].ss_family, AF_INET6);
    assert_int_equal(dns_parse_resolv_conf("", 53, list), 0);
    assert_int_equal(dns_parse_resolv_conf("\n\n nameserver", 53, list), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query),   cmocka_unit_test(test_cut_and_bent), cmocka_unit_test(test_odd),
        cmocka_unit_test(test_answers), cmocka_unit_test(test_resolv_conf),
    };

    return cmocka_run_group_tests_name("dns_message", tests, NULL, NULL);
}
