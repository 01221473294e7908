/* links: worker/driver/sim.c worker/driver/sim_cdp.c */
/* Unit tests of the sim driver: its events, and its stand-in as careless and hostile clients see it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/ws.h"
#include "worker/driver.h"
#include "worker/profile.h"

static struct ev_loop *loop;
static struct driver *driver;
static const struct driver_ops *sim = &driver_sim;
static int up, down, clean;
static char path[64];

static void on_up(void *arg, int berth, const char *ws_path, const struct driver_timings *t)
{
    (void)arg;
    (void)berth;
    (void)t;
    up++;
    snprintf(path, sizeof(path), "%s", ws_path);
}

static void on_down(void *arg, int berth, const char *why)
{
    (void)arg;
    (void)berth;
    assert_non_null(why);
    down++;
}

static void on_clean(void *arg, int berth)
{
    (void)arg;
    (void)berth;
    clean++;
}

static int set_up(void **state)
{
    struct driver_config config = {.berths = 4};
    struct driver_events events = {.on_up = on_up, .on_down = on_down, .on_clean = on_clean};
    char isolation[64], err[200];

    (void)state;
    loop = config.loop = EV_DEFAULT;
    up = down = clean = 0;
    driver = sim->open(&config, &events, isolation, sizeof(isolation), err, sizeof(err));
    return driver ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    sim->close(driver);
    return 0;
}

static void start(int berth, int fail_percent)
{
    struct profile p = {.sim_start_ms = 1, .sim_fail_percent = fail_percent};

    sim->start(driver, berth, &p);
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

static int connected(void)
{
    int fd;

    start(0, 0);
    ev_run(loop, 0);
    assert_int_equal(up, 1);
    fd = sim->connect(driver, 0);
    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
    turn();
}

static size_t hear(int fd, char out[4096])
{
    ssize_t n = recv(fd, out, 4095, 0);

    assert_true(n > 0);
    out[n] = '\0';
    return (size_t)n;
}

/* Sends a masked text frame. */
static void message(int fd, const char *text)
{
    unsigned char frame[4096] = {0x81};
    size_t len = strlen(text), at = 2;

    if (len < 126) {
        frame[1] = (unsigned char)(0x80 | len);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(len >> 8);
        frame[3] = (unsigned char)len;
        at = 4;
    }
    memcpy(frame + at, "\1\2\3\4", 4);
    for (size_t i = 0; i < len; i++)
        frame[at + 4 + i] = (unsigned char)(text[i] ^ (char)(i % 4 + 1));
    say(fd, frame, at + 4 + len);
}

static void upgrade(int fd)
{
    char got[4096];

    say(fd,
        "GET /devtools/browser/x HTTP/1.1\r\nHost: a\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        90);
    hear(fd, got);
    assert_non_null(strstr(got, "101 Switching"));
    assert_non_null(strstr(got, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
}

static void test_life(void **state)
{
    struct driver_usage usage;

    (void)state;
    assert_int_equal(sim->usage(driver, 0, &usage), -1);
    assert_int_equal(sim->connect(driver, 0), -1);
    start(0, 0);
    start(1, 100);
    sim->stop(driver, 2); /* idle: clean too */
    assert_int_equal(up + down + clean, 0);
    ev_run(loop, 0);
    assert_int_equal(up, 1);
    assert_int_equal(down, 1);
    assert_int_equal(clean, 1);
    assert_int_equal(sim->usage(driver, 0, &usage), 0);
    sim->stop(driver, 0);
    sim->stop(driver, 0);
    sim->stop(driver, 1);
    assert_int_equal(clean, 1);
    ev_run(loop, 0);
    assert_int_equal(clean, 3);
    start(0, 0);
    sim->stop(driver, 0); /* while starting */
    ev_run(loop, 0);
    assert_int_equal(up, 1);
    assert_int_equal(clean, 4);
}

static void test_http(void **state)
{
    int fd = connected();
    char got[4096];

    (void)state;
    say(fd, "GET /json/version HT", 20);
    assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
    say(fd, "TP/1.1\r\n\r\nGET /json/list HTTP/1.1\r\n\r\n", 37);
    hear(fd, got);
    assert_non_null(strstr(got, path));
    assert_non_null(strstr(got, "\r\n\r\n[]"));
    close(fd);
    turn();
}

static void test_messages(void **state)
{
    int fd = connected();
    char got[4096];

    (void)state;
    upgrade(fd);
    message(fd, "{\"id\":7,\"method\":\"Page.enable\"}");
    hear(fd, got);
    assert_string_equal(got + 2, "{\"id\":7,\"result\":{}}");
    message(fd, "{\"id\":8,\"method\":\"Page.navigate\",\"sessionId\":\"s\\\"1\"}");
    hear(fd, got);
    assert_non_null(strstr(got, "lifecycleEvent"));
    assert_non_null(strstr(got, "\"loaderId\":\"SIM\"},\"sessionId\":\"s\\\"1\"}"));
    message(fd, "not json");
    message(fd, "[1]");
    message(fd, "{\"id\":\"x\"}");
    assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
    message(fd,
            "{\"id\":9,\"params\":\"0123456789012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890123456789012345678901234567890123456789\"}");
    hear(fd, got);
    assert_string_equal(got + 2, "{\"id\":9,\"result\":{}}");
    say(fd, "\x89\x82\0\0\0\0hi", 8);
    assert_int_equal(hear(fd, got), 4);
    assert_memory_equal(got, "\x8A\2hi", 4);
    say(fd, "\x88\x82\0\0\0\0\3\xe8", 8);
    assert_int_equal(hear(fd, got), 4);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
    close(fd);
}

static void test_hostile(void **state)
{
    int fd = connected();
    char junk[20000], got[4096];

    (void)state;
    memset(junk, 'x', sizeof(junk));
    say(fd, junk, sizeof(junk)); /* a head without an end */
    assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
    close(fd);
    fd = sim->connect(driver, 0);
    upgrade(fd);
    say(fd, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 14);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
    close(fd);
    /* A stopped browser hangs up on everybody. */
    fd = sim->connect(driver, 0);
    sim->stop(driver, 0);
    assert_int_equal(recv(fd, got, sizeof(got), 0), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
