/* create_end.c: how a create ends: with a session, an error, or given up by its client. */
#include <stdio.h>
#include <string.h>

#include "../shared/clock.h"
#include "../shared/log.h"
#include "create_internal.h"
#include "links.h"
#include "metrics.h"

void create_stop_waiting(struct call *c)
{
    struct create *cr = c->data;

    ev_timer_stop(cr->loop, &cr->timer);
    if (!cr->waiter)
        return;
    wait_remove(cr->waiter);
    cr->waiter = NULL;
    metrics_gauge(c->api->metrics, METRICS_WAITING_CREATES, -1);
    c->waited_ms += clock_mono_ms() - cr->waiting_since;
}

void create_cancel(struct call *c)
{
    struct create *cr = c->data;

    if (cr->asked && cr->mine && !cr->settled)
        api_cancel(c->api, cr->session, cr->order.project);
    cr->settled = 1;
}

void create_refuse(struct call *c, enum err e, const char *message, const char *details)
{
    struct create *cr = c->data;

    create_stop_waiting(c);
    cr->settled = 1;
    metrics_create(c->api->metrics, err_name(e), "", http_age_ms(c->x));
    log_info("session_refused", "code=%s project=%s profile=%s session=%s ms=%.3f request=%s", err_name(e),
             cr->order.project, cr->order.request.profile, cr->session, http_age_ms(c->x),
             http_request_id(c->x));
    call_error(c, e, message, details);
}

static void add_ms(struct buf *out, const char *name, double ms)
{
    buf_adds(out, name);
    buf_add_fixed(out, ms, 3);
}

static void add_control_plane(struct buf *out, const struct call *c, const struct session *s)
{
    const char *warm = *s->warm == '1' ? "true" : "false";

    buf_reserve(out, 256);
    add_ms(out, "\"controlPlaneTimings\":{\"create\":{\"totalMs\":", http_age_ms(c->x));
    add_ms(out, ",\"requestValidationMs\":", c->validated_ms);
    add_ms(out, ",\"schedulerMs\":", c->redis_ms);
    add_ms(out, ",\"reservationMs\":0,\"persistMs\":0,\"waitMs\":", c->waited_ms);
    buf_adds(out, ",\"warmExpected\":");
    buf_adds(out, warm);
    buf_adds(out, ",\"warmActual\":");
    buf_adds(out, warm);
    buf_adds(out, "}}");
}

void create_answer(struct call *c, int status, const struct session *s, long long position)
{
    struct create *cr = c->data;
    struct buf json = {0}, base = {0}, more = {0};
    struct session_view view;
    char location[KEYS_SESSION_MAX + 16];
    const char *how = session_is(s, "running") ? session_start(s) : "";

    create_stop_waiting(c);
    cr->settled = 1;
    metrics_create(c->api->metrics, "created", how, http_age_ms(c->x));
    metrics_launch(c->api->metrics, s->timings);
    log_info("session_created",
             "session=%s project=%s profile=%s state=%s worker=%s start=%s ms=%.3f wait_ms=%.1f request=%s",
             s->id, s->project, s->profile, s->state, s->worker, how, http_age_ms(c->x), c->waited_ms,
             http_request_id(c->x));
    if (cr->on_running && status == 201) {
        cr->on_running(c, s);
        return;
    }
    links_view(c, &base, &view);
    add_control_plane(&more, c, s);
    view.position = position;
    view.more = more.data;
    session_add_json(&json, s, &view);
    snprintf(location, sizeof(location), "/v1/sessions/%s", s->id);
    http_add_header(c->x, "Location", location);
    if (!cr->mine)
        http_add_header(c->x, "Idempotent-Replayed", "true");
    if (status == 202)
        http_add_header(c->x, "Preference-Applied", "respond-async");
    buf_cleanup(&base);
    buf_cleanup(&more);
    call_reply(c, status, &json);
}

static void answer_ended(struct call *c, const struct session *s)
{
    struct buf details = {0};
    enum err e = ERR_session_lost;

    if (!strcmp(s->reason, "queue_timeout"))
        e = ERR_queue_timeout;
    else if (!strcmp(s->reason, "start_failed"))
        e = ERR_start_failed;
    buf_adds(&details, "\"sessionId\":");
    buf_add_json_string(&details, s->id);
    buf_adds(&details, ",\"reason\":");
    buf_add_json_string(&details, *s->reason ? s->reason : NULL);
    if (*s->message) {
        buf_adds(&details, ",\"cause\":");
        buf_add_json_string(&details, s->message);
    }
    create_refuse(c, e, NULL, details.data);
    buf_cleanup(&details);
}

int create_settle(struct call *c, const struct session *s, long long position)
{
    struct create *cr = c->data;

    if (session_is(s, "running"))
        create_answer(c, 201, s, position);
    else if (session_is(s, "queued") || session_is(s, "starting"))
        return 0;
    else if (s->running && !cr->mine && !cr->on_running)
        create_answer(c, 200, s, position);
    else
        answer_ended(c, s);
    return 1;
}
