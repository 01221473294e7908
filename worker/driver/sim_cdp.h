/* sim_cdp.h: the other end of a sim berth's CDP connection: as much of a browser as a gateway and a warm-up
 * notice. */
#ifndef BERTH_SIM_CDP_H
#define BERTH_SIM_CDP_H
#include <ev.h>

struct sim_cdp;

/* fd: non-blocking, the stand-in's from now on. ws_path: what /json/version says. on_end: called once from
 * the loop when the peer has closed or spoken nonsense; free it there or later. */
struct sim_cdp *sim_cdp_new(struct ev_loop *loop, int fd, const char *ws_path,
                            void (*on_end)(void *arg, struct sim_cdp *c), void *arg);
void sim_cdp_free(struct sim_cdp *c);

#endif
