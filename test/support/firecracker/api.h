/* api.h: every request that is known, what must hold for it, and what it does. */
#ifndef FAKE_API_H
#define FAKE_API_H
#include "http.h"

void api_handle(const struct http_request *r, struct http_answer *a);

#endif
