/* redis_greet.c: what is said on a new connection before anybody may use it: AUTH, SELECT, CLIENT SETNAME,
 * and FUNCTION LOAD of the library of scripts if Redis does not have it yet. An error ends the connection,
 * and it is tried again later. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "redis_conn.h"

#define LIBRARIES_KEPT 8 /* with so many versions' libraries there, a new one takes their place */

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

/* Of an entry of FUNCTION LIST: a flat list of fields and values. NULL if it has none. */
static const char *library_name(const redisReply *entry)
{
    for (size_t i = 0; entry->type == REDIS_REPLY_ARRAY && i + 1 < entry->elements; i += 2)
        if (entry->element[i]->str && entry->element[i + 1]->str &&
            strcmp(entry->element[i]->str, "library_name") == 0)
            return entry->element[i + 1]->str;
    return NULL;
}

static int has_library(const redisReply *list)
{
    for (size_t i = 0; i < list->elements; i++) {
        const char *name = library_name(list->element[i]);

        if (name && strcmp(name, redis_script_library()) == 0)
            return 1;
    }
    return 0;
}

/* Another process may have been quicker, and an ACL may forbid it: it is only tidying up. */
static void on_delete_reply(void *arg, const redisReply *reply)
{
    if (redis_is_unavailable(reply))
        redis_conn_doom(arg, reply->str);
}

static void on_list_reply(void *arg, const redisReply *reply)
{
    struct redis *r = arg;

    if (!reply || r->doomed[0])
        return;
    if (reply->type != REDIS_REPLY_ARRAY) {
        redis_conn_doom(r, reply->type == REDIS_REPLY_ERROR ? reply->str : "an odd reply to FUNCTION LIST");
        return;
    }
    if (has_library(reply)) {
        redis_conn_greeted(r);
        return;
    }
    /* Libraries of versions that nobody runs any more would stay for ever. One that is still in use is loaded
     * again by its next call. */
    if (reply->elements >= LIBRARIES_KEPT)
        for (size_t i = 0; i < reply->elements; i++)
            if (library_name(reply->element[i]))
                say(r, on_delete_reply, "FUNCTION", "DELETE", library_name(reply->element[i]), NULL);
    redis_script_load(r);
}

void redis_greet_loaded(struct redis *r, const redisReply *reply)
{
    if (redis_is_unavailable(reply))
        redis_conn_doom(r, reply->str);
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
    say(r, on_list_reply, "FUNCTION", "LIST", "LIBRARYNAME", "berth_*", NULL);
}
