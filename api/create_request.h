/* create_request.h: the body of POST /v1/sessions, checked: BaseLayer's and Browserbase's fields in one
 * table. Unknown fields are ignored; known ones with a wrong type or value are refused by name. null counts
 * as absent. */
#ifndef BERTH_CREATE_REQUEST_H
#define BERTH_CREATE_REQUEST_H
#include <stddef.h>

#include "../shared/buf.h"
#include "../shared/errors.h"
#include "../shared/keys.h"

struct create_bounds { /* from the settings, ms */
    long timeout_ms;
    long timeout_max_ms;
    long idle_ms;
};

struct create_request {
    char project[KEYS_ID_MAX + 1]; /* "" if the body names none */
    char profile[KEYS_ID_MAX + 1];
    long timeout_ms;
    long idle_ms; /* 0: no idle limit */
    int keep_alive;
    struct buf meta; /* a JSON object whose members are part of every reply about the session */
};

struct create_problem {
    char field[48]; /* "timeoutSec"; "" where no field is to blame */
    char message[192];
};

/* Reads a body (empty: all defaults) into r. ERR_ok, ERR_bad_json or ERR_bad_field with *why filled in.
 * r is to be cleaned up in every case. */
enum err create_request_parse(struct create_request *r, const struct create_bounds *bounds, const char *body,
                              size_t len, struct create_problem *why) MUST_USE;
void create_request_cleanup(struct create_request *r);

#endif
