/* profile.h: a named way to run a browser, from BERTH_PROFILES (JSON) or the built-in "default".
 *
 * File: {"profiles":[{"name":"default","driver":"process","warm":2,"memoryMb":1024,"cpus":2,"pids":512,
 *   "shmMb":256,"tmpMb":512,"downloadMbps":50,"uploadMbps":10,"diskMiBps":100,"diskIops":5000,
 *   "browser":"/path","args":["--flag"],"egressAllow":["10.1.0.0/16","host"],
 *   "simStartMs":50,"simFailPercent":0}]}
 * Only the name is required. What is missing comes from the settings (driver, warm of "default", browser,
 * simStartMs, simFailPercent), or is unlimited (downloadMbps, uploadMbps, diskMiBps, diskIops), or is as
 * above; egressAllow adds to BERTH_EGRESS_ALLOW. */
#ifndef BERTH_PROFILE_H
#define BERTH_PROFILE_H
#include <stddef.h>

#include "../shared/settings.h"
#include "disk_limit.h"

#define PROFILE_MAX 16

struct profile {
    char *name;
    char *driver;
    int warm;      /* browsers kept warm */
    int memory_mb; /* of the whole browser, cgroup limit */
    double cpus;
    int pids;
    double download_mbps, upload_mbps; /* million bits a second; 0: no limit */
    struct disk_rates disk;            /* of each disk under what the browser reads and writes */
    int shm_mb, tmp_mb;                /* sizes of /dev/shm and of /tmp with the profile directory */
    char *browser;                     /* binary, NULL: the driver's choice */
    char **args;                       /* further flags, NULL-terminated */
    char **egress_allow;               /* CIDRs and "host", NULL-terminated, BERTH_EGRESS_ALLOW included */
    int sim_start_ms, sim_fail_percent;
};

struct profile_set {
    struct profile *items;
    size_t count;
};

/* 0, or -1 with a message that names the profile and the member. */
int profile_set_load(struct profile_set *set, const struct settings *s, char *err, unsigned errlen);
void profile_set_cleanup(struct profile_set *set);
const struct profile *profile_find(const struct profile_set *set, const char *name);

#endif
