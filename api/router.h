/* router.h: method and path to a route of a table. Patterns have fixed segments and at most one ":id". */
#ifndef BERTH_ROUTER_H
#define BERTH_ROUTER_H
#include <stddef.h>

#include "../shared/http.h"
#include "auth.h"

struct call;

struct route {
    enum http_method method;
    const char *pattern; /* "/v1/sessions/:id": also the label in metrics */
    enum scope scope;
    void (*handler)(struct call *c);
};

struct router_match {
    const struct route *route; /* NULL unless ERR_ok */
    unsigned methods;          /* bit per enum http_method that the path knows */
    char id[KEYS_ID_MAX + 1];  /* what stood for :id, "" without one */
};

/* ERR_ok, ERR_not_found, or ERR_method_not_allowed (methods then says which would do). HEAD goes where GET
 * goes. */
enum err router_find(const struct route *routes, size_t n, enum http_method method, const char *path,
                     struct router_match *out);
/* The Allow header's value for a set of methods; out of 64 bytes is enough. */
void router_allow(unsigned methods, char *out, size_t n);

#endif
