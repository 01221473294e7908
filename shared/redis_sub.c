/* redis_sub.c: pub/sub. A channel's entry lives while somebody wants it, and beyond that until Redis has
 * confirmed each SUBSCRIBE sent for it: otherwise the late confirmation of an earlier one could pass for that
 * of a newer one. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "random.h"
#include "redis_conn.h"

#define PING_SECONDS    10. /* nothing heard in two of these: the connection is dead */
#define FIRST_BUCKETS   64
#define SUBSCRIBE_BATCH 500 /* channels in one command after a reconnect */

struct channel {
    struct channel *next; /* in its bucket */
    unsigned wanted;      /* adds without remove */
    unsigned confirming;  /* SUBSCRIBEs on their way */
    int tell;             /* in force already when it was added: to be told from the next loop iteration */
    char name[];
};

struct redis_sub {
    struct redis *conn;
    struct ev_loop *loop;
    redis_sub_cb *cb;
    void *arg;
    struct channel **buckets;
    size_t bucket_count, count; /* bucket_count is a power of two */
    uint64_t seed;              /* so that nobody can choose names that fall into one bucket */
    ev_timer ping;
    int heard, pinged;
    ev_timer tell;
    char **to_tell; /* names; the channel may be gone by then */
    size_t to_tell_count, to_tell_cap;
    int in_callback;
};

/* ---- table ---- */

static struct channel **bucket_of(const struct redis_sub *s, const char *name)
{
    uint64_t h = s->seed ^ 0xcbf29ce484222325;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3;
    return &s->buckets[(h ^ h >> 32) & (s->bucket_count - 1)];
}

/* The link that leads to the channel, or to NULL where it would be appended. */
static struct channel **find(const struct redis_sub *s, const char *name)
{
    struct channel **link = bucket_of(s, name);

    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static void grow(struct redis_sub *s)
{
    struct channel **old = s->buckets, *c;
    size_t n = s->bucket_count;

    s->bucket_count = 2 * n;
    s->buckets = mem_alloc(s->bucket_count * sizeof(struct channel *));
    for (size_t i = 0; i < n; i++) {
        while ((c = old[i])) {
            struct channel **to = bucket_of(s, c->name);
            old[i] = c->next;
            c->next = *to;
            *to = c;
        }
    }
    free(old);
}

static struct channel *add_channel(struct redis_sub *s, const char *name)
{
    size_t len = strlen(name) + 1;
    struct channel *c = mem_alloc(sizeof(*c) + len), **link;

    memcpy(c->name, name, len);
    if (s->count++ >= s->bucket_count)
        grow(s);
    link = bucket_of(s, name);
    c->next = *link;
    *link = c;
    return c;
}

static void remove_channel(struct redis_sub *s, struct channel **link)
{
    struct channel *c = *link;

    *link = c->next;
    s->count--;
    free(c);
}

/* ---- commands ---- */

static void send_one(struct redis_sub *s, const char *verb, const char *channel)
{
    struct buf command = {0};

    redis_conn_begin(&command, channel ? 2 : 1);
    redis_conn_arg(&command, verb, strlen(verb));
    if (channel)
        redis_conn_arg(&command, channel, strlen(channel));
    redis_conn_queue_unanswered(s->conn, command.data, command.len);
    buf_cleanup(&command);
}

static void subscribe(struct redis_sub *s, struct channel *c)
{
    c->confirming++;
    send_one(s, "SUBSCRIBE", c->name);
}

static void send_batch(struct redis_sub *s, struct buf *args, int count)
{
    struct buf command = {0};

    redis_conn_begin(&command, 1 + count);
    redis_conn_arg(&command, "SUBSCRIBE", 9);
    buf_add(&command, args->data, args->len);
    redis_conn_queue_unanswered(s->conn, command.data, command.len);
    buf_cleanup(&command);
    args->len = 0;
}

static void subscribe_all(struct redis_sub *s)
{
    struct buf args = {0};
    int count = 0;

    for (size_t i = 0; i < s->bucket_count; i++) {
        for (struct channel *c = s->buckets[i]; c; c = c->next) {
            c->confirming++;
            redis_conn_arg(&args, c->name, strlen(c->name));
            if (++count == SUBSCRIBE_BATCH) {
                send_batch(s, &args, count);
                count = 0;
            }
        }
    }
    if (count > 0)
        send_batch(s, &args, count);
    buf_cleanup(&args);
}

/* ---- what comes in ---- */

static void tell(struct redis_sub *s, const char *channel, const char *message)
{
    s->in_callback++;
    s->cb(s->arg, channel, message);
    s->in_callback--;
}

/* name may be the reply's own: c is gone when its callback removes it. */
static void on_confirmed(struct redis_sub *s, const char *name)
{
    struct channel **link = find(s, name), *c = *link;

    if (!c || c->confirming == 0)
        return;
    if (--c->confirming > 0)
        return;
    if (c->wanted == 0)
        remove_channel(s, link);
    else
        tell(s, name, NULL);
}

static void on_push(void *arg, const redisReply *reply)
{
    struct redis_sub *s = arg;
    const char *kind = redis_str(reply, 0), *name = redis_str(reply, 1), *message = redis_str(reply, 2);
    const struct channel *c;

    s->heard = 1;
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_conn_doom(s->conn, reply->str);
    } else if (kind && name && strcmp(kind, "subscribe") == 0) {
        on_confirmed(s, name);
    } else if (kind && name && message && strcmp(kind, "message") == 0) {
        c = *find(s, name);
        if (c && c->wanted > 0)
            tell(s, name, message);
    }
}

static void on_state(void *arg, int up)
{
    struct redis_sub *s = arg;

    if (up) {
        s->heard = 1;
        s->pinged = 0;
        ev_timer_again(s->loop, &s->ping);
        subscribe_all(s);
        return;
    }
    ev_timer_stop(s->loop, &s->ping);
    for (size_t i = 0; i < s->bucket_count; i++) {
        for (struct channel **link = &s->buckets[i]; *link;) {
            (*link)->confirming = 0;
            if ((*link)->wanted == 0)
                remove_channel(s, link);
            else
                link = &(*link)->next;
        }
    }
}

static void on_ping_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis_sub *s = w->data;

    (void)loop;
    (void)events;
    if (!redis_is_up(s->conn))
        return;
    if (!s->heard && s->pinged) {
        redis_conn_doom(s->conn, "no answer to PING");
        return;
    }
    s->heard = 0;
    s->pinged = 1;
    send_one(s, "PING", NULL);
}

static void on_tell_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    struct redis_sub *s = w->data;
    char **names = s->to_tell;
    size_t count = s->to_tell_count;

    (void)loop;
    (void)events;
    s->to_tell = NULL;
    s->to_tell_count = s->to_tell_cap = 0;
    for (size_t i = 0; i < count; i++) {
        struct channel *c = *find(s, names[i]);
        /* If the connection was lost meanwhile, the new confirmation tells. */
        if (c && c->tell && c->wanted > 0 && c->confirming == 0 && redis_is_up(s->conn)) {
            c->tell = 0;
            tell(s, names[i], NULL);
        }
        free(names[i]);
    }
    free(names);
}

static void tell_later(struct redis_sub *s, struct channel *c)
{
    c->tell = 1;
    if (s->to_tell_count == s->to_tell_cap) {
        s->to_tell_cap = s->to_tell_cap ? 2 * s->to_tell_cap : 8;
        s->to_tell = mem_realloc(s->to_tell, s->to_tell_cap * sizeof(*s->to_tell));
    }
    s->to_tell[s->to_tell_count++] = mem_strdup(c->name);
    if (ev_is_active(&s->tell))
        return;
    ev_timer_set(&s->tell, 0., 0.);
    ev_timer_start(s->loop, &s->tell);
}

/* ---- what the owner asks ---- */

void redis_sub_add(struct redis_sub *s, const char *channel)
{
    struct channel *c = *find(s, channel);

    if (!c)
        c = add_channel(s, channel);
    if (c->wanted++ > 0) {
        if (c->confirming == 0 && redis_is_up(s->conn))
            tell_later(s, c);
    } else if (redis_is_up(s->conn)) {
        subscribe(s, c);
    }
}

void redis_sub_remove(struct redis_sub *s, const char *channel)
{
    struct channel **link = find(s, channel);

    assert(*link && (*link)->wanted > 0);
    if (--(*link)->wanted > 0)
        return;
    if (redis_is_up(s->conn))
        send_one(s, "UNSUBSCRIBE", channel);
    if ((*link)->confirming == 0)
        remove_channel(s, link);
}

struct redis_sub *redis_sub_new(struct ev_loop *loop, const struct redis_address *address, const char *cell,
                                redis_sub_cb *cb, void *arg)
{
    struct redis_sub *s = mem_alloc(sizeof(*s));

    s->loop = loop;
    s->cb = cb;
    s->arg = arg;
    s->seed = (uint64_t)(random_unit() * 9007199254740992.0);
    s->bucket_count = FIRST_BUCKETS;
    s->buckets = mem_alloc(s->bucket_count * sizeof(struct channel *));
    ev_timer_init(&s->ping, on_ping_timer, 0., PING_SECONDS);
    ev_timer_init(&s->tell, on_tell_timer, 0., 0.);
    s->ping.data = s->tell.data = s;
    s->conn = redis_new(loop, address, cell, "berth-sub", 0, on_state, s);
    s->conn->on_push = on_push;
    return s;
}

void redis_sub_free(struct redis_sub *s)
{
    if (!s)
        return;
    assert(s->in_callback == 0);
    redis_free(s->conn);
    ev_timer_stop(s->loop, &s->ping);
    ev_timer_stop(s->loop, &s->tell);
    for (size_t i = 0; i < s->bucket_count; i++)
        while (s->buckets[i])
            remove_channel(s, &s->buckets[i]);
    for (size_t i = 0; i < s->to_tell_count; i++)
        free(s->to_tell[i]);
    free(s->to_tell);
    free(s->buckets);
    free(s);
}
