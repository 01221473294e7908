/* redis.c: the commands of redis.h, and what makes and frees a connection. redis_conn.c carries them. */
#include "redis.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "redis_conn.h"

/* ---- commands ---- */

void redis_conn_begin(struct buf *out, int argc)
{
    buf_add(out, "*", 1);
    buf_add_int(out, argc);
    buf_add(out, "\r\n", 2);
}

void redis_conn_arg(struct buf *out, const char *arg, size_t len)
{
    buf_reserve(out, len + 32);
    buf_add(out, "$", 1);
    buf_add_int(out, (long long)len);
    buf_add(out, "\r\n", 2);
    buf_add(out, arg, len);
    buf_add(out, "\r\n", 2);
}

void redis_command(struct redis *r, redis_reply_cb *cb, void *arg, int argc, const char **argv,
                   const size_t *lens)
{
    if (!redis_is_up(r)) {
        redis_conn_refuse(r, cb, arg);
        return;
    }
    redis_conn_begin(&r->out, argc);
    for (int i = 0; i < argc; i++)
        redis_conn_arg(&r->out, argv[i], lens ? lens[i] : strlen(argv[i]));
    redis_conn_queued(r, cb, arg);
}

void redis_call(struct redis *r, redis_reply_cb *cb, void *arg, ...)
{
    const char *s;
    int argc = 0;
    va_list ap, count;

    va_start(ap, arg);
    va_copy(count, ap);
    while (va_arg(count, const char *))
        argc++;
    va_end(count);
    if (!redis_is_up(r)) {
        redis_conn_refuse(r, cb, arg);
    } else {
        redis_conn_begin(&r->out, argc);
        while ((s = va_arg(ap, const char *)))
            redis_conn_arg(&r->out, s, strlen(s));
        redis_conn_queued(r, cb, arg);
    }
    va_end(ap);
}

/* ---- making and freeing ---- */

struct redis *redis_new(struct ev_loop *loop, const struct redis_address *address, const char *cell,
                        const char *name, int timeout_ms, redis_state_cb *on_state, void *arg)
{
    struct redis *r = mem_alloc(sizeof(*r));

    r->loop = loop;
    r->address = address;
    r->cell = mem_strdup(cell);
    r->name = mem_strdup(name);
    keys_prefix(r->prefix, cell);
    r->timeout_ms = timeout_ms;
    r->on_state = on_state;
    r->arg = arg;
    redis_script_init(r);
    redis_conn_start(r);
    return r;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    redis_conn_stop(r);
    redis_script_cleanup(r);
    free(r->cell);
    free(r->name);
    free(r);
}

int redis_is_up(const struct redis *r)
{
    return r->state == CONN_UP && !r->doomed[0];
}
