/* process_flags.c: see process_flags.h.
 *
 * The flags are those with which Playwright and Puppeteer launch a browser themselves, where both agree, so
 * that pages behave as they do there; none that changes what a page sees beyond that. No --no-sandbox, no
 * --disable-dev-shm-usage (/dev/shm has its own size), no --disable-gpu (WebGL is there, in software). */
#include "process_flags.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../shared/mem.h"
#include "../jail.h"

static const char *const common[] = {
#define BROWSER_FLAG(flag) flag,
#include "../browser_flags.def"
#undef BROWSER_FLAG
};

int process_find_browser(const struct profile *profile, char *out, size_t outlen, char *err, size_t errlen)
{
    static const char *const known[] = {
        "/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium",
        "/usr/lib/chromium-browser/chromium-browser", "/opt/google/chrome/chrome"};

    if (profile->browser) {
        snprintf(out, outlen, "%s", profile->browser);
        if (access(out, X_OK) == 0)
            return 0;
        snprintf(err, errlen, "the browser %s is missing or not executable", out);
        return -1;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        snprintf(out, outlen, "%s", known[i]);
        if (access(out, X_OK) == 0)
            return 0;
    }
    snprintf(
        err, errlen,
        "no browser: install the Debian package chromium-headless-shell (or chromium), or set BERTH_BROWSER");
    return -1;
}

char **process_flags(const char *browser, const struct profile *profile, int port, int own_sandbox)
{
    size_t n = 0, extra = 0, count = sizeof(common) / sizeof(common[0]);
    const char *name = strrchr(browser, '/');
    char **flags;

    while (profile->args && profile->args[extra])
        extra++;
    flags = mem_alloc((count + extra + 8) * sizeof(*flags));
    /* The headless shell knows nothing else; a full Chromium has to be told. */
    if (!strstr(name ? name : browser, "headless"))
        flags[n++] = (char *)"--headless=new";
    flags[n++] = (char *)(port ? "--remote-debugging-port=9222" : "--remote-debugging-port=0");
    flags[n++] = (char *)"--user-data-dir=" JAIL_PROFILE_DIR;
    for (size_t i = 0; i < count; i++)
        flags[n++] = (char *)common[i];
    if (!own_sandbox)
        flags[n++] = (char *)"--no-sandbox";
    for (size_t i = 0; i < extra; i++)
        flags[n++] = profile->args[i];
    flags[n++] = (char *)"about:blank";
    return flags;
}
