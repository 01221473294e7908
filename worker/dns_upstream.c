/* dns_upstream.c: see dns_upstream.h. */
#include "dns_upstream.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../shared/clock.h"
#include "../shared/mem.h"

#define DNS_PORT      53
#define LOOK_EVERY_MS 2000

struct dns_upstreams {
    char *path;
    int port;
    long timeout_ms;
    struct sockaddr_storage list[DNS_UPSTREAMS_MAX];
    int count;
    double looked; /* ms, when the file's time was last asked for */
    struct timespec changed;
};

/* "10.0.0.1", "fd00::1", "fe80::1%eth0". */
static int parse_address(char *text, int port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char *zone = strchr(text, '%');

    memset(out, 0, sizeof(*out));
    if (zone)
        *zone++ = '\0';
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        v6->sin6_scope_id = zone ? if_nametoindex(zone) : 0;
        return 0;
    }
    return -1;
}

int dns_parse_resolv_conf(const char *text, int port, struct sockaddr_storage out[DNS_UPSTREAMS_MAX])
{
    int count = 0;

    while (*text && count < DNS_UPSTREAMS_MAX) {
        char key[16], address[80];

        if (sscanf(text, "%15[^ \t\n]%*[ \t]%79[^ \t\n#;]", key, address) == 2 &&
            strcmp(key, "nameserver") == 0 && parse_address(address, port, &out[count]) == 0)
            count++;
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return count;
}

static void load(struct dns_upstreams *u)
{
    char text[8192] = "";
    FILE *f = fopen(u->path, "re");

    if (f) {
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
    }
    u->count = dns_parse_resolv_conf(text, u->port, u->list);
    if (!u->count) {
        char loopback[] = "127.0.0.1";

        parse_address(loopback, u->port, &u->list[0]);
        u->count = 1;
    }
}

static void look(struct dns_upstreams *u)
{
    double now = clock_mono_ms();
    struct stat st = {0};

    if (u->count && now - u->looked < LOOK_EVERY_MS)
        return;
    u->looked = now;
    if (stat(u->path, &st) != 0)
        memset(&st.st_mtim, 0, sizeof(st.st_mtim));
    if (!u->count || memcmp(&st.st_mtim, &u->changed, sizeof(st.st_mtim)) != 0) {
        u->changed = st.st_mtim;
        load(u);
    }
}

struct dns_upstreams *dns_upstreams_new(const char *path, int port, long timeout_ms)
{
    struct dns_upstreams *u = mem_alloc(sizeof(*u));

    u->path = mem_strdup(path ? path : "/etc/resolv.conf");
    u->port = port ? port : DNS_PORT;
    u->timeout_ms = timeout_ms;
    look(u);
    return u;
}

void dns_upstreams_free(struct dns_upstreams *u)
{
    if (u)
        free(u->path);
    free(u);
}

double dns_upstream_timeout_s(const struct dns_upstreams *u)
{
    return (double)u->timeout_ms / 1000.0;
}

const struct sockaddr *dns_upstream(struct dns_upstreams *u, unsigned i, socklen_t *len)
{
    const struct sockaddr_storage *s;

    look(u);
    s = &u->list[i % (unsigned)u->count];
    *len = s->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    return (const struct sockaddr *)s;
}
