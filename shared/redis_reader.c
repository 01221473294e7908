/* redis_reader.c: hiredis' reply parser with memory of our own. A reply lives only in its callback, so all of
 * it comes from one run of memory that begins anew with the next: no malloc and free for each of a session's
 * fields. */
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "redis_conn.h"

#define BLOCK_BYTES 16384

struct redis_block {
    struct redis_block *next;
    size_t size, used;
    max_align_t data[];
};

/* Not zeroed; NULL when there is no memory, which a reply that promises too many elements ends with. */
static void *take(const redisReadTask *task, size_t count, size_t size)
{
    struct redis_block **first = task->privdata, *b = *first;
    size_t bytes;
    void *p;

    if (count > SIZE_MAX / 2 / size)
        return NULL;
    bytes = (count * size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!b || bytes > b->size - b->used) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

        b = malloc(sizeof(*b) + room);
        if (!b)
            return NULL;
        b->size = room;
        b->used = 0;
        b->next = *first;
        *first = b;
    }
    p = (char *)b->data + b->used;
    b->used += bytes;
    return p;
}

/* A reply of this type, in its place below its parent. */
static redisReply *reply_new(const redisReadTask *task, int type)
{
    redisReply *r = take(task, 1, sizeof(*r));

    if (!r)
        return NULL;
    *r = (redisReply){.type = type};
    if (task->parent)
        ((redisReply *)task->parent->obj)->element[task->idx] = r;
    return r;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    redisReply *r = reply_new(task, task->type);

    if (!r)
        return NULL;
    r->str = take(task, len + 1, 1);
    if (!r->str)
        return NULL;
    memcpy(r->str, text, len);
    r->str[len] = '\0';
    r->len = len;
    return r;
}

static void *create_array(const redisReadTask *task, int elements)
{
    redisReply *r = reply_new(task, REDIS_REPLY_ARRAY);

    if (!r)
        return NULL;
    r->element = elements > 0 ? take(task, (size_t)elements, sizeof(redisReply *)) : NULL;
    if (elements > 0 && !r->element)
        return NULL;
    if (r->element)
        memset(r->element, 0, (size_t)elements * sizeof(redisReply *));
    r->elements = elements > 0 ? (size_t)elements : 0;
    return r;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    redisReply *r = reply_new(task, REDIS_REPLY_INTEGER);

    if (r)
        r->integer = value;
    return r;
}

static void *create_nil(const redisReadTask *task)
{
    return reply_new(task, REDIS_REPLY_NIL);
}

static void free_object(void *reply)
{
    (void)reply; /* redis_reader_reset does it */
}

redisReader *redis_reader_new(struct redis_block **memory)
{
    static redisReplyObjectFunctions functions = {create_string, create_array, create_integer, create_nil,
                                                  free_object};
    redisReader *reader = redisReaderCreateWithFunctions(&functions);

    if (!reader)
        log_fatal("out_of_memory", "bytes=%zu", sizeof(redisReader));
    redisReaderSetPrivdata(reader, memory);
    return reader;
}

void redis_reader_reset(struct redis_block **memory)
{
    struct redis_block *b = *memory;

    while (b && (b->next || b->size > BLOCK_BYTES)) {
        *memory = b->next;
        free(b);
        b = *memory;
    }
    if (b)
        b->used = 0;
}

void redis_reader_free(redisReader *reader, struct redis_block **memory)
{
    if (reader)
        redisReaderFree(reader);
    redis_reader_reset(memory);
    free(*memory);
    *memory = NULL;
}
