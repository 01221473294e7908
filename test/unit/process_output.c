/* links: worker/driver/process_output.c */
/* Unit tests of reading a browser's output: the DevTools line in pieces, endless lines, forged ones, the last
 * words. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/driver/process_output.h"

static char got_path[PROCESS_OUTPUT_LINE_MAX];
static int got_port, got_count, got_none;

static void on_listening(void *arg, int port, const char *path)
{
    (void)arg;
    got_port = port;
    got_count++;
    snprintf(got_path, sizeof(got_path), "%s", path);
}

static void on_no_devtools(void *arg)
{
    (void)arg;
    got_none++;
}

static int begin(struct process_output *o)
{
    int ends[2];

    got_port = got_count = got_none = 0;
    memset(o, 0, sizeof(*o));
    o->on_listening = on_listening;
    o->on_no_devtools = on_no_devtools;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    process_output_init(o, EV_DEFAULT, ends[0], 0);
    return ends[1];
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ev_run(EV_DEFAULT, EVRUN_NOWAIT);
}

static void test_listening(void **state)
{
    struct process_output o;
    int fd = begin(&o);

    (void)state;
    say(fd, "noise\n\nDevTools list");
    assert_int_equal(got_count, 0);
    say(fd, "ening on ws://127.0.0.1:9222/devtools/browser/ab-12");
    assert_int_equal(got_count, 0);
    say(fd, "\nCannot start http server for devtools.\n");
    assert_int_equal(got_count, 1);
    assert_int_equal(got_port, 9222);
    assert_string_equal(got_path, "/devtools/browser/ab-12");
    assert_int_equal(got_none, 1);
    close(fd);
    ev_run(EV_DEFAULT, 0); /* ends by itself: the pipe is closed */
    process_output_cleanup(&o);
    process_output_cleanup(&o);
}

static void test_forged(void **state)
{
    static const char *const lines[] = {
        "DevTools listening on ws://127.0.0.1:9222/devtools/browser/",
        "DevTools listening on ws://127.0.0.1:9222/devtools/browser/a/../b",
        "DevTools listening on ws://127.0.0.1:9222/devtools/browser/a\r",
        "DevTools listening on ws://127.0.0.1:0/devtools/browser/a",
        "DevTools listening on ws://127.0.0.1:99999/devtools/browser/a",
        "DevTools listening on ws://10.0.0.1:9222/devtools/browser/a",
        " DevTools listening on ws://127.0.0.1:9222/devtools/browser/a",
    };
    char path[PROCESS_OUTPUT_LINE_MAX];
    int port;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(process_output_parse_listening(lines[i], &port, path), -1);
}

static void test_bounded(void **state)
{
    struct process_output o;
    int fd = begin(&o);
    char chunk[4000];

    (void)state;
    memset(chunk, 'x', sizeof(chunk));
    for (int i = 0; i < 50; i++) {
        assert_int_equal(write(fd, chunk, sizeof(chunk)), (ssize_t)sizeof(chunk));
        ev_run(EV_DEFAULT, EVRUN_NOWAIT);
    }
    say(fd, "\n");
    assert_int_equal(strlen(process_output_reason(&o)), PROCESS_OUTPUT_LINE_MAX - 1);
    say(fd, "bwrap: it broke\x1b[31m\na\nERROR:dbus/bus.cc no bus\nb\n");
    assert_string_equal(process_output_reason(&o), "bwrap: it broke?[31m");
    say(fd, "c\nd\ne\nf\ng\n");
    assert_string_equal(process_output_reason(&o), "g");
    assert_int_equal(write(fd, "last words", 10), 10);
    process_output_drain(&o);
    assert_string_equal(process_output_reason(&o), "last words");
    close(fd);
    process_output_cleanup(&o);
    assert_string_equal(process_output_reason(&o), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests_name("process_output", tests, NULL, NULL);
}
