/* links: api/metrics.c */
/* Unit tests of the metrics' text: cumulated buckets, labels, escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/metrics.h"

static void has(const struct buf *b, const char *line)
{
    if (!strstr(b->data, line))
        fail_msg("no %s in %s", line, b->data);
}

static void test_text(void **state)
{
    struct metrics *m = metrics_new();
    struct buf b = {0};

    (void)state;
    metrics_request(m, "/a", "GET", 200, 0.5);
    metrics_request(m, "/a", "GET", 200, 1.5);
    metrics_request(m, "/a", "POST", 404, 100000);
    metrics_request(m, "other", "-", 400, 0);
    metrics_create(m, "created", "warm", 2);
    metrics_create(m, "no_worker", "", 2);
    metrics_launch(m, "{\"driver\":\"qemu\",\"totalMs\":120.5,\"configureMs\":4,\"guestClockMs\":0.5}");
    metrics_launch(m, "{\"driver\":\"qemu\",\"totalMs\":80,\"configureMs\":6}");
    metrics_launch(m, "{\"driver\":\"pro\"cess\",\"totalMs\":7000}");
    metrics_launch(m, "");
    metrics_redis(m, 0.2);
    metrics_gauge(m, METRICS_RELAYS, 2);
    metrics_gauge(m, METRICS_RELAYS, -1);
    metrics_swept(m, 3);
    metrics_print(m, 1, 7, &b);
    has(&b, "\nberth_http_requests_total{route=\"/a\",method=\"GET\",status=\"200\"} 2\n");
    has(&b, "\nberth_http_requests_total{route=\"/a\",method=\"POST\",status=\"404\"} 1\n");
    has(&b, "\nberth_http_request_duration_seconds_bucket{route=\"/a\",method=\"GET\",le=\"0.0005\"} 1\n");
    has(&b, "\nberth_http_request_duration_seconds_bucket{route=\"/a\",method=\"GET\",le=\"0.0025\"} 2\n");
    has(&b, "\nberth_http_request_duration_seconds_bucket{route=\"/a\",method=\"GET\",le=\"60\"} 2\n");
    has(&b, "\nberth_http_request_duration_seconds_bucket{route=\"/a\",method=\"GET\",le=\"+Inf\"} 2\n");
    has(&b, "\nberth_http_request_duration_seconds_sum{route=\"/a\",method=\"GET\"} 0.002000\n");
    has(&b, "\nberth_http_request_duration_seconds_count{route=\"/a\",method=\"GET\"} 2\n");
    has(&b, "\nberth_http_request_duration_seconds_bucket{route=\"/a\",method=\"POST\",le=\"60\"} 0\n");
    has(&b, "\nberth_http_request_duration_seconds_sum{route=\"/a\",method=\"POST\"} 100.000000\n");
    has(&b, "\nberth_creates_total{result=\"no_worker\"} 1\n");
    has(&b, "\nberth_create_duration_seconds_count{start=\"warm\"} 1\n");
    has(&b, "\nberth_redis_command_duration_seconds_sum 0.000200\n");
    has(&b, "\nberth_redis_command_duration_seconds_count 1\n");
    has(&b, "\nberth_launch_step_seconds_count{driver=\"qemu\",step=\"load\"} 2\n");
    has(&b, "\nberth_launch_step_seconds_sum{driver=\"qemu\",step=\"total\"} 0.200500\n");
    has(&b, "\nberth_launch_step_seconds_count{driver=\"qemu\",step=\"guest_clock\"} 1\n");
    assert_null(strstr(b.data, "step=\"warmup\""));
    has(&b, "\nberth_relays 1\n");
    has(&b, "\nberth_creates_in_line 0\n");
    has(&b, "\nberth_creates_with_redis 0\n");
    has(&b, "\nberth_redis_up 1\n");
    has(&b, "\nberth_http_connections 7\n");
    has(&b, "\nberth_swept_total 3\n");
    has(&b, "\nprocess_resident_memory_bytes ");
    assert_int_equal(b.data[b.len - 1], '\n');
    buf_cleanup(&b);
    metrics_add_label(&b, "a\"b\\c\nd");
    assert_string_equal(b.data, "\"a\\\"b\\\\c d\"");
    buf_cleanup(&b);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
