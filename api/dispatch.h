/* dispatch.h: from a complete HTTP request to its handler: route, key, scope. */
#ifndef BERTH_DISPATCH_H
#define BERTH_DISPATCH_H
#include "../shared/http.h"
#include "api.h"

/* The callbacks of http_server_config; arg is the struct api. */
void dispatch_on_request(void *arg, struct http_exchange *x);
void dispatch_on_done(void *arg, const struct http_exchange *x, int status, size_t bytes, double ms);

#endif
