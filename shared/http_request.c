/* http_request.c: bytes from a client to one checked request.
 *
 * The head is gathered whole, held to strict lines (CRLF alone ends one, no folding, no control characters),
 * then parsed by llhttp in one go, so that its strings can be cut in place. What llhttp would let pass and a
 * proxy before us could read in another way is refused here: the body's framing must be beyond doubt. The
 * body goes through llhttp piece by piece. llhttp is built in its strict mode (LLHTTP_STRICT_MODE): the loose
 * one takes a chunk that no CRLF ends. */
#include <assert.h>
#include <string.h>

#include "http_internal.h"

/* "OPTIONS " and " HTTP/1.1": the request line beside its target. */
#define REQUEST_LINE_EXTRA 20
/* Framing a chunked body may have for each of its bytes: "1\r\nx\r\n". */
#define CHUNK_OVERHEAD 8

static enum http_feed refuse(struct http_exchange *x, enum err e, const char *text)
{
    x->refusal = e;
    x->refusal_text = text;
    return HTTP_FEED_REFUSED;
}

/* ---- llhttp's callbacks. The head comes in one piece, so each span is whole. */

static int on_parser_url(llhttp_t *parser, const char *at, size_t len)
{
    (void)parser, (void)at, (void)len; /* read_request_line has it */
    return 0;
}

static int on_parser_field(llhttp_t *parser, const char *at, size_t len)
{
    struct http_exchange *x = parser->data;

    if (x->phase != HTTP_PHASE_HEAD) /* a trailer: counted with the framing, else ignored */
        return 0;
    if (x->n_fields == HTTP_HEADERS_MAX || len == 0) {
        x->refusal = len == 0 ? ERR_bad_request : ERR_headers_too_large;
        return HPE_USER;
    }
    x->fields[x->n_fields].name = at;
    x->fields[x->n_fields].value = NULL;
    x->n_fields++;
    return 0;
}

static int on_parser_value(llhttp_t *parser, const char *at, size_t len)
{
    struct http_exchange *x = parser->data;

    if (x->phase == HTTP_PHASE_HEAD && len > 0 && x->n_fields > 0)
        x->fields[x->n_fields - 1].value = at;
    return 0;
}

static int on_parser_pause(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static int on_parser_chunk(llhttp_t *parser)
{
    struct http_exchange *x = parser->data;

    if (parser->content_length > x->limits->body_bytes - x->body.len) {
        x->refusal = ERR_body_too_large;
        return HPE_USER;
    }
    return 0;
}

static int on_parser_body(llhttp_t *parser, const char *at, size_t len)
{
    struct http_exchange *x = parser->data;

    if (len > x->limits->body_bytes - x->body.len) {
        x->refusal = ERR_body_too_large;
        return HPE_USER;
    }
    buf_add(&x->body, at, len);
    return 0;
}

static const llhttp_settings_t parser_settings = {
    .on_url = on_parser_url,
    .on_header_field = on_parser_field,
    .on_header_value = on_parser_value,
    .on_headers_complete = on_parser_pause,
    .on_chunk_header = on_parser_chunk,
    .on_body = on_parser_body,
    .on_message_complete = on_parser_pause,
};

/* ---- head: lines */

/* Gathers the head up to the empty line that ends it. COMPLETE: x->head is a whole head. */
static enum http_feed gather_head(struct http_exchange *x, const char *data, size_t len, size_t *used)
{
    const size_t room = x->limits->head_bytes - x->head.len;
    size_t i;

    for (i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)data[i];
        if (i == room)
            return refuse(x, ERR_headers_too_large, NULL);
        if (c == '\n') {
            if (x->last != '\r')
                return refuse(x, ERR_bad_request, "a line of the head does not end with CR LF");
            x->last = '\n';
            x->lines++;
            if (x->line_len == 0) {
                *used = i + 1;
                buf_add(&x->head, data, i + 1);
                return HTTP_FEED_COMPLETE;
            }
            x->line_len = 0;
            continue;
        }
        if (x->last == '\r')
            return refuse(x, ERR_bad_request, "the head has a CR without LF");
        if (c == '\r') {
            x->last = '\r';
            continue;
        }
        if ((c < 0x20 && (c != '\t' || x->lines == 0)) || c == 0x7F)
            return refuse(x, ERR_bad_request, "the head has control characters");
        if (x->line_len == 0 && (c == ' ' || c == '\t'))
            return refuse(x, ERR_bad_request, "a line of the head begins with white space");
        x->last = (char)c;
        x->line_len++;
        if (x->lines == 0 && x->line_len > x->limits->target_bytes + REQUEST_LINE_EXTRA)
            return refuse(x, ERR_uri_too_long, NULL);
    }
    *used = len;
    buf_add(&x->head, data, len);
    return HTTP_FEED_MORE;
}

static int read_method(struct http_exchange *x, const char *name, size_t len)
{
    static const char *const names[] = {
        [HTTP_METHOD_GET] = "GET",         [HTTP_METHOD_HEAD] = "HEAD",   [HTTP_METHOD_POST] = "POST",
        [HTTP_METHOD_PUT] = "PUT",         [HTTP_METHOD_PATCH] = "PATCH", [HTTP_METHOD_DELETE] = "DELETE",
        [HTTP_METHOD_OPTIONS] = "OPTIONS",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            x->method = (enum http_method)i;
            x->method_name = names[i];
            return 0;
        }
    return -1;
}

/* METHOD SP target SP HTTP/1.x, with single spaces. Cuts the target out (the space after it becomes NUL), so
 * llhttp has to have seen the line before. */
static enum http_feed read_request_line(struct http_exchange *x)
{
    char *line = x->head.data;
    const size_t len = strcspn(line, "\r");
    char *target = memchr(line, ' ', len),
         *version = target ? memchr(target + 1, ' ', len - (size_t)(target + 1 - line)) : NULL;

    if (!version || version == target + 1 || target == line)
        return refuse(x, ERR_bad_request, "the request line is malformed");
    version++;
    if ((size_t)(version - line) + 8 != len || memcmp(version, "HTTP/", 5) != 0)
        return refuse(x, ERR_bad_request, "the request line is malformed");
    if (memcmp(version + 5, "1.0", 3) != 0 && memcmp(version + 5, "1.1", 3) != 0)
        return refuse(x, ERR_http_version, NULL);
    x->minor = version[7] - '0';
    if (read_method(x, line, (size_t)(target - line)))
        return refuse(x, ERR_not_implemented, "the service does not know this method");
    version[-1] = '\0';
    x->target = target + 1;
    if (strlen(x->target) > x->limits->target_bytes)
        return refuse(x, ERR_uri_too_long, NULL);
    for (const char *c = x->target; *c; c++)
        if (*c == '#' || (unsigned char)*c > 0x7E)
            return refuse(x, ERR_bad_request,
                          "the request target has characters that have to be percent-encoded");
    return HTTP_FEED_MORE;
}

/* ---- head: meaning */

/* Cuts names and values out of the head: the byte after each is the colon, white space or CR. */
static enum http_feed cut_fields(struct http_exchange *x)
{
    for (size_t i = 0; i < x->n_fields; i++) {
        char *name = x->head.data + (x->fields[i].name - x->head.data);
        if (x->fields[i].value) {
            char *value = x->head.data + (x->fields[i].value - x->head.data);
            char *end = value + strcspn(value, "\r");
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            *end = '\0';
        } else
            x->fields[i].value = "";
        name[strcspn(name, ":")] = '\0';
        if (!http_is_token(name))
            return refuse(x, ERR_bad_request, "a header name has characters that are not allowed");
    }
    return HTTP_FEED_MORE;
}

/* The only header of this name, NULL if there is none; *twice if there are several. */
static struct http_field *only_field(struct http_exchange *x, const char *name, int *twice)
{
    struct http_field *found = NULL;

    for (size_t i = 0; i < x->n_fields; i++) {
        if (strcasecmp(x->fields[i].name, name) != 0)
            continue;
        if (found)
            *twice = 1;
        found = &x->fields[i];
    }
    return found;
}

static enum http_feed check_framing(struct http_exchange *x)
{
    int twice = 0;
    const struct http_field *encoding = only_field(x, "Transfer-Encoding", &twice);
    const struct http_field *length = only_field(x, "Content-Length", &twice);

    if (twice)
        return refuse(x, ERR_bad_request, "the length of the body is given twice");
    if (encoding && length)
        return refuse(x, ERR_bad_request, "the request has both Content-Length and Transfer-Encoding");
    if (encoding && x->minor == 0)
        return refuse(x, ERR_bad_request, "HTTP/1.0 has no Transfer-Encoding");
    if (encoding && strcasecmp(encoding->value, "chunked") != 0)
        return refuse(x, ERR_not_implemented, "the only Transfer-Encoding known is chunked");
    if (length && x->parser.content_length > x->limits->body_bytes)
        return refuse(x, ERR_body_too_large, NULL);
    return HTTP_FEED_MORE;
}

static enum http_feed check_expect(struct http_exchange *x)
{
    int twice = 0;
    const struct http_field *expect = only_field(x, "Expect", &twice);

    if (!expect || x->minor == 0) /* HTTP/1.0 has no Expect: ignored, as RFC 9110 asks */
        return HTTP_FEED_MORE;
    if (twice || strcasecmp(expect->value, "100-continue") != 0)
        return refuse(x, ERR_expectation_failed, NULL);
    x->wants_continue = 1;
    return HTTP_FEED_MORE;
}

/* Takes the target apart. Of an absolute one, the host replaces Host (RFC 9112 §3.2.2). */
static enum http_feed read_target(struct http_exchange *x, struct http_field *host)
{
    const char *path = x->target, *why = NULL;
    size_t len, host_len;
    enum err e;

    if (strcmp(path, "*") == 0) {
        if (x->method != HTTP_METHOD_OPTIONS)
            return refuse(x, ERR_bad_request, "only OPTIONS knows the target *");
        buf_adds(&x->path, "*");
        return HTTP_FEED_MORE;
    }
    if (*path != '/') {
        len = strncasecmp(path, "http://", 7) == 0 ? 7 : strncasecmp(path, "https://", 8) == 0 ? 8 : 0;
        path += len;
        host_len = strcspn(path, "/?");
        if (len == 0 || !http_target_is_host(path, host_len))
            return refuse(x, ERR_bad_request, "the request target is neither a path nor an http URL");
        if (host)
            host->value = memcpy(http_exchange_note(x, host_len), path, host_len);
        path += host_len;
    }
    len = strcspn(path, "?");
    x->query = path[len] == '?' ? path + len + 1 : NULL;
    if (len == 0 && path != x->target)
        e = http_target_path("/", 1, &x->path, &why);
    else
        e = http_target_path(path, len, &x->path, &why);
    if (e == ERR_ok && x->query)
        e = http_target_check_query(x->query, &why);
    return e == ERR_ok ? HTTP_FEED_MORE : refuse(x, e, why);
}

static void read_request_id(struct http_exchange *x)
{
    const char *id = http_header(x, "X-Request-Id");
    size_t len = id ? strlen(id) : 0;

    if (len == 0 || len >= sizeof(x->request_id))
        return;
    if (strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+=-") == len)
        memcpy(x->request_id, id, len + 1);
}

/* x->head is whole: reads everything in it. */
static enum http_feed read_head(struct http_exchange *x)
{
    struct http_field *host;
    int twice = 0;
    llhttp_errno_t e;

    llhttp_init(&x->parser, HTTP_REQUEST, &parser_settings);
    x->parser.data = x;
    e = llhttp_execute(&x->parser, x->head.data, x->head.len);
    /* The request line first: it says best what is wrong with things that are not HTTP/1. */
    if (read_request_line(x) == HTTP_FEED_REFUSED)
        return HTTP_FEED_REFUSED;
    if (x->refusal != ERR_ok) /* a callback stopped it */
        return refuse(x, x->refusal, NULL);
    if (e != HPE_PAUSED || llhttp_get_error_pos(&x->parser) != x->head.data + x->head.len)
        return refuse(x, ERR_bad_request, e == HPE_PAUSED ? NULL : llhttp_get_error_reason(&x->parser));
    if (cut_fields(x) == HTTP_FEED_REFUSED)
        return HTTP_FEED_REFUSED;
    read_request_id(x);
    x->keep_alive =
        x->parser.flags & F_CONNECTION_CLOSE ? 0 : x->minor == 1 || x->parser.flags & F_CONNECTION_KEEP_ALIVE;
    host = only_field(x, "Host", &twice);
    if (twice || (!host && x->minor == 1) || (host && !http_target_is_host(host->value, strlen(host->value))))
        return refuse(x, ERR_bad_request, "the request needs one valid Host header");
    if (check_framing(x) == HTTP_FEED_REFUSED || read_target(x, host) == HTTP_FEED_REFUSED ||
        check_expect(x) == HTTP_FEED_REFUSED)
        return HTTP_FEED_REFUSED;
    x->phase = HTTP_PHASE_BODY;
    return HTTP_FEED_MORE;
}

/* ---- body */

static int has_body(const struct http_exchange *x)
{
    return x->parser.flags & F_CHUNKED ||
           (x->parser.flags & F_CONTENT_LENGTH && x->parser.content_length > 0);
}

static enum http_feed feed_body(struct http_exchange *x, const char *data, size_t len, size_t *used)
{
    llhttp_errno_t e;

    x->wants_continue = 0; /* the client did not wait for us */
    e = llhttp_execute(&x->parser, data, len);
    *used = e == HPE_OK ? len : (size_t)(llhttp_get_error_pos(&x->parser) - data);
    if (x->refusal != ERR_ok)
        return refuse(x, x->refusal, NULL);
    if (e != HPE_OK && e != HPE_PAUSED)
        return refuse(x, ERR_bad_request, llhttp_get_error_reason(&x->parser));
    x->body_fed += *used;
    if (x->body_fed - x->body.len > x->limits->head_bytes + CHUNK_OVERHEAD * x->body.len)
        return refuse(x, ERR_body_too_large, "the body has too much chunk framing");
    return e == HPE_PAUSED ? HTTP_FEED_COMPLETE : HTTP_FEED_MORE;
}

enum http_feed http_request_feed(struct http_exchange *x, const char *data, size_t len, size_t *used)
{
    enum http_feed result;
    size_t body_used = 0;

    assert(x->phase != HTTP_PHASE_COMPLETE);
    *used = 0;
    if (x->phase == HTTP_PHASE_HEAD) {
        result = gather_head(x, data, len, used);
        if (result != HTTP_FEED_COMPLETE)
            return result;
        if (read_head(x) == HTTP_FEED_REFUSED)
            return HTTP_FEED_REFUSED;
        if (!has_body(x)) {
            x->phase = HTTP_PHASE_COMPLETE;
            return HTTP_FEED_COMPLETE;
        }
        llhttp_resume(&x->parser);
        if (*used == len)
            return HTTP_FEED_MORE;
    }
    result = feed_body(x, data + *used, len - *used, &body_used);
    *used += body_used;
    if (result == HTTP_FEED_COMPLETE)
        x->phase = HTTP_PHASE_COMPLETE;
    return result;
}
