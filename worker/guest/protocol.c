/* protocol.c: see protocol.h. */
#include "protocol.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ---- */

static int is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    return n > 0 && s[n] == '\0';
}

static int is_value(const char *s)
{
    if (!*s)
        return 0;
    for (; *s; s++)
        if (*s < 0x21 || *s > 0x7e)
            return 0;
    return 1;
}

static int take_field(char *field, struct guest_message *out)
{
    char *equals = strchr(field, '=');

    if (!equals || out->count == GUEST_FIELDS_MAX)
        return -1;
    *equals = '\0';
    if (!is_name(field) || !is_value(equals + 1) || guest_message_get(out, field))
        return -1;
    out->fields[out->count].key = field;
    out->fields[out->count].value = equals + 1;
    out->count++;
    return 0;
}

int guest_message_parse(char *line, size_t length, struct guest_message *out)
{
    char *rest, *field;

    out->count = 0;
    if (length == 0 || length >= GUEST_LINE_MAX || memchr(line, '\0', length))
        return -1;
    line[length] = '\0';
    rest = line;
    out->word = strsep(&rest, " ");
    if (!is_name(out->word))
        return -1;
    while ((field = strsep(&rest, " ")))
        if (take_field(field, out) != 0)
            return -1;
    return 0;
}

const char *guest_message_get(const struct guest_message *m, const char *key)
{
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->fields[i].key, key))
            return m->fields[i].value;
    return NULL;
}

/* ---- restore ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_address(const char *value, struct in_addr *out)
{
    return inet_pton(AF_INET, value, out) == 1 ? 0 : -1;
}

static int take_number(const char *value, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    for (const char *c = value; *c; c++) {
        if (*c < '0' || *c > '9' || n > (max - (uint64_t)(*c - '0')) / 10)
            return -1;
        n = n * 10 + (uint64_t)(*c - '0');
    }
    *out = n;
    return 0;
}

static int take_prefix(const char *value, struct guest_restore *r)
{
    uint64_t n;

    if (take_number(value, 32, &n) != 0 || n == 0)
        return -1;
    r->prefix = (int)n;
    return 0;
}

static int take_mac(const char *value, struct guest_restore *r)
{
    if (strlen(value) != 17)
        return -1;
    for (int i = 0; i < 6; i++) {
        int high = hex_digit(value[3 * i]), low = hex_digit(value[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && value[3 * i + 2] != ':'))
            return -1;
        r->mac[i] = (unsigned char)(high << 4 | low);
    }
    return r->mac[0] & 1 ? -1 : 0; /* multicast */
}

static int take_hostname(const char *value, struct guest_restore *r)
{
    size_t n = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (value[n] || n >= sizeof(r->hostname) || value[0] == '-')
        return -1;
    memcpy(r->hostname, value, n + 1);
    return 0;
}

static int take_id(const char *value, struct guest_restore *r)
{
    if (strlen(value) != 32 || strspn(value, "0123456789abcdef") != 32)
        return -1;
    memcpy(r->id, value, 33);
    return 0;
}

static int take_entropy(const char *value, struct guest_restore *r)
{
    size_t n = strlen(value) / 2;

    if (strlen(value) % 2 || n < GUEST_ENTROPY_MIN || n > GUEST_ENTROPY_MAX)
        return -1;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(value[2 * i]), low = hex_digit(value[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        r->entropy[i] = (unsigned char)(high << 4 | low);
    }
    r->entropy_size = n;
    return 0;
}

static int take_address_field(const char *value, struct guest_restore *r)
{
    return take_address(value, &r->address);
}

static int take_gateway(const char *value, struct guest_restore *r)
{
    return take_address(value, &r->gateway);
}

static int take_dns(const char *value, struct guest_restore *r)
{
    return take_address(value, &r->dns);
}

static int take_time(const char *value, struct guest_restore *r)
{
    return take_number(value, INT64_MAX, &r->time_ns);
}

static int take_renderer(const char *value, struct guest_restore *r)
{
    r->fresh_renderer = !strcmp(value, "fresh");
    return r->fresh_renderer || !strcmp(value, "keep") ? 0 : -1;
}

static const struct restore_field {
    const char *key;
    int optional;
    int (*take)(const char *value, struct guest_restore *r);
    const char *wrong;
} restore_fields[] = {
    {"address", 0, take_address_field, "address is missing or wrong"},
    {"prefix", 0, take_prefix, "prefix is missing or wrong"},
    {"gateway", 0, take_gateway, "gateway is missing or wrong"},
    {"dns", 1, take_dns, "dns is wrong"},
    {"mac", 0, take_mac, "mac is missing or wrong"},
    {"hostname", 0, take_hostname, "hostname is missing or wrong"},
    {"time_ns", 0, take_time, "time_ns is missing or wrong"},
    {"entropy", 0, take_entropy, "entropy is missing or wrong"},
    {"id", 0, take_id, "id is missing or wrong"},
    {"renderer", 1, take_renderer, "renderer is neither keep nor fresh"},
};

int guest_restore_parse(const struct guest_message *m, struct guest_restore *out, const char **why)
{
    int known = 0;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(restore_fields) / sizeof(restore_fields[0]); i++) {
        const struct restore_field *f = &restore_fields[i];
        const char *value = guest_message_get(m, f->key);

        known += value != NULL;
        if (value ? f->take(value, out) != 0 : !f->optional) {
            *why = f->wrong;
            return -1;
        }
    }
    if (known != m->count) {
        *why = "a field is unknown";
        return -1;
    }
    return 0;
}

int guest_restore_format(const struct guest_restore *r, char *out, size_t size)
{
    char address[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN], dns[INET_ADDRSTRLEN];
    char hex[2 * GUEST_ENTROPY_MAX + 1], copy[GUEST_LINE_MAX + 1];
    struct guest_message message;
    struct guest_restore parsed;
    const char *why;
    int n;

    if (r->entropy_size > GUEST_ENTROPY_MAX)
        return -1;
    for (size_t i = 0; i < r->entropy_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", r->entropy[i]);
    inet_ntop(AF_INET, &r->address, address, sizeof(address));
    inet_ntop(AF_INET, &r->gateway, gateway, sizeof(gateway));
    inet_ntop(AF_INET, &r->dns, dns, sizeof(dns));
    n = snprintf(out, size,
                 GUEST_RESTORE " address=%s prefix=%d gateway=%s mac=%02x:%02x:%02x:%02x:%02x:%02x"
                               " hostname=%s time_ns=%" PRIu64 " id=%s entropy=%s%s%s%s\n",
                 address, r->prefix, gateway, r->mac[0], r->mac[1], r->mac[2], r->mac[3], r->mac[4],
                 r->mac[5], r->hostname, r->time_ns, r->id, hex, r->dns.s_addr ? " dns=" : "",
                 r->dns.s_addr ? dns : "", r->fresh_renderer ? " renderer=fresh" : "");
    if (n < 0 || (size_t)n >= size || n > GUEST_LINE_MAX)
        return -1;
    /* What the guest would not take is not said. */
    memcpy(copy, out, (size_t)n);
    if (guest_message_parse(copy, (size_t)n - 1, &message) != 0 ||
        guest_restore_parse(&message, &parsed, &why) != 0)
        return -1;
    return n;
}

void guest_value(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; *text && n + 1 < size; text++)
        out[n++] = (char)(*text < 0x21 || *text > 0x7e ? '_' : *text);
    if (n == 0 && size > 1)
        out[n++] = '-';
    if (size > 0)
        out[n] = '\0';
}

/* ---- lines ---- */

char *guest_lines_room(struct guest_lines *l, size_t *size)
{
    if (l->taken > 0) {
        memmove(l->data, l->data + l->taken, l->used - l->taken);
        l->used -= l->taken;
        l->taken = 0;
    }
    *size = GUEST_LINE_MAX - l->used;
    return l->data + l->used;
}

void guest_lines_added(struct guest_lines *l, size_t size)
{
    l->used += size;
}

char *guest_lines_next(struct guest_lines *l, size_t *length)
{
    char *start = l->data + l->taken, *end = memchr(start, '\n', l->used - l->taken);

    *length = 0;
    if (!end) {
        if (l->used - l->taken >= GUEST_LINE_MAX)
            *length = SIZE_MAX;
        return NULL;
    }
    *length = (size_t)(end - start);
    l->taken += *length + 1;
    return start;
}
