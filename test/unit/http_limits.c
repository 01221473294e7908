/* links: test/support/http_fixture.c test/support/http_client.c */
/* http_limits.c: limits of time, number, descriptors and memory, against clients that are slow, silent or
 * many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/log.h"
#include "test/support/http_client.h"
#include "test/support/http_fixture.h"

static const struct http_limits quick = {.head_bytes = 4096,
                                         .target_bytes = 1024,
                                         .body_bytes = 2000,
                                         .request_ms = 300,
                                         .idle_ms = 500,
                                         .write_ms = 300,
                                         .connections = 3};

static void test_slow_senders(void **state)
{
    static const char *const parts[] = {"G", "GET /now HTTP/1.1\r\nHost", POST "Content-Length: 5\r\n\r\nhel",
                                        CHUNKED "5\r\n"};
    char statuses[32];

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    for (size_t i = 0; i < 4; i++) {
        struct http_client c;
        http_client_connect(&c);
        http_client_say(&c, parts[i]);
        UNTIL(http_client_ended(&c));
        assert_int_equal(http_client_replies(&c, statuses, sizeof(statuses)), 1);
        assert_string_equal(statuses, "408");
        assert_int_equal(c.eof, 1);
        http_client_close(&c);
    }
}

/* A byte now and then does not extend the time for a request. */
static void test_trickle(void **state)
{
    struct http_client c;
    char statuses[32];
    double next = 0;

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    http_client_connect(&c);
    http_client_say(&c, "GET /now HTTP/1.1\r\nHost: h\r\nX: ");
    while (!http_client_ended(&c)) {
        UNTIL(http_client_ended(&c) || clock_mono_ms() > next);
        http_client_say(&c, "x");
        next = clock_mono_ms() + 5;
    }
    http_client_replies(&c, statuses, sizeof(statuses));
    assert_string_equal(statuses, "408");
    http_client_close(&c);
}

static void test_idle(void **state)
{
    struct http_client silent, used;

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    http_client_connect(&silent);
    http_client_connect(&used);
    http_client_say(&used, GET);
    UNTIL(http_client_ended(&silent) && http_client_ended(&used));
    assert_int_equal(silent.got.len, 0); /* nothing was asked, nothing is said */
    assert_int_equal(http_client_replies(&used, NULL, 0), 1);
    http_client_close(&silent);
    http_client_close(&used);
}

static void test_waiting_has_no_deadline(void **state)
{
    struct http_client c;
    const double begin = clock_mono_ms();

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1 && clock_mono_ms() - begin > 300);
    http_fixture_answer(0);
    UNTIL(http_client_replies(&c, NULL, 0) == 1);
    http_client_close(&c);
}

static void test_reader_that_never_reads(void **state)
{
    struct http_client c;

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    http_client_connect(&c);
    http_client_say(&c, HEAD("GET /big"));
    UNTIL(http_server_connections(http_fixture.server) == 1);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    http_client_close(&c);
}

static void test_too_many_connections(void **state)
{
    struct http_client c[5];
    char statuses[32];

    (void)state;
    http_fixture_stop();
    http_fixture_start(&quick);
    for (int i = 0; i < 5; i++) {
        http_client_connect(&c[i]);
        if (i < 3)
            http_client_say(&c[i], HEAD("GET /later"));
        UNTIL(http_server_connections(http_fixture.server) == i + 1);
    }
    for (int i = 3; i < 5; i++) {
        UNTIL(http_client_ended(&c[i]));
        http_client_replies(&c[i], statuses, sizeof(statuses));
        assert_string_equal(statuses, "503");
        assert_non_null(strstr(c[i].got.data, "too_many_connections"));
        http_client_close(&c[i]);
    }
    for (int i = 0; i < 3; i++)
        http_client_close(&c[i]);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    assert_int_equal(http_fixture.gone, 3);
}

static int highest_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);

    close(fd);
    return fd;
}

static void test_out_of_descriptors(void **state)
{
    struct http_client c;
    struct rlimit old, none;
    int rounds = 0;

    (void)state;
    http_client_connect(&c);
    http_client_say(&c, GET);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = (rlim_t)highest_fd();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (double end = clock_mono_ms() + 250; clock_mono_ms() < end; rounds++)
        ev_run(http_fixture.loop, EVRUN_ONCE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(rounds < 20); /* it paused rather than spin */
    UNTIL(http_client_replies(&c, NULL, 0) == 1);
    http_client_close(&c);
}

static void test_waiting_is_cheap(void **state)
{
    enum { N = 400 };
    struct http_client *c = calloc(N, sizeof(*c));
    size_t before, after;

    (void)state;
    http_client_connect(&c[0]);
    http_client_say(&c[0], HEAD("GET /later"));
    UNTIL(http_fixture.waiting_count == 1);
    before = mallinfo2().uordblks;
    for (int i = 1; i < N; i++) {
        http_client_connect(&c[i]);
        http_client_say(&c[i], POST "\r\n" HEAD("GET /later?q=" X100));
    }
    UNTIL(http_fixture.waiting_count == N);
    after = mallinfo2().uordblks;
    if (before > 0)
        print_message("%zu bytes a waiting connection\n", (after - before) / (N - 1));
    assert_true(before == 0 ||
                after - before < (size_t)(N - 1) * 8192); /* a sanitizer's malloc counts nothing */
    for (int i = 0; i < N; i++)
        http_client_close(&c[i]);
    free(c);
    UNTIL(http_server_connections(http_fixture.server) == 0);
    assert_int_equal(http_fixture.gone, N);
}

#define T(name) cmocka_unit_test_setup_teardown(name, http_fixture_setup, http_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_slow_senders),
        T(test_trickle),
        T(test_idle),
        T(test_waiting_has_no_deadline),
        T(test_reader_that_never_reads),
        T(test_too_many_connections),
        T(test_out_of_descriptors),
        T(test_waiting_is_cheap),
    };

    log_init("test", "error", "text");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
