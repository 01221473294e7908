/* sweeper.h: calls `sweep` about once a second, as every replica does: lost workers and passed deadlines are
 * acted on as long as one replica lives. */
#ifndef BERTH_SWEEPER_H
#define BERTH_SWEEPER_H
#include "api.h"

struct sweeper;

struct sweeper *sweeper_new(struct api *api);
/* After redis_free, which has answered what was under way. */
void sweeper_free(struct sweeper *s);

#endif
