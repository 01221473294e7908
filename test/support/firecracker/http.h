/* http.h: the API's server: HTTP on a Unix socket, with the limits of the real one (lines of 1,024 bytes,
 * bodies of 51,200, ten connections) and its answers to what is no request. One request at a time. */
#ifndef FAKE_HTTP_H
#define FAKE_HTTP_H
#include <stddef.h>

#include "text.h"

enum http_method { HTTP_GET, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };

struct http_request {
    enum http_method method;
    const char *path; /* without a query, as there are none */
    const char *body; /* NULL: it has none */
    size_t len;
};

enum http_then { HTTP_GO_ON, HTTP_EXIT, HTTP_HANG, HTTP_CLOSE }; /* once the answer is sent; instead of it */

struct http_answer {
    int status; /* 200, 204, 400, 413 */
    struct text body;
    int deprecated;
    enum http_then then;
    int exit_code;
    const char *goodbye; /* what is said of the end; NULL: nothing */
};

/* Binds and listens. 0, or -1 with errno. handle is called for each request. */
int http_open(const char *path, size_t body_max,
              void (*handle)(const struct http_request *r, struct http_answer *a));
const char *http_method_name(enum http_method method);

#endif
