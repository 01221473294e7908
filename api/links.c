/* links.c: see links.h. */
#include "links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void links_add_ws_base(struct buf *out, const struct call *c)
{
    const char *url = c->api->settings.public_url, *host = http_header(c->x, "Host");
    const char *proto = http_header(c->x, "X-Forwarded-Proto");
    int tls = proto && !strcmp(proto, "https");

    if (*url) {
        tls = !strncmp(url, "https://", 8) || !strncmp(url, "wss://", 6);
        host = strstr(url, "://");
        host = host ? host + 3 : url;
    }
    buf_adds(out, tls ? "wss://" : "ws://");
    buf_adds(out, host ? host : c->api->settings.listen);
    while (out->len && out->data[out->len - 1] == '/')
        out->data[--out->len] = '\0';
}

void links_view(const struct call *c, struct buf *base, struct session_view *out)
{
    memset(out, 0, sizeof(*out));
    out->secrets = auth_has(&c->who, SCOPE_CREATE);
    if (!strcmp(c->api->settings.connect, "relay")) {
        links_add_ws_base(base, c);
        out->relay = base->data;
    }
}

int links_gateway_address(const char *gateway, char *host, size_t n, int *port)
{
    const char *at, *end, *colon;
    long number;
    char *stop;

    if (strncmp(gateway, "ws://", 5))
        return -1;
    at = gateway + 5;
    end = at + strcspn(at, "/");
    if (*at == '[') {
        colon = memchr(at, ']', (size_t)(end - at));
        if (!colon)
            return -1;
        colon++;
    } else {
        colon = memchr(at, ':', (size_t)(end - at));
        if (!colon)
            colon = end;
    }
    if (colon == at || (size_t)(colon - at) >= n)
        return -1;
    snprintf(host, n, "%.*s", (int)(colon - at), at);
    *port = 80;
    if (colon == end)
        return 0;
    number = strtol(colon + 1, &stop, 10);
    if (*colon != ':' || stop != end || stop == colon + 1 || number < 1 || number > 65535)
        return -1;
    *port = (int)number;
    return 0;
}
