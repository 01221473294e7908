/* microvm_accel.c: which accelerator a microVM driver uses: the best that boots a template. One that did not
 * is remembered in <state>/snapshots, so that only the first start of a worker pays for the try: a file whose
 * name stands for what it was tried with (image, monitor, host's kernel and processor). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../shared/buf.h"
#include "../../shared/log.h"
#include "../../shared/random.h"
#include "microvm.h"

#define MARK_NAME "accel-failed-"

static void mark_path(struct driver *d, const char *accel, char *out, size_t outlen)
{
    struct vmm_machine m = {&d->image, 0, 1, accel, 0};
    struct utsname host = {0};
    struct buf text = {0};
    char digest[65];

    uname(&host);
    buf_addf(&text, "image %s\nkernel %s %s\n", d->image.key, host.release, host.version);
    d->ops->identify(d->host, &m, &text);
    random_sha256_hex(text.data, text.len, digest);
    buf_cleanup(&text);
    snprintf(out, outlen, "%s/snapshots/." MARK_NAME "%s-%.16s", d->settings->state, accel, digest);
}

void microvm_accel_init(struct driver *d)
{
    const char *const *accels = d->ops->accels(d->host);
    char path[400], why[500];

    d->accel = accels[d->accel_index];
    while (accels[d->accel_index + 1]) {
        mark_path(d, d->accel, path, sizeof(path));
        if (access(path, F_OK) != 0)
            return;
        snprintf(why, sizeof(why), "it booted no template before; remove %s to try it again", path);
        log_warn("accelerator_skipped", "accel=%s next=%s why=%s", d->accel, accels[d->accel_index + 1], why);
        d->accel = accels[++d->accel_index];
    }
}

static void remember(struct driver *d, const char *accel, const char *why)
{
    char path[400];
    FILE *f;

    mark_path(d, accel, path, sizeof(path));
    f = fopen(path, "we");
    if (f)
        fprintf(f, "%s\n", why);
    if (!f || fclose(f) != 0)
        log_warn("accelerator_not_remembered", "path=%s error=%s", path, strerror(errno));
}

void microvm_accel_failed(struct driver *d, const char *accel, int booted, const char *why)
{
    const char *const *accels = d->ops->accels(d->host);

    if (strcmp(accel, d->accel) != 0 || !accels[d->accel_index + 1])
        return; /* there is nothing else to take */
    if (!booted)
        remember(d, accel, why);
    log_warn("accelerator_refused", "accel=%s next=%s why=%s", d->accel, accels[d->accel_index + 1], why);
    d->accel = accels[++d->accel_index];
}
