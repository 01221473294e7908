/* links: worker/qmp.c worker/qmp_parse.c */
/* Unit tests of the QMP client: lines taken apart, and a whole conversation with a stand-in for QEMU, also
 * one that breaks the rules. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/qmp.h"

#define GREETING                                                                                             \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"x\"}, "  \
    "\"capabilities\": [\"oob\"]}}"

/* ---- lines ---- */

static int parse(const char *text, struct qmp_line *line)
{
    char err[120] = "";
    int result = qmp_parse(text, strlen(text), line, err, sizeof(err));

    if (result != 0)
        assert_string_not_equal(err, "");
    return result;
}

static void test_lines(void **state)
{
    struct qmp_line line;

    (void)state;
    assert_int_equal(parse(GREETING, &line), 0);
    assert_int_equal(line.kind, QMP_GREETING);
    assert_string_equal(line.text, "7.2.22");
    cJSON_Delete(line.json);
    assert_int_equal(parse("{\"return\": {\"a\": 1}, \"id\": 4}\r", &line), 0);
    assert_int_equal(line.kind, QMP_RETURN);
    assert_true(line.id == 4 && cJSON_IsObject(line.body));
    cJSON_Delete(line.json);
    assert_int_equal(parse("{\"id\":1,\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}", &line), 0);
    assert_int_equal(line.kind, QMP_ERROR);
    assert_string_equal(line.text, "GenericError: no");
    cJSON_Delete(line.json);
    assert_int_equal(parse("{\"event\":\"STOP\",\"timestamp\":{\"seconds\":1}}", &line), 0);
    assert_int_equal(line.kind, QMP_EVENT);
    assert_null(line.body);
    cJSON_Delete(line.json);
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"return\":{}} {}",
        "{\"return\":{},\"error\":{}}",
        "{\"return\":{},\"id\":\"a\"}",
        "{\"error\":{\"class\":\"A\"}}",
        "{\"error\":{\"class\":1,\"desc\":\"b\"}}",
        "{\"event\":1}",
        "{\"event\":\"\"}",
        "{\"event\":\"A\",\"data\":[]}",
        "{\"QMP\":{}}",
        "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":-1,\"minor\":2,\"major\":7}},\"capabilities\":[]}}",
        "{\"return\":{},\"return\":{}}",
    };
    struct qmp_line line;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i], &line), -1);
}

/* ---- conversations ---- */

static struct ev_loop *loop;
static struct qmp *client;
static int peer, opened, events, closed, free_in_callback;
static char last_event[64], last_why[200], answers[400];

static void on_open(void *arg, const char *version)
{
    (void)arg;
    assert_string_equal(version, "7.2.22");
    opened++;
}

static void on_event(void *arg, const char *name, const cJSON *data)
{
    (void)arg;
    (void)data;
    events++;
    snprintf(last_event, sizeof(last_event), "%s", name);
    if (free_in_callback) {
        qmp_free(client);
        client = NULL;
    }
}

static void on_close(void *arg, const char *why)
{
    (void)arg;
    closed++;
    snprintf(last_why, sizeof(last_why), "%s", why);
}

static void on_reply(void *arg, const cJSON *result, const char *error)
{
    size_t used = strlen(answers);

    snprintf(answers + used, sizeof(answers) - used, "%s=%s;", (const char *)arg, result ? "ok" : error);
}

static void turn(void)
{
    for (int i = 0; i < 10; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

static void say(const char *text)
{
    assert_int_equal(write(peer, text, strlen(text)), strlen(text));
    turn();
}

/* What the client has written so far. */
static const char *heard(void)
{
    static char text[2000];
    ssize_t n = recv(peer, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static int set_up(void **state)
{
    struct qmp_events e = {on_open, on_event, on_close, NULL};
    int pair[2];

    (void)state;
    loop = EV_DEFAULT;
    opened = events = closed = free_in_callback = 0;
    answers[0] = last_why[0] = '\0';
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    peer = pair[1];
    client = qmp_new(loop, pair[0], &e);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qmp_free(client);
    close(peer);
    return 0;
}

static void open_up(void)
{
    say(GREETING "\r\n");
    assert_string_equal(heard(), "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
    say("{\"return\": {}, \"id\": 0}\r\n");
    assert_int_equal(opened, 1);
}

static void test_conversation(void **state)
{
    cJSON *args = cJSON_CreateObject();

    (void)state;
    open_up();
    cJSON_AddStringToObject(args, "uri", "fd:7");
    qmp_call(client, "migrate", args, on_reply, (void *)"a");
    qmp_call(client, "stop", NULL, on_reply, (void *)"b");
    assert_string_equal(heard(), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:7\"},\"id\":1}\n"
                                 "{\"execute\":\"stop\",\"id\":2}\n");
    say("{\"event\":\"STOP\"}\n{\"return\":{},\"id\":1}\n{\"error\":{\"class\":\"C\",\"des");
    assert_string_equal(answers, "a=ok;");
    say("c\":\"d\"},\"id\":2}\n");
    assert_string_equal(answers, "a=ok;b=C: d;");
    assert_int_equal(events, 1);
    assert_string_equal(last_event, "STOP");
    assert_int_equal(closed, 0);
}

static void test_end_answers_all(void **state)
{
    (void)state;
    open_up();
    qmp_call(client, "cont", NULL, on_reply, (void *)"a");
    shutdown(peer, SHUT_WR);
    turn();
    assert_int_equal(closed, 1);
    assert_string_equal(answers, "a=QMP: the connection was closed;");
    qmp_call(client, "cont", NULL, on_reply, (void *)"b");
    assert_null(strstr(answers, "b="));
    turn();
    assert_non_null(strstr(answers, "b=QMP: the connection was closed;"));
}

static void test_rules(void **state)
{
    static const char *const breaches[] = {"{\"return\":{},\"id\":9}\n", "{\"return\":{}}\n", GREETING "\n",
                                           "nonsense\n"};

    for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
        if (i > 0) {
            tear_down(state);
            set_up(state);
        }
        open_up();
        qmp_call(client, "cont", NULL, on_reply, (void *)"a");
        say(breaches[i]);
        assert_int_equal(closed, 1);
        assert_non_null(strstr(answers, "a=QMP"));
    }
    tear_down(state);
    set_up(state);
    say("{\"event\":\"STOP\"}\n");
    assert_int_equal(closed, 1); /* before the greeting */
}

static void test_endless_line(void **state)
{
    static char chunk[32 * 1024];

    (void)state;
    open_up();
    memset(chunk, 'x', sizeof(chunk));
    for (int i = 0; i < 20 && !closed; i++) {
        if (send(peer, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            break;
        turn();
    }
    assert_int_equal(closed, 1);
    assert_string_equal(last_why, "QMP: a line that is too long");
}

static void test_free_in_callback(void **state)
{
    (void)state;
    open_up();
    qmp_call(client, "cont", NULL, on_reply, (void *)"a");
    free_in_callback = 1;
    say("{\"event\":\"STOP\"}\n{\"return\":{},\"id\":1}\n");
    assert_int_equal(events, 1);
    assert_string_equal(answers, "");
    assert_int_equal(closed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test_setup_teardown(test_conversation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_answers_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_endless_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_in_callback, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
