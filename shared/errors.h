/* errors.h: the one table of results shared by C, Lua and HTTP (errors.def). */
#ifndef BERTH_ERRORS_H
#define BERTH_ERRORS_H

#define ERR(name, status, text) ERR_##name,
enum err {
#include "errors.def"
    ERR_COUNT
};
#undef ERR

#define MUST_USE __attribute__((warn_unused_result))

/* The stable code as clients and scripts spell it; never NULL. */
const char *err_name(enum err e);
/* The HTTP status that goes with it. */
int err_status(enum err e);
/* One plain sentence without a full stop. */
const char *err_text(enum err e);
/* The error with this name, or ERR_internal where there is none. len is the name's length. */
enum err err_from_name(const char *name, int len);

#endif
