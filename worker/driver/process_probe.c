/* process_probe.c: see process_probe.h. */
#include "process_probe.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MS 20000

static unsigned long long effective_capabilities(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long long bits = 0;
    char line[256];

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "CapEff:", 7) == 0)
            bits = strtoull(line + 7, NULL, 16);
    }
    if (f)
        fclose(f);
    return bits;
}

/* 1 unless this is the root of a user namespace (a rootless container), who has no other users to become. */
static int has_all_users(void)
{
    FILE *f = fopen("/proc/self/uid_map", "re");
    unsigned long inside, outside, count = 0;
    int ok =
        f && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 && count >= 4294967295UL;

    if (f)
        fclose(f);
    return ok;
}

int process_is_privileged(void)
{
    static const int needed[] = {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL};
    unsigned long long has = effective_capabilities();

    if (!has_all_users())
        return 0;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!(has & (1ULL << needed[i])))
            return 0;
    }
    return 1;
}

/* Exit status of a program in the jail; -1 if the jail itself could not be run. */
static int try(struct jail *jail, long uid, int user_ns, const char *program, char *const *argv,
               struct buf *output)
{
    struct child_spec spec = {.pid_ns = 1, .user_ns = user_ns, .net_ns = -1, .uid = uid};
    struct jail_args args = {.program = program, .args = argv, .shm_mb = 1, .tmp_mb = 1};
    int status;

    if (jail_prepare(jail, &args, &spec) != 0)
        return -1;
    status = child_run_spec(&spec, NULL, output, LIMIT_MS);
    jail_release(&spec);
    return status;
}

int process_probe_jail(struct jail *jail, long uid, int user_ns, int *own_sandbox, char *err, size_t errlen)
{
    /* What Chromium's zygote does first: a user namespace in which it makes the others. */
    char *nested[] = {(char *)"--user", (char *)"--pid",         (char *)"--net",
                      (char *)"--fork", (char *)"/usr/bin/true", NULL};
    char *none[] = {NULL};
    struct buf output = {0};
    int result = -1, status;

    *own_sandbox = try(jail, uid, user_ns, "/usr/bin/unshare", nested, NULL) == 0;
    status = *own_sandbox ? 0 : try(jail, uid, user_ns, "/usr/bin/true", none, &output);
    if (status == 0) {
        result = 0;
    } else {
        const char *said = output.data ? output.data : "";
        const char *why = *said ? said : status < 0 ? strerror(errno) : "no message";

        snprintf(err, errlen,
                 "bubblewrap cannot make a jail here (%.*s): it needs user namespaces (sysctl "
                 "kernel.unprivileged_userns_clone=1, "
                 "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0; in a "
                 "container, the right to make them)",
                 (int)strcspn(why, "\n"), why);
    }
    buf_cleanup(&output);
    return result;
}
