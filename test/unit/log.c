/* log.c: what stands on stderr, byte for byte, and that no value can forge a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/log.h"

static char line[65536];
static int real_stderr, ends[2];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[0]);
    log_init("test", "info", "text");
    return 0;
}

/* The line just logged, without its time (24 characters) and end. It is one line. */
static const char *logged(void)
{
    ssize_t n = read(ends[0], line, sizeof(line) - 1);

    assert_true(n > 0 && n <= PIPE_BUF && line[n - 1] == '\n');
    line[n - 1] = '\0';
    assert_null(strchr(line, '\n'));
    return line + 25;
}

static void writes_text(void **state)
{
    const char *volatile nothing = NULL; /* out of the compiler's sight */

    (void)state;
    assert_int_equal(log_init("berth-api", "info", "text"), 0);
    log_info("session_created", "session=%s wait_ms=%.1f n=%d u=%u l=%ld lu=%lu ll=%lld llu=%llu z=%zu",
             "c0-x", 1.25, -1, 2u, -3L, 4UL, -5LL, ULLONG_MAX, (size_t)7);
    assert_string_equal(logged(),
                        "info berth-api session_created session=c0-x wait_ms=1.2 n=-1 u=2 l=-3 lu=4 ll=-5 "
                        "llu=18446744073709551615 z=7");
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    log_warn("pieces", "address=%s:%d cut=%.*s empty=%s null=%s f=%f", "::1", 80, 3, "abcdef", "", nothing,
             0.5);
    assert_string_equal(logged(),
                        "warn berth-api pieces address=::1:80 cut=abc empty=\"\" null=\"\" f=0.500000");
    log_error("quoted", "a=%s b=%s c=%s d=%s", "two words", "x=\"1\"", "back\\slash", "gr\xc3\xbc");
    assert_string_equal(
        logged(),
        "error berth-api quoted a=\"two words\" b=\"x=\\\"1\\\"\" c=\"back\\\\slash\" d=\"gr\xc3\xbc\"");
}

static void lets_no_value_forge_a_line(void **state)
{
    (void)state;
    log_init("t", "info", "text");
    log_info("e", "a=%s b=%d", "x\n2026-11-22T00:00:00.000Z info t forged\r", 1);
    assert_string_equal(logged(), "info t e a=\"x\\n2026-11-22T00:00:00.000Z info t forged\\u000d\" b=1");
    log_info("e", "a=%s", "\x1b[2J \x7f \xc2\x9b \xe2\x80\xa8 \xff");
    assert_string_equal(logged(), "info t e a=\"\\u001b[2J \\u007f \\u009b \\u2028 \xEF\xBF\xBD\"");
}

static void hides_secrets(void **state)
{
    (void)state;
    log_init("t", "info", "text");
    log_info("e", "secret=%s key=%s api_key=%s keys=%s", "7-0123456789abcdef", "short", "", "kept");
    assert_string_equal(logged(), "info t e secret=7-01... key=... api_key=... keys=kept");
}

static void writes_json(void **state)
{
    cJSON *v;

    (void)state;
    assert_int_equal(log_init("berth-worker", "info", "json"), 0);
    log_info("e", "s=%s n=%d f=%.2f nan=%.1f mixed=%d-%d digits=%s", "a \"b\" \n \xff", -7, 2.5, NAN, 1, 2,
             "12");
    logged();
    v = cJSON_Parse(line);
    assert_non_null(v);
    assert_int_equal(strlen(cJSON_GetObjectItem(v, "time")->valuestring), 24);
    assert_string_equal(cJSON_GetObjectItem(v, "level")->valuestring, "info");
    assert_string_equal(cJSON_GetObjectItem(v, "program")->valuestring, "berth-worker");
    assert_string_equal(cJSON_GetObjectItem(v, "event")->valuestring, "e");
    assert_string_equal(cJSON_GetObjectItem(v, "s")->valuestring, "a \"b\" \n \xEF\xBF\xBD");
    assert_true(cJSON_GetObjectItem(v, "n")->valuedouble == -7);
    assert_true(cJSON_GetObjectItem(v, "f")->valuedouble == 2.5);
    assert_true(cJSON_IsString(cJSON_GetObjectItem(v, "nan")));
    assert_string_equal(cJSON_GetObjectItem(v, "mixed")->valuestring, "1-2");
    assert_string_equal(cJSON_GetObjectItem(v, "digits")->valuestring, "12");
    cJSON_Delete(v);
}

static void cuts_what_is_too_long(void **state)
{
    static char big[20000];

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    for (size_t i = 0; i < sizeof(big) - 1; i += 7)
        big[i] = i % 2 ? '\n' : '\xff';
    for (int json = 0; json < 2; json++) {
        log_init("t", "info", json ? "json" : "text");
        for (size_t n = 0; n < sizeof(big) - 1; n += n < 1600 ? 1 : 173) {
            log_info("e", "a=%.*s b=%s c=%s d=%d e=%s", (int)n, big, "kept", big + 1, 5, big + 2);
            logged();
            assert_non_null(strstr(line, "kept"));
            assert_non_null(strstr(line, json ? ",\"cut\":1}" : " cut=1"));
            if (json) {
                cJSON *v = cJSON_Parse(line);
                assert_non_null(v);
                cJSON_Delete(v);
            }
        }
    }
}

static void obeys_the_level(void **state)
{
    (void)state;
    assert_int_equal(log_init("t", "warn", "text"), 0);
    assert_int_equal(log_enabled(LOG_LEVEL_INFO), 0);
    assert_int_equal(log_enabled(LOG_LEVEL_WARN), 1);
    log_debug("no", "a=%d", 1);
    log_info("no", "a=%d", 1);
    log_error("yes", "a=%d", 1);
    assert_string_equal(logged(), "error t yes a=1");
    assert_int_equal(log_init("t", "debug", "text"), 0);
    log_debug("yes", "a=%d", 1);
    assert_string_equal(logged(), "debug t yes a=1");
    assert_int_equal(log_init("t", "loud", "text"), -1);
    assert_int_equal(log_enabled(LOG_LEVEL_DEBUG), 0);
    assert_int_equal(log_enabled(LOG_LEVEL_INFO), 1);
    assert_int_equal(log_init("t", "info", "xml"), -1);
    log_info("yes", "a=%d", 1);
    assert_string_equal(logged(), "info t yes a=1");
}

static void survives_a_format_of_the_wrong_form(void **state)
{
    (void)state;
    log_init("t", "info", "text");
    log_info("e", "a=%d %s", 1, "x");
    assert_string_equal(logged(), "info t e a=1 bad_format=\"a=%d %s\"");
    log_info("e", "a=%x b=%d", 1u, 2);
    assert_string_equal(logged(), "info t e bad_format=\"a=%x b=%d\"");
}

static void fatal_exits_with_1(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    log_init("t", "info", "text");
    pid = fork();
    if (pid == 0) {
        /* exit() in a forked test would run what the runner has registered. */
        close(STDOUT_FILENO);
        log_fatal("gone", "why=%s", "test");
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_string_equal(logged(), "error t gone why=test");
}

/* ---- the programs' own formats ---- */

/* The adjacent string literals at s, put together as they are written; NULL if there is none. */
static const char *take_literals(const char *s, char *out, size_t size)
{
    size_t used = 0;
    int any = 0;

    for (;; any = 1, s++) {
        s += strspn(s, " \n");
        if (*s != '"')
            break;
        while (*++s != '"' && used + 2 < size) {
            if (*s == '\\')
                out[used++] = *s++;
            out[used++] = *s;
        }
    }
    out[used] = '\0';
    return any ? s : NULL;
}

/* key=value, parted by single spaces. */
static int is_format(const char *f)
{
    for (;; f++) {
        size_t key = strspn(f, "abcdefghijklmnopqrstuvwxyz0123456789_");

        if (key == 0 || f[key] != '=')
            return 0;
        f += strcspn(f, " ");
        if (!*f)
            return 1;
    }
}

/* The formats of a file that log.h would not follow; how many there are in all goes to total. */
static int count_bad_formats(const char *path, int *total)
{
    static const char *const calls[] = {"log_debug(", "log_info(", "log_warn(", "log_error(", "log_fatal("};
    static char text[256 * 1024], format[4096];
    FILE *f = fopen(path, "r");
    int bad = 0;
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (const char *at = strstr(text, calls[i]); at; at = strstr(at, calls[i])) {
            const char *end;

            at += strlen(calls[i]);
            end = take_literals(at, format, sizeof(format)); /* the event's name */
            if (!end || *end != ',' || !take_literals(end + 1, format, sizeof(format)) || !*format)
                continue;
            ++*total;
            if (!is_format(format)) {
                print_error("%s: %s\n", path, format);
                bad++;
            }
        }
    }
    return bad;
}

static void the_programs_formats_are_of_the_form(void **state)
{
    static const char *const folders[] = {"api", "shared", "worker", "worker/driver"};
    int bad = 0, total = 0;

    (void)state;
    assert_true(is_format("a=%s b_2=%d c=x"));
    assert_false(is_format("why=\\\"two words\\\""));
    assert_false(is_format("a=%s  b=%s"));
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        DIR *d = opendir(folders[i]);
        struct dirent *e;
        char path[300];

        assert_non_null(d);
        while ((e = readdir(d))) {
            size_t n = strlen(e->d_name);

            if (n < 2 || strcmp(e->d_name + n - 2, ".c") != 0)
                continue;
            snprintf(path, sizeof(path), "%s/%s", folders[i], e->d_name);
            bad += count_bad_formats(path, &total);
        }
        closedir(d);
    }
    assert_true(total > 100); /* it does find them */
    assert_int_equal(bad, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_text),
        TEST(lets_no_value_forge_a_line),
        TEST(hides_secrets),
        TEST(writes_json),
        TEST(cuts_what_is_too_long),
        TEST(obeys_the_level),
        TEST(survives_a_format_of_the_wrong_form),
        TEST(fatal_exits_with_1),
        cmocka_unit_test(the_programs_formats_are_of_the_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
