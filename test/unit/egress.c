/* links: worker/egress.c worker/child.c worker/child_exec.c worker/child_run.c */
/* Unit tests of egress policies: parsing, comparing, and that nft understands the rules made of them. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/child.h"
#include "worker/egress.h"

static void test_parse_net(void **state)
{
    static const char *const wrong[] = {
        "",          "10.0.0.0/",   "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0/8",
        "1.2.3.4.5", "10.0.0.0/ 8", "::1",         "host/8",      "256.1.1.1/8"};
    struct egress_net net;
    char err[160];

    (void)state;
    assert_int_equal(egress_parse_net(&net, "10.1.2.3/8", err, sizeof(err)), 0);
    assert_int_equal(net.addr, 0x0A000000);
    assert_int_equal(net.prefix, 8);
    assert_int_equal(egress_parse_net(&net, "1.2.3.4", err, sizeof(err)), 0);
    assert_int_equal(net.prefix, 32);
    assert_int_equal(egress_parse_net(&net, "0.0.0.0/0", err, sizeof(err)), 0);
    assert_int_equal(net.addr, 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(egress_parse_net(&net, wrong[i], err, sizeof(err)), -1);
}

static struct egress_policy policy(const char *text)
{
    struct egress_policy p;
    char err[160], **list = egress_split(text);

    assert_int_equal(egress_parse(&p, list, err, sizeof(err)), 0);
    egress_free_list(list);
    return p;
}

static void test_policies(void **state)
{
    struct egress_policy a = policy(" 10.0.0.0/8,host ,, 192.168.1.0/24"),
                         b = policy("host,192.168.1.9/24,10.9.9.9/8,10.0.0.0/8"),
                         c = policy("10.0.0.0/8,192.168.1.0/24"), none = policy("");
    struct egress_table t = {0};

    (void)state;
    assert_int_equal(a.count, 2);
    assert_true(egress_equal(&a, &b));
    assert_false(egress_equal(&a, &c));
    assert_false(egress_equal(&none, &c));
    assert_int_equal(egress_table_policy(&t, &none), 0);
    assert_int_equal(egress_table_policy(&t, &a), 1);
    assert_int_equal(egress_table_policy(&t, &b), 1);
    assert_int_equal(egress_table_policy(&t, &c), 2);
    for (int i = 3; i < EGRESS_POLICIES_MAX; i++) {
        c.nets[0].addr += 0x1000000;
        assert_int_equal(egress_table_policy(&t, &c), i);
    }
    c.nets[0].addr += 0x1000000;
    assert_int_equal(egress_table_policy(&t, &c), -1);
}

static void test_too_many_nets(void **state)
{
    struct egress_policy p;
    char text[EGRESS_MAX + 1][32], *list[EGRESS_MAX + 2], err[160];

    (void)state;
    for (int i = 0; i <= EGRESS_MAX; i++) {
        snprintf(text[i], sizeof(text[i]), "10.0.%d.0/24", i);
        list[i] = text[i];
    }
    list[EGRESS_MAX + 1] = NULL;
    assert_int_equal(egress_parse(&p, list, err, sizeof(err)), -1);
    list[EGRESS_MAX] = NULL;
    assert_int_equal(egress_parse(&p, list, err, sizeof(err)), 0);
}

/* The whole table and a change, checked by nft without being applied. */
static void test_nft_accepts(void **state)
{
    struct egress_berth berths[2] = {{.ifname = "bth0a1b2c-0"}, {.ifname = "bth0a1b2c-1", .policy = 1}};
    struct egress_table t = {
        .name = "berth-test.a_b-1", .if_pattern = "bth0a1b2c-*", .berths = berths, .berth_count = 2};
    struct egress_policy open = policy("host,10.0.0.0/8,10.1.0.0/16");
    struct buf rules = {0}, output = {0};
    char nft[64], err[160];
    char *argv[] = {nft, (char *)"-c", (char *)"-f", (char *)"-", NULL};

    (void)state;
    if (geteuid() != 0 || child_find_program("nft", nft, sizeof(nft)) != 0)
        skip();
    assert_int_equal(egress_parse_net(&t.net, "10.213.0.0/16", err, sizeof(err)), 0);
    for (int i = 0; i < 2; i++) {
        berths[i].host.s_addr = htonl(0x0AD50001U + 4U * (unsigned)i);
        berths[i].self.s_addr = htonl(0x0AD50002U + 4U * (unsigned)i);
    }
    egress_table_policy(&t, &(struct egress_policy){.count = 0});
    egress_table_policy(&t, &open);
    egress_rules_create(&rules, &t);
    assert_null(strstr(rules.data, "ct count"));
    assert_null(strstr(rules.data, "ct mark"));
    rules.len = 0;
    t.connections = 77;
    t.marks = 1;
    egress_rules_create(&rules, &t);
    assert_non_null(strstr(rules.data, "ct count over 77 "));
    assert_non_null(strstr(rules.data, "\"bth0a1b2c-1\" : 0x0ad50006"));
    assert_non_null(strstr(rules.data, "hosts { \"bth0a1b2c-1\" . 10.213.0.5 }"));
    assert_null(strstr(rules.data, "hosts { \"bth0a1b2c-0\""));
    egress_rules_switch(&rules, &t, 0, 1);
    egress_rules_switch(&rules, &t, 1, 0);
    if (child_run(argv, rules.data, &output, 10000) != 0)
        fail_msg("nft: %s", output.data);
    rules.len = 0;
    egress_rules_inside(&rules, 9222, 0);
    assert_int_equal(child_run(argv, rules.data, &output, 10000), 0);
    buf_cleanup(&rules);
    buf_cleanup(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_net),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_too_many_nets),
        cmocka_unit_test(test_nft_accepts),
    };

    return cmocka_run_group_tests_name("egress", tests, NULL, NULL);
}
