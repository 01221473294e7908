/* http_fixture.c: see http_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "http_fixture.h"

struct http_fixture http_fixture = {.upgraded = -1};

static void on_gone(struct http_exchange *x, void *user)
{
    assert_ptr_equal(user, &http_fixture.gone);
    http_fixture.gone++;
    for (int i = 0; i < http_fixture.waiting_count; i++)
        if (http_fixture.waiting[i] == x)
            http_fixture.waiting[i] = http_fixture.waiting[--http_fixture.waiting_count];
}

static void reply_with_request(struct http_exchange *x)
{
    struct buf json = {0};
    const char *name, *value;
    size_t len;

    buf_adds(&json, "{\"method\":");
    buf_add_json_string(&json, http_method_name(x));
    buf_adds(&json, ",\"path\":");
    buf_add_json_string(&json, http_path(x));
    buf_adds(&json, ",\"q\":");
    buf_add_json_string(&json, http_query(x, "q"));
    buf_adds(&json, ",\"host\":");
    buf_add_json_string(&json, http_header(x, "hOST"));
    buf_adds(&json, ",\"x\":");
    buf_add_json_string(&json, http_header(x, "x"));
    buf_adds(&json, ",\"body\":");
    buf_add_json_string(&json, http_body(x, &len));
    for (size_t i = 0; http_header_at(x, i, &name, &value); i++)
        assert_true(*name != '\0' && value != NULL);
    assert_int_equal(len, strlen(http_body(x, NULL)));
    assert_true(http_age_ms(x) >= 0);
    buf_adds(&json, "}");
    http_reply_json(x, 200, &json);
}

static void on_request(void *arg, struct http_exchange *x)
{
    const char *path = http_path(x);

    (void)arg;
    http_fixture.requests++;
    if (strcmp(path, "/later") == 0) {
        http_set_user(x, &http_fixture.gone, on_gone);
        http_fixture.waiting[http_fixture.waiting_count++] = x;
    } else if (strcmp(path, "/big") == 0) {
        const size_t len = 4u << 20;
        char *body = malloc(len);
        memset(body, 'b', len);
        http_reply(x, 200, "text/plain", body, len);
        free(body);
    } else if (strcmp(path, "/ws") == 0) {
        if (http_is_upgrade(x))
            http_upgrade(x, &http_fixture.upgraded, &http_fixture.upgraded_early);
        else
            http_reply_error(x, ERR_upgrade_required, NULL, NULL);
    } else if (strcmp(path, "/204") == 0)
        http_reply(x, 204, "text/plain", "never sent", 10);
    else if (strcmp(path, "/headers") == 0) {
        http_add_header(x, "X-Fine", "a b");
        http_add_header(x, "X-Forged", "a\r\nX-Injected: 1");
        http_add_header(x, "X Bad", "1");
        http_reply(x, 200, NULL, NULL, 0);
    } else
        reply_with_request(x);
}

static void on_done(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms)
{
    (void)arg, (void)status;
    assert_non_null(http_path(x));
    assert_non_null(http_method_name(x));
    assert_true(*http_request_id(x) != '\0' && bytes > 0 && ms >= 0);
    http_fixture.done++;
}

void http_fixture_start(const struct http_limits *limits)
{
    struct http_server_config config = {
        .limits = {.head_bytes = 4096,
                   .target_bytes = 1024,
                   .body_bytes = 2000,
                   .request_ms = 5000,
                   .idle_ms = 60000,
                   .write_ms = 5000,
                   .connections = 3000},
        .on_request = on_request,
        .on_done = on_done,
    };
    char err[256] = "";

    if (limits)
        config.limits = *limits;
    http_fixture.loop = ev_loop_new(EVFLAG_AUTO);
    http_fixture.server = http_server_new(http_fixture.loop, "127.0.0.1:0", &config, err, sizeof(err));
    if (!http_fixture.server)
        fail_msg("%s", err);
    http_fixture.waiting_count = http_fixture.gone = http_fixture.requests = http_fixture.done = 0;
}

void http_fixture_stop(void)
{
    http_server_free(http_fixture.server);
    assert_int_equal(http_fixture.waiting_count, 0);
    assert_int_equal(ev_pending_count(http_fixture.loop), 0);
    ev_loop_destroy(http_fixture.loop);
}

int http_fixture_setup(void **state)
{
    (void)state;
    http_fixture_start(NULL);
    return 0;
}

int http_fixture_teardown(void **state)
{
    (void)state;
    http_fixture_stop();
    return 0;
}

void http_fixture_answer(int i)
{
    struct http_exchange *x = http_fixture.waiting[i];

    http_fixture.waiting[i] = http_fixture.waiting[--http_fixture.waiting_count];
    http_reply(x, 200, "text/plain", "late", 4);
}

void http_fixture_turn(void)
{
    for (int i = 0; i < 4; i++)
        ev_run(http_fixture.loop, EVRUN_NOWAIT);
}

void http_fixture_on_tick(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l, (void)w, (void)revents;
}
