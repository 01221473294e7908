/* keys.c: see keys.h. Names are checked (keys_is_name and its kin) before they come here. */
#include "keys.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

#define SESSION_RANDOM 24 /* characters after "<cell>-" */

__attribute__((format(printf, 2, 3))) static const char *key(char *out, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(out, KEYS_MAX, fmt, ap);
    va_end(ap);
    assert(n > 0 && n < KEYS_MAX);
    return out;
}

const char *keys_prefix(char *out, const char *cell)
{
    return key(out, "berth:{%s}", cell);
}

const char *keys_jobs(char *out, const char *cell, const char *worker)
{
    return key(out, "berth:{%s}:jobs:%s", cell, worker);
}

const char *keys_berths(char *out, const char *cell, const char *worker)
{
    return key(out, "berth:{%s}:berths:%s", cell, worker);
}

const char *keys_worker(char *out, const char *cell, const char *worker)
{
    return key(out, "berth:{%s}:worker:%s", cell, worker);
}

const char *keys_workers(char *out, const char *cell)
{
    return key(out, "berth:{%s}:workers", cell);
}

const char *keys_profiles(char *out, const char *cell)
{
    return key(out, "berth:{%s}:profiles", cell);
}

const char *keys_queue(char *out, const char *cell, const char *profile)
{
    return key(out, "berth:{%s}:queue:%s", cell, profile);
}

const char *keys_warm(char *out, const char *cell, const char *profile)
{
    return key(out, "berth:{%s}:warm:%s", cell, profile);
}

const char *keys_projects(char *out, const char *cell)
{
    return key(out, "berth:{%s}:projects", cell);
}

const char *keys_project(char *out, const char *cell, const char *project)
{
    return key(out, "berth:{%s}:project:%s", cell, project);
}

const char *keys_changed(char *out, const char *cell, const char *session)
{
    return key(out, "berth:{%s}:changed:%s", cell, session);
}

void keys_new_session(char *out, const char *cell)
{
    char random[SESSION_RANDOM + 1];

    assert(keys_is_cell(cell));
    random_base32(random, sizeof(random));
    snprintf(out, KEYS_SESSION_MAX, "%s-%s", cell, random);
}

int keys_is_session(const char *id, const char *cell)
{
    size_t n = strlen(cell);

    if (strncmp(id, cell, n) != 0 || id[n] != '-')
        return 0;
    id += n + 1;
    return strspn(id, "abcdefghijklmnopqrstuvwxyz234567") == SESSION_RANDOM && id[SESSION_RANDOM] == '\0';
}

int keys_is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return n >= 1 && n <= KEYS_ID_MAX && s[n] == '\0';
}

int keys_is_cell(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");

    return n >= 1 && n <= 16 && s[n] == '\0';
}
