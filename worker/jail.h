/* jail.h: the command line that runs a browser in its jail: bubblewrap with namespaces of its own, a
 * read-only system made of the host's /usr, and tmpfs of bounded size for what it writes. docs/isolation.md
 * says what that gives. */
#ifndef BERTH_JAIL_H
#define BERTH_JAIL_H
#include <stddef.h>

#include "../shared/errors.h"
#include "child.h"

#define JAIL_PROFILE_DIR "/tmp/profile"

struct jail; /* what is the same for all berths: files for /etc, system call filter */

struct jail_args {
    const char *program; /* on the host; below /usr, or its folder is shown at the same path */
    char *const *args;   /* of the program, without its name */
    int shm_mb, tmp_mb;
};

/* resolv_conf: text for the jail's /etc/resolv.conf. NULL with a sentence in err: bubblewrap is missing, … */
struct jail *jail_new(const char *resolv_conf, char *err, size_t errlen) MUST_USE;
void jail_free(struct jail *j);
/* Fills argv, envp and descriptors 3 and up of the spec; 0 to 2 are the caller's. Free with jail_release
 * after the start. 0, or -1 with errno. */
int jail_prepare(struct jail *j, const struct jail_args *args, struct child_spec *spec) MUST_USE;
void jail_release(struct child_spec *spec);

#endif
