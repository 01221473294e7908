/* docker_engine.h: a client of the Docker Engine API on the loop: requests over its unix socket, on pooled
 * connections, with bounded bodies; every way to fail becomes one line of text. */
#ifndef BERTH_DOCKER_ENGINE_H
#define BERTH_DOCKER_ENGINE_H
#include <ev.h>
#include <stddef.h>

#include "../../shared/errors.h"
#include "../../shared/json.h"

#define DOCKER_WHY_MAX 300

struct docker_engine;
struct docker_call;

struct docker_reply {
    int status;        /* HTTP; 0: none came */
    const cJSON *json; /* NULL where there is none; lives as long as the callback */
    const char *why;   /* one line where status is 0 or from 400 on, else "" */
};
typedef void docker_reply_cb(void *arg, const struct docker_reply *reply);

struct docker_engine *docker_engine_new(struct ev_loop *loop, const char *socket_path);
void docker_engine_free(struct docker_engine *e); /* calls under way end without their callbacks */

/* path: below /v<version>, its query made of safe characters. json: body or NULL. cb is called once, never
 * from inside this call. */
struct docker_call *docker_engine_call(struct docker_engine *e, const char *method, const char *path,
                                       const char *json, long limit_ms, docker_reply_cb *cb, void *arg);
void docker_call_cancel(struct docker_call *c); /* no callback; the engine may do it nevertheless */
/* Asks for the engine's versions and chooses the one that all later paths begin with. Blocking, as is
 * docker_engine_wait: only for an engine on a loop of its own. 0, or -1 with a sentence. */
int docker_engine_negotiate(struct docker_engine *e, char *err, size_t errlen) MUST_USE;
/* A call, and runs the loop until its reply: status, with the JSON in *out (caller deletes; out may be NULL)
 * and why filled where status is 0 or from 400 on. */
int docker_engine_wait(struct docker_engine *e, const char *method, const char *path, const char *json,
                       long limit_ms, cJSON **out, char why[DOCKER_WHY_MAX]);
/* Two engines of one socket speak the same version. */
void docker_engine_set_version(struct docker_engine *e, const char *version);
const char *docker_engine_version(const struct docker_engine *e); /* "1.41" */

/* What a reply of status 400 and above says: "name: message" from its JSON, else its first line, else a word
 * for the status. Always one printable line. */
void docker_engine_describe(int status, const char *body, size_t len, char out[DOCKER_WHY_MAX]);
/* The version to speak with an engine that knows oldest to newest: 1.41 if it can. 0, or -1: too old. */
int docker_engine_choose(const char *oldest, const char *newest, char out[16]);

#endif
