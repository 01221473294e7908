/* links: api/create_request.c api/session_filter.c api/session_view.c */
/* create.c: the body of a create on any bytes, and what comes of it: whatever is accepted keeps its bounds,
 * its description is JSON that goes through a session's view and comes out as JSON, and a filter's query may
 * ask about it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/create_request.h"
#include "api/session_filter.h"
#include "api/session_view.h"
#include "shared/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct create_bounds bounds = {900000, 21600000, 120000};

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_view(const struct session *s)
{
    struct session_view view = {.secrets = 1, .position = 3};
    struct buf json = {0};
    char err[160];
    cJSON *parsed;

    session_add_json(&json, s, &view);
    parsed = json_parse(json.data, json.len, err, sizeof(err));
    require(cJSON_IsObject(parsed));
    cJSON_Delete(parsed);
    buf_cleanup(&json);
}

static void check_filter(const struct session *s, const char *query)
{
    struct session_filter filter = {0};

    if (session_filter_query(&filter, query) == 0)
        (void)session_filter_shows(&filter, s);
    session_filter_cleanup(&filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct create_request r;
    struct create_problem why;
    struct session s;
    char *text = malloc(size + 1);
    enum err e;

    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    e = create_request_parse(&r, &bounds, text, size, &why);
    session_read(NULL, &s);
    if (e == ERR_ok) {
        require(r.timeout_ms >= 1000 && r.timeout_ms <= bounds.timeout_max_ms);
        require(r.idle_ms >= 0 && r.idle_ms <= bounds.timeout_max_ms);
        require(keys_is_name(r.profile) && (!*r.project || keys_is_name(r.project)));
        require(strlen(r.meta.data) == r.meta.len);
        s.meta = r.meta.data;
        check_view(&s);
    } else {
        require(e == ERR_bad_json || e == ERR_bad_field);
        require((e == ERR_bad_field) == (*why.field != '\0') && *why.message);
    }
    check_filter(&s, text);
    /* Anything may stand in Redis where a worker's words belong. */
    s.timings = s.message = s.worker = s.gateway = text;
    s.state = "running";
    s.secret = "1-x";
    check_view(&s);
    create_request_cleanup(&r);
    free(text);
    return 0;
}
