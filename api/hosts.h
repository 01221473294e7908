/* hosts.h: handlers about the fleet: workers, statistics, health, drain, audit. */
#ifndef BERTH_HOSTS_H
#define BERTH_HOSTS_H
#include "call.h"

void hosts_on_list(struct call *c);
void hosts_on_stats(struct call *c);
void hosts_on_health(struct call *c);
void hosts_on_drain(struct call *c);
void hosts_on_undrain(struct call *c);
void hosts_on_audit(struct call *c);

#endif
