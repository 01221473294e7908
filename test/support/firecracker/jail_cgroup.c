/* jail_cgroup.c: see jail_cgroup.h. Version 2 alone has any effect. */
#include "jail_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIERARCHY "/sys/fs/cgroup"

static const char *parent_of(const struct arg *args, const char *exec_name)
{
    const char *parent = args_get(args, "parent-cgroup");

    return parent ? parent : exec_name;
}

/* A path that leads out of where it starts. */
static int strays(const char *path)
{
    return *path == '/' || strcmp(path, ".") == 0 || strncmp(path, "./", 2) == 0 ||
           strstr(path, "..") != NULL;
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    saved = errno;
    close(fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}

static int move_into(const char *folder)
{
    char path[700], pid[20];

    snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    return put(path, pid);
}

int jail_cgroup_check(const struct arg *args, const char *exec_name, struct fault *f)
{
    const char *version = args_get(args, "cgroup-version"), *parent = parent_of(args, exec_name);
    const struct arg *cgroups = args_find(args, "cgroup");
    char folder[512];

    if (strays(parent))
        return fault_set(f,
                         "Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'");
    if (strcmp(version, "1") != 0 && strcmp(version, "2") != 0)
        return fault_set(f, "%s is an invalid cgroup version specifier", version);
    snprintf(folder, sizeof(folder), HIERARCHY "/%.300s", parent);
    if (!cgroups->count && *version == '2' && access(folder, F_OK) == 0 && move_into(folder) != 0)
        return fault_set(
            f,
            "Failed to move process to cgroup (%s): %s.\nHint: If you intended to create a child "
            "cgroup under %s, pass any --cgroup parameters.",
            folder, os_error(errno), folder);
    for (int i = 0; i < cgroups->count; i++) {
        const char *given = cgroups->values[i], *equals = strchr(given, '=');

        if (!equals || !equals[1] || strchr(equals + 1, '='))
            return fault_set(f, "Invalid format for cgroups: %s", given);
        if (strays(given))
            return fault_set(f, "Cgroup invalid file: %s", given);
        if (*version == '1')
            return fault_set(f, "Hierarchy not found: %.*s", (int)strcspn(given, "."), given);
    }
    return 0;
}

int jail_cgroup_setup(const struct arg *args, const char *exec_name, struct fault *f)
{
    const struct arg *cgroups = args_find(args, "cgroup");
    char folder[512], path[700], controller[64];

    if (!cgroups->count)
        return 0;
    snprintf(folder, sizeof(folder), HIERARCHY "/%.200s", parent_of(args, exec_name));
    (void)mkdir(folder, 0755);
    for (int i = 0; i < cgroups->count; i++) {
        snprintf(controller, sizeof(controller), "+%.*s", (int)strcspn(cgroups->values[i], "."),
                 cgroups->values[i]);
        snprintf(path, sizeof(path), "%s/cgroup.subtree_control", folder);
        if (put(HIERARCHY "/cgroup.subtree_control", controller) != 0 || put(path, controller) != 0)
            return fault_set(f, "Failed to write to %s: %s", path, os_error(errno));
    }
    snprintf(folder + strlen(folder), sizeof(folder) - strlen(folder), "/%s", args_get(args, "id"));
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return fault_set(f, "Failed to create directory %s: %s", folder, os_error(errno));
    for (int i = 0; i < cgroups->count; i++) {
        const char *given = cgroups->values[i], *equals = strchr(given, '=');

        snprintf(path, sizeof(path), "%s/%.*s", folder, (int)(equals - given), given);
        if (put(path, equals + 1) != 0)
            return fault_set(f, "Failed to write to %s: %s", path, os_error(errno));
    }
    if (move_into(folder) != 0)
        return fault_set(f, "Failed to write to %s/cgroup.procs: %s", folder, os_error(errno));
    return 0;
}
