/* create_order.c: see create_order.h. Each check answers the call and returns -1, or returns 0. */
#include "create_order.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../shared/random.h"

#define WAIT_MAX_S 3600

static int check_type(struct call *c, size_t body_len)
{
    const char *type = http_header(c->x, "Content-Type");
    size_t len;

    if (body_len == 0 || !type)
        return 0;
    len = strcspn(type, "; \t");
    if ((len == 16 && !strncasecmp(type, "application/json", len)) ||
        (len > 5 && !strncasecmp(type + len - 5, "+json", 5)))
        return 0;
    call_error(c, ERR_unsupported_media_type,
               "the body has to be JSON, sent with Content-Type: application/json", NULL);
    return -1;
}

static int read_patience(struct call *c, struct create_order *o)
{
    const char *prefer = http_header(c->x, "Prefer");

    if (prefer && strcasestr(prefer, "respond-async"))
        o->patience_ms = 0;
    return call_query_seconds(c, "wait", WAIT_MAX_S, &o->patience_ms);
}

static int read_idempotency(struct call *c, struct create_order *o, const char *body, size_t len)
{
    const char *key = http_header(c->x, "Idempotency-Key"), *p;

    if (!key)
        return 0;
    for (p = key; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            break;
    if (!*key || *p || strlen(key) > CREATE_IDEMPOTENCY_MAX) {
        call_error_field(c, ERR_bad_request, "Idempotency-Key",
                         "Idempotency-Key: has to be 1 to 255 printable ASCII characters");
        return -1;
    }
    snprintf(o->idempotency, sizeof(o->idempotency), "%s", key);
    random_sha256_hex(body, len, o->body_hash);
    return 0;
}

static int choose_project(struct call *c, struct create_order *o)
{
    const char *named = o->request.project, *own = c->who.project;

    if (*named && strcmp(named, own) && !auth_has(&c->who, SCOPE_ADMIN)) {
        call_error_field(c, ERR_forbidden, "projectId", "projectId: the API key is for another project");
        return -1;
    }
    snprintf(o->project, sizeof(o->project), "%s", *named ? named : own);
    return 0;
}

int create_order_read_body(struct call *c, struct create_order *o, const char *body, size_t len)
{
    const struct settings *set = &c->api->settings;
    struct create_bounds bounds = {set->session_timeout, set->session_timeout_max, set->idle_timeout};
    struct create_problem why;
    enum err e = create_request_parse(&o->request, &bounds, body, len, &why);

    o->patience_ms = -1;
    if (!e)
        return choose_project(c, o);
    if (*why.field)
        call_error_field(c, e, why.field, why.message);
    else
        call_error(c, e, why.message, NULL);
    return -1;
}

int create_order_read(struct call *c, struct create_order *o)
{
    size_t len;
    const char *body = http_body(c->x, &len);

    if (check_type(c, len) || create_order_read_body(c, o, body, len) || read_patience(c, o))
        return -1;
    return read_idempotency(c, o, body, len);
}

void create_order_cleanup(struct create_order *o)
{
    create_request_cleanup(&o->request);
}
