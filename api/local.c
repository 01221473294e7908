/* local.c: see local.h. */
#include "local.h"

#include <string.h>
#include <strings.h>

/* The length of the host's name in "name:port", "[v6]:port" or "name/…". */
static size_t name_length(const char *host)
{
    const char *end;

    if (*host == '[' && (end = strchr(host, ']')))
        return (size_t)(end - host) + 1;
    return strcspn(host, ":/");
}

static int is_local_name(const char *name, size_t len)
{
    static const char suffix[] = ".localhost";
    const size_t n = sizeof(suffix) - 1;

    if ((len == 9 && !strncasecmp(name, "localhost", 9)) || (len == 5 && !strncmp(name, "[::1]", 5)))
        return 1;
    if (len > n && !strncasecmp(name + len - n, suffix, n))
        return 1;
    return len > 4 && !strncmp(name, "127.", 4) && strspn(name, "0123456789.") >= len;
}

static int is_public_name(const char *name, size_t len, const char *public_url)
{
    const char *host = strstr(public_url, "://");

    host = host ? host + 3 : public_url;
    return len > 0 && name_length(host) == len && !strncasecmp(host, name, len);
}

int local_is_host(const char *host, const char *public_url)
{
    size_t len;

    if (!host)
        return 1;
    len = name_length(host);
    return is_local_name(host, len) || is_public_name(host, len, public_url);
}

int local_is_origin(const char *origin, const char *public_url)
{
    if (!origin)
        return 1;
    if (strncasecmp(origin, "http://", 7) && strncasecmp(origin, "https://", 8))
        return 0;
    return local_is_host(strstr(origin, "://") + 3, public_url);
}
