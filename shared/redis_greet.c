/* redis_greet.c: what is said on a new connection before anybody may use it: AUTH, SELECT, CLIENT SETNAME,
 * and SCRIPT LOAD of the scripts that Redis does not have yet. An error ends the connection, and it is tried
 * again later. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "redis_conn.h"

__attribute__((sentinel)) static void say(struct redis *r, redis_reply_cb *cb, ...)
{
    va_list ap, count;
    const char *s;
    int argc = 0;

    va_start(ap, cb);
    va_copy(count, ap);
    while (va_arg(count, const char *))
        argc++;
    va_end(count);
    redis_conn_begin(&r->out, argc);
    while ((s = va_arg(ap, const char *)))
        redis_conn_arg(&r->out, s, strlen(s));
    va_end(ap);
    redis_conn_queued(r, cb, r);
}

/* AUTH and SELECT. */
static void on_condition_reply(void *arg, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR)
        redis_conn_doom(arg, reply->str);
}

/* The name is a help for people: an ACL that forbids it does no harm. */
static void on_setname_reply(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    if (redis_is_unavailable(reply))
        redis_conn_doom(r, reply->str);
    else if (reply && r->on_push)
        redis_conn_greeted(r);
}

static void on_exists_reply(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    if (!reply || r->doomed[0])
        return;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != SCRIPT_COUNT) {
        redis_conn_doom(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "an odd reply to SCRIPT EXISTS");
        return;
    }
    r->greeting_loads = 0;
    for (size_t i = 0; i < SCRIPT_COUNT; i++) {
        if (redis_int(reply, i, 0) == 1)
            continue;
        r->greeting_loads++;
        redis_script_load(r, (enum script)i);
    }
    if (r->greeting_loads == 0)
        redis_conn_greeted(r);
}

void redis_greet_loaded(struct redis *r, const redisReply *reply)
{
    if (redis_is_unavailable(reply))
        redis_conn_doom(r, reply->str);
    if (--r->greeting_loads == 0)
        redis_conn_greeted(r);
}

void redis_greet(struct redis *r)
{
    const char *user = redis_address_user(r->address), *password = redis_address_password(r->address);
    char db[16];

    if (password && user)
        say(r, on_condition_reply, "AUTH", user, password, NULL);
    else if (password)
        say(r, on_condition_reply, "AUTH", password, NULL);
    if (redis_address_db(r->address) != 0) {
        snprintf(db, sizeof(db), "%d", redis_address_db(r->address));
        say(r, on_condition_reply, "SELECT", db, NULL);
    }
    say(r, on_setname_reply, "CLIENT", "SETNAME", r->name, NULL);
    if (r->on_push)
        return;
    redis_conn_begin(&r->out, 2 + SCRIPT_COUNT);
    redis_conn_arg(&r->out, "SCRIPT", 6);
    redis_conn_arg(&r->out, "EXISTS", 6);
    for (int i = 0; i < SCRIPT_COUNT; i++)
        redis_conn_arg(&r->out, redis_script_sha((enum script)i), 40);
    redis_conn_queued(r, on_exists_reply, r);
}
