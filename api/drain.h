/* drain.h: the end of the process: SIGTERM stops accepting, answers what waits within BERTH_API_DRAIN, then
 * ends the loop. */
#ifndef BERTH_DRAIN_H
#define BERTH_DRAIN_H
#include "api.h"

struct drain;

struct drain *drain_new(struct api *api);
void drain_free(struct drain *d);
/* Begins; a second time: ends now. */
void drain_begin(struct drain *d);

#endif
