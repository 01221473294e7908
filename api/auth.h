/* auth.h: API keys: a file of hashed keys, each with a project, scopes and limits.
 *
 * {"keys":[{"hash":"sha256:<hex>","project":"acme","scopes":["read","create"],"name":"ci","concurrency":10,"queue":100}]}
 *
 * Without a file the API is open: everybody is an administrator of the project "default" (and main.c binds
 * loopback only). */
#ifndef BERTH_AUTH_H
#define BERTH_AUTH_H
#include <stddef.h>

#include "../shared/errors.h"
#include "../shared/keys.h"

/* What a route asks for. create includes read, admin includes both and reaches every project. */
enum scope { SCOPE_NONE, SCOPE_READ, SCOPE_CREATE, SCOPE_ADMIN };

#define AUTH_DEFAULT_PROJECT "default"

/* Who is asking; a copy, so that it outlives a reload. */
struct principal {
    char project[KEYS_ID_MAX + 1];
    char name[KEYS_ID_MAX + 1]; /* of the key, for logs; may be empty */
    unsigned scopes;            /* bit per enum scope, what is included spelled out */
    long concurrency;           /* the project's limits as the key's entry says, -1: the settings' */
    long queue;
};

struct auth;

/* path "" or NULL: open. NULL with a message in err when the file cannot be used. Freed with auth_free. */
struct auth *auth_new(const char *path, char *err, size_t errlen) MUST_USE;
void auth_free(struct auth *a);
/* Reads the file again. On failure (-1, message in err) the keys stay as they were. */
int auth_reload(struct auth *a, char *err, size_t errlen) MUST_USE;
int auth_is_open(const struct auth *a);
size_t auth_count(const struct auth *a);
/* Who holds this key (NULL: none was sent). ERR_ok, ERR_unauthorized, or ERR_forbidden when the scope is
 * missing. SCOPE_NONE with a bad key is fine: out is then an empty principal without scopes. */
enum err auth_check(const struct auth *a, const char *key, enum scope need, struct principal *out);
int auth_has(const struct principal *p, enum scope s);
/* "" (any) for an administrator, else the principal's own project: the project argument of the scripts. */
const char *auth_reach(const struct principal *p);

#endif
