/* act.h: what each request does, or says, once it is understood and its machine's state allows it (api.c).
 * Named for its method and path. All: 0, with what it answers in answer->body; or -1 with the fault. */
#ifndef FAKE_ACT_H
#define FAKE_ACT_H
#include "http.h"
#include "reader.h"
#include "text.h"

#define ACT_AFTER_TEXT  "The requested operation is not supported after starting the microVM."
#define ACT_BEFORE_TEXT "The requested operation is not supported before starting the microVM."

struct call {
    const struct http_request *request;
    const char *id; /* the path's second part; NULL: there is none */
    struct value body;
    struct http_answer *answer;
    struct fault fault;
};

int act_get_info(struct call *c);
int act_get_version(struct call *c);
int act_get_machine(struct call *c);
int act_get_config(struct call *c);
int act_put_boot_source(struct call *c);
int act_put_machine(struct call *c);
int act_patch_machine(struct call *c);
int act_put_drive(struct call *c);
int act_patch_drive(struct call *c);
int act_put_net(struct call *c);
int act_patch_net(struct call *c);
int act_put_vsock(struct call *c);
int act_put_entropy(struct call *c);
int act_get_balloon(struct call *c);
int act_put_balloon(struct call *c);
int act_patch_balloon(struct call *c);
int act_put_logger(struct call *c);
int act_put_metrics(struct call *c);
int act_get_mmds(struct call *c);
int act_put_mmds(struct call *c);
int act_put_mmds_config(struct call *c);
int act_put_actions(struct call *c);
int act_patch_vm(struct call *c);
int act_put_snapshot_create(struct call *c);
int act_put_snapshot_load(struct call *c);

#endif
