/* redis_reply.c: reads replies without trusting their shape. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "redis_conn.h"

static int is_text(const redisReply *r)
{
    return r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);
}

static const redisReply *element(const redisReply *reply, size_t i)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i] : NULL;
}

int redis_is_error(const redisReply *reply, const char *word)
{
    size_t n = strlen(word);

    return reply && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, word, n) == 0 &&
           (reply->str[n] == ' ' || reply->str[n] == '\0');
}

int redis_is_unavailable(const redisReply *reply)
{
    static const char *const words[] = {"LOADING", "READONLY", "MASTERDOWN",  "BUSY",      "OOM",
                                        "MISCONF", "TRYAGAIN", "CLUSTERDOWN", "NOREPLICAS"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (redis_is_error(reply, words[i]))
            return 1;
    return 0;
}

enum err redis_code(const redisReply *reply)
{
    const redisReply *first = element(reply, 0);
    enum err e;

    if (!reply || redis_is_unavailable(reply))
        return ERR_redis_unavailable;
    if (reply->type == REDIS_REPLY_ERROR) {
        log_error("redis_error", "text=%s", reply->str);
        return ERR_internal;
    }
    if (!is_text(first)) {
        log_error("redis_reply_odd", "type=%d elements=%zu", reply->type,
                  reply->type == REDIS_REPLY_ARRAY ? reply->elements : (size_t)0);
        return ERR_internal;
    }
    e = err_from_name(first->str, (int)first->len);
    if (e == ERR_internal)
        log_error("redis_code_odd", "code=%.*s", (int)first->len, first->str);
    return e;
}

const char *redis_str(const redisReply *reply, size_t i)
{
    const redisReply *e = element(reply, i);

    return is_text(e) ? e->str : NULL;
}

long long redis_int(const redisReply *reply, size_t i, long long otherwise)
{
    const redisReply *e = element(reply, i);
    long long n;
    char *end;

    if (e && e->type == REDIS_REPLY_INTEGER)
        return e->integer;
    if (!is_text(e) || e->len == 0 || !(e->str[0] == '-' || (e->str[0] >= '0' && e->str[0] <= '9')))
        return otherwise;
    errno = 0;
    n = strtoll(e->str, &end, 10);
    return errno || end == e->str || end != e->str + e->len ? otherwise : n;
}

const redisReply *redis_array(const redisReply *reply, size_t i)
{
    const redisReply *e = element(reply, i);

    return e && e->type == REDIS_REPLY_ARRAY ? e : NULL;
}

const char *redis_field(const redisReply *flat, const char *field)
{
    for (size_t i = 0; element(flat, i + 1); i += 2) {
        const char *name = redis_str(flat, i);
        if (name && strcmp(name, field) == 0)
            return redis_str(flat, i + 1);
    }
    return NULL;
}
