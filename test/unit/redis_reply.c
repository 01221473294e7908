/* links: test/support/script_stubs.c */
/* redis_reply.c: replies of every shape, expected or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/log.h"
#include "shared/redis.h"
#include "shared/redis_conn.h"

static redisReader *reader;
static redisReply *reply;

/* The reply that these bytes are; lives until the next. */
static const redisReply *parse(const char *bytes)
{
    void *parsed = NULL;

    if (reply)
        freeReplyObject(reply);
    assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &parsed), REDIS_OK);
    assert_non_null(parsed);
    return reply = parsed;
}

static int set_up(void **state)
{
    (void)state;
    reader = redisReaderCreate();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (reply)
        freeReplyObject(reply);
    reply = NULL;
    redisReaderFree(reader);
    return 0;
}

static void finds_the_code(void **state)
{
    static const char *const odd[] = {"+OK\r\n",
                                      "$2\r\nok\r\n",
                                      ":1\r\n",
                                      "$-1\r\n",
                                      "*0\r\n",
                                      "*-1\r\n",
                                      "*1\r\n:1\r\n",
                                      "*1\r\n$-1\r\n",
                                      "*1\r\n*1\r\n$2\r\nok\r\n",
                                      "*1\r\n$3\r\nok \r\n",
                                      "*1\r\n$0\r\n\r\n",
                                      "-ERR no\r\n",
                                      "-NOSCRIPT No matching script.\r\n",
                                      "-BUSYGROUP x\r\n",
                                      "-\r\n",
                                      "*1\r\n-LOADING x\r\n"};
    static const char *const unavailable[] = {"-LOADING Redis is loading\r\n",
                                              "-READONLY You can't\r\n",
                                              "-MASTERDOWN x\r\n",
                                              "-BUSY x\r\n",
                                              "-OOM x\r\n",
                                              "-MISCONF x\r\n",
                                              "-LOADING\r\n"};
    int saved;

    (void)state;
    assert_int_equal(redis_code(NULL), ERR_redis_unavailable);
    assert_int_equal(redis_code(parse("*1\r\n$2\r\nok\r\n")), ERR_ok);
    assert_int_equal(redis_code(parse("*2\r\n+ok\r\n:1\r\n")), ERR_ok);
    assert_int_equal(redis_code(parse("*2\r\n$10\r\nqueue_full\r\n:1\r\n")), ERR_queue_full);
    for (size_t i = 0; i < sizeof(unavailable) / sizeof(unavailable[0]); i++)
        assert_int_equal(redis_code(parse(unavailable[i])), ERR_redis_unavailable);
    assert_int_equal(redis_is_unavailable(parse("+LOADING\r\n")), 0);
    assert_int_equal(redis_is_unavailable(NULL), 0);
    assert_int_equal(redis_is_error(parse("-NOSCRIPT x\r\n"), "NOSCRIPT"), 1);
    assert_int_equal(redis_is_error(parse("-NOSCRIPTS x\r\n"), "NOSCRIPT"), 0);
    /* Each of these is logged; not here. */
    saved = dup(STDERR_FILENO);
    assert_non_null(freopen("/dev/null", "w", stderr));
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_int_equal(redis_code(parse(odd[i])), ERR_internal);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

static void reads_elements(void **state)
{
    const redisReply *r;

    (void)state;
    r = parse("*8\r\n$2\r\nok\r\n:-5\r\n$2\r\n42\r\n$-1\r\n*1\r\n$1\r\na\r\n$3\r\n4x2\r\n$0\r\n\r\n"
              "$20\r\n99999999999999999999\r\n");
    assert_string_equal(redis_str(r, 0), "ok");
    assert_null(redis_str(r, 1));
    assert_null(redis_str(r, 3));
    assert_null(redis_str(r, 4));
    assert_null(redis_str(r, 8));
    assert_string_equal(redis_str(r, 6), "");
    assert_int_equal(redis_int(r, 0, 7), 7);
    assert_int_equal(redis_int(r, 1, 7), -5);
    assert_int_equal(redis_int(r, 2, 7), 42);
    assert_int_equal(redis_int(r, 3, 7), 7);
    assert_int_equal(redis_int(r, 4, 7), 7);
    assert_int_equal(redis_int(r, 5, 7), 7);
    assert_int_equal(redis_int(r, 6, 7), 7);
    assert_int_equal(redis_int(r, 7, 7), 7);
    assert_int_equal(redis_int(r, 99, -1), -1);
    assert_string_equal(redis_str(redis_array(r, 4), 0), "a");
    assert_null(redis_array(r, 0));
    assert_null(redis_array(r, 8));
    r = parse("$1\r\nx\r\n");
    assert_null(redis_str(r, 0));
    assert_null(redis_array(r, 0));
    assert_null(redis_str(NULL, 0));
    assert_null(redis_array(NULL, 0));
    assert_int_equal(redis_int(NULL, 0, 3), 3);
}

static void reads_fields(void **state)
{
    const redisReply *r = parse("*7\r\n$1\r\na\r\n$1\r\n1\r\n:5\r\n$1\r\nx\r\n$1\r\nb\r\n:2\r\n$1\r\nc\r\n");

    (void)state;
    assert_string_equal(redis_field(r, "a"), "1");
    assert_null(redis_field(r, "1"));
    assert_null(redis_field(r, "b")); /* not text */
    assert_null(redis_field(r, "c")); /* cut off */
    assert_null(redis_field(r, ""));
    assert_null(redis_field(NULL, "a"));
    assert_null(redis_field(parse("*0\r\n"), "a"));
    assert_null(redis_field(parse(":1\r\n"), "a"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(reads_elements), TEST(reads_fields), TEST(finds_the_code)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
