/* main.c: a strict fake of Firecracker, for machines where the real one cannot run: its command line, its API
 * with every field, order, state and error's wording, its snapshot files, its vsock; and behind it a guest
 * that speaks our control protocol and shows a browser. What is where: http.c the API's HTTP, api.c which
 * requests there are and when, act.c what they do, fields.c their bodies, reader.c and scan.c how strictly
 * these are read, machine.c devices and states, snapshot.c and memory.c the two files, vsock.c, net.c and
 * guest.c what the guest is seen by, browser.c its browser.
 *
 * Not here: KVM and whatever needs it; hotplug, pmem, serial, CPU templates, balloon hinting, diff snapshots
 * and the metadata service's insides; --config-file. Facts are Firecracker's at 1.16 (rpc_interface.rs,
 * swagger and docs in its repository). Static, as it runs in a jail without libraries. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "args.h"
#include "faults.h"
#include "guest.h"
#include "http.h"
#include "loop.h"
#include "machine.h"
#include "net.h"
#include "snapshot.h"

#define VERSION  "1.16.1"
#define BODY_MAX 51200

enum { EXIT_GENERIC = 1, EXIT_BAD_CONFIGURATION = 152, EXIT_ARGUMENTS = 153 };

static struct arg args[] = {
    {.name = "api-sock", .kind = ARGS_VALUE, .fallback = "/run/firecracker.socket"},
    {.name = "boot-timer"},
    {.name = "config-file", .kind = ARGS_VALUE},
    {.name = "describe-snapshot", .kind = ARGS_VALUE},
    {.name = "enable-pci"},
    {.name = "http-api-max-payload-size", .kind = ARGS_VALUE},
    {.name = "id", .kind = ARGS_VALUE, .fallback = "anonymous-instance"},
    {.name = "level", .kind = ARGS_VALUE},
    {.name = "log-path", .kind = ARGS_VALUE},
    {.name = "metadata", .kind = ARGS_VALUE},
    {.name = "metrics-path", .kind = ARGS_VALUE},
    {.name = "mmds-size-limit", .kind = ARGS_VALUE},
    {.name = "module", .kind = ARGS_VALUE},
    {.name = "no-api"},
    {.name = "no-seccomp"},
    {.name = "parent-cpu-time-us", .kind = ARGS_VALUE},
    {.name = "seccomp-filter", .kind = ARGS_VALUE},
    {.name = "show-level"},
    {.name = "show-log-origin"},
    {.name = "snapshot-version"},
    {.name = "start-time-cpu-us", .kind = ARGS_VALUE},
    {.name = "start-time-us", .kind = ARGS_VALUE},
    {.name = "version"},
    {.name = NULL},
};

static int end(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int end(int code, const char *format, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    printf("%s\n", text); /* its log */
    fflush(stdout);
    fprintf(stderr, "Error: %s\n", text);
    printf("Firecracker exiting with error. exit_code=%d\n", code);
    return code;
}

/* Without a jailer: its own network if it may, and the faults' file of the environment. */
static void prepare(void)
{
    int tap, listener;

    if (getenv(FAKE_FD_ENV)) {
        faults_inherit();
        guest_inherit(FAKE_FD_TAP, FAKE_FD_LISTENER);
        return;
    }
    faults_open(getenv("FAKE_FIRECRACKER_FAULTS"));
    if (net_make_guest(&tap, &listener) == 0)
        guest_inherit(tap, listener);
}

static int describe(const char *path)
{
    char version[40];
    struct fault f = {""};

    if (snapshot_describe(path, version, &f) != 0)
        return end(EXIT_GENERIC,
                   "When printing Snapshot Data format: Invalid data format version of snapshot file: %s",
                   f.text);
    printf("v%s\n", version);
    return 0;
}

int main(int argc, char **argv)
{
    char err[400], **extra;
    const char *size;

    (void)argc;
    signal(SIGPIPE, SIG_IGN);
    if (args_parse(args, argv, &extra, err, sizeof(err)) != 0)
        return end(EXIT_ARGUMENTS, "Arguments parsing error: %s \n\nFor more information try --help.", err);
    prepare();
    machine.version = strdup(faults_get("version") ? faults_get("version") : VERSION);
    if (sscanf(machine.version, "1.%d", &reader_minor) != 1)
        reader_minor = 16;
    if (args_get(args, "version")) {
        printf("Firecracker v%s\n\n", machine.version);
        return 0;
    }
    if (args_get(args, "snapshot-version")) {
        printf("v" SNAPSHOT_VERSION "\n");
        return 0;
    }
    if (args_get(args, "describe-snapshot"))
        return describe(args_get(args, "describe-snapshot"));
    if (args_check_id(args_get(args, "id"), err, sizeof(err)) != 0)
        return end(134, "Invalid instance ID: %s", err);
    if (args_get(args, "config-file") || args_get(args, "no-api"))
        return end(EXIT_BAD_CONFIGURATION, "fake: it has no %s", "--config-file");
    if (faults_has("spawn", "die"))
        return end(EXIT_GENERIC, "fake: %s", "it ends, as it was told");
    strcpy(machine.id, args_get(args, "id"));
    while (faults_has("spawn", "hang"))
        pause();
    printf("[%s:main] Running Firecracker v%s\n", machine.id, machine.version);
    size = args_get(args, "http-api-max-payload-size");
    if (http_open(args_get(args, "api-sock"), size ? strtoul(size, NULL, 10) : BODY_MAX, api_handle) != 0) {
        if (errno == EADDRINUSE)
            return end(
                EXIT_GENERIC,
                "RunWithApiError error: Failed to open the API socket at: %s. Check that it is not already "
                "used.",
                args_get(args, "api-sock"));
        return end(EXIT_GENERIC,
                   "RunWithApiError error: Failed to bind and run the HTTP server: IO error: %s",
                   os_error(errno));
    }
    printf("[%s:main] Listening on API socket (\"%s\").\n", machine.id, args_get(args, "api-sock"));
    fflush(stdout);
    loop_run();
}
