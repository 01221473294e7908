/* links: test/support/script_stubs.c */
/* redis_reader.c: replies of every type, nested, larger than a block, in pieces, and ones that promise too
 * much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shared/buf.h"
#include "shared/redis_conn.h"

static redisReader *reader;
static struct redis_block *memory;

static int set_up(void **state)
{
    (void)state;
    reader = redis_reader_new(&memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redis_reader_free(reader, &memory);
    assert_null(memory);
    return 0;
}

static const redisReply *next(void)
{
    void *reply = NULL;

    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    return reply;
}

static const redisReply *parse(const char *bytes)
{
    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    return next();
}

static void reads_every_type(void **state)
{
    const redisReply *r = parse("*6\r\n$2\r\nok\r\n:-7\r\n$-1\r\n*2\r\n+fine\r\n*0\r\n-ERR no\r\n*-1\r\n");

    (void)state;
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    assert_int_equal(r->elements, 6);
    assert_string_equal(r->element[0]->str, "ok");
    assert_int_equal(r->element[0]->len, 2);
    assert_int_equal(r->element[1]->type, REDIS_REPLY_INTEGER);
    assert_int_equal(r->element[1]->integer, -7);
    assert_int_equal(r->element[2]->type, REDIS_REPLY_NIL);
    assert_null(r->element[2]->str);
    assert_int_equal(r->element[3]->elements, 2);
    assert_int_equal(r->element[3]->element[0]->type, REDIS_REPLY_STATUS);
    assert_string_equal(r->element[3]->element[0]->str, "fine");
    assert_int_equal(r->element[3]->element[1]->elements, 0);
    assert_int_equal(r->element[4]->type, REDIS_REPLY_ERROR);
    assert_string_equal(r->element[4]->str, "ERR no");
    assert_int_equal(r->element[5]->type, REDIS_REPLY_NIL);
}

/* A reply that comes byte by byte, after one whose memory is used again. */
static void reads_in_pieces(void **state)
{
    static const char bytes[] = "*2\r\n$3\r\na\0b\r\n:12\r\n";

    (void)state;
    for (int round = 0; round < 3; round++) {
        const redisReply *r = NULL;

        for (size_t i = 0; i + 1 < sizeof(bytes); i++) {
            assert_null(r);
            assert_int_equal(redisReaderFeed(reader, bytes + i, 1), REDIS_OK);
            r = next();
        }
        assert_non_null(r);
        assert_int_equal(r->elements, 2);
        assert_memory_equal(r->element[0]->str, "a\0b", 4);
        assert_int_equal(r->element[1]->integer, 12);
        redis_reader_reset(&memory);
    }
}

static void grows_and_shrinks(void **state)
{
    struct buf bytes = {0};
    char *large = malloc(100001);
    const redisReply *r;

    (void)state;
    memset(large, 'x', 100000);
    large[100000] = '\0';
    buf_addf(&bytes, "*5000\r\n$100000\r\n%s\r\n", large);
    for (int i = 1; i < 5000; i++)
        buf_addf(&bytes, "$%d\r\n%d\r\n", i < 10 ? 1 : i < 100 ? 2 : i < 1000 ? 3 : 4, i);
    r = parse(bytes.data);
    assert_int_equal(r->elements, 5000);
    assert_string_equal(r->element[0]->str, large);
    assert_string_equal(r->element[4999]->str, "4999");
    redis_reader_reset(&memory);
    assert_string_equal(parse("+ok\r\n")->str, "ok");
    buf_cleanup(&bytes);
    free(large);
}

static void survives_promises(void **state)
{
    void *reply = NULL;

    (void)state;
    assert_null(parse("*3\r\n*100\r\n:1\r\n")); /* and is freed half way */
    redis_reader_free(reader, &memory);
    reader = redis_reader_new(&memory);
    assert_int_equal(redisReaderFeed(reader, "?\r\n", 3), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_ERR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_every_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grows_and_shrinks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_promises, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
