/* init.c: the first and only program of a microVM besides its browser. Boots the guest, starts and warms the
 * browser, says on the control channel when the snapshot may be taken, and in each clone of it becomes
 * somebody of its own (restore): entropy, clock, ids, network; then lets CDP in. Starts no process after the
 * browser. Ends never: the VMM ends the machine.
 *
 * One thread. Booting, warming and restoring block: until they are done nobody else is served. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "browser.h"
#include "cdp.h"
#include "control.h"
#include "guard.h"
#include "identity.h"
#include "net.h"
#include "processes.h"
#include "quiet.h"
#include "relay.h"

#define BROWSER_UP_MS 150000 /* a busy host without hardware help */

enum guest_state { GUEST_IS_BOOTING, GUEST_IS_SETTLED, GUEST_IS_READY, GUEST_IS_LOST };

static enum guest_state state = GUEST_IS_BOOTING;
static struct loop loop;
static struct control control;
static struct browser browser;
static struct relay relay;
static struct watch children, output;

/* ---- how long each step took ---- */

static struct {
    double start, last;
    char text[512];
    size_t used;
} steps;

static void steps_begin(void)
{
    steps.start = steps.last = boot_now_ms();
    steps.used = 0;
    steps.text[0] = '\0';
}

static void steps_add(const char *name, double ms)
{
    int n = snprintf(steps.text + steps.used, sizeof(steps.text) - steps.used, " %s_ms=%.2f", name, ms);

    if (n > 0 && steps.used + (size_t)n < sizeof(steps.text))
        steps.used += (size_t)n;
}

static void step(const char *name)
{
    double now = boot_now_ms();

    steps_add(name, now - steps.last);
    steps.last = now;
}

/* ---- failure ---- */

static void lost(const char *word, const char *why)
{
    char value[GUEST_WHY_MAX];

    if (state == GUEST_IS_LOST)
        return;
    state = GUEST_IS_LOST;
    guest_value(why, value, sizeof(value));
    control_say(&control, "%s why=%s", word, value);
    fprintf(stderr, "init: %s: %s\n", word, why);
}

/* ---- children ---- */

static void reap(void)
{
    char why[64];
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != browser.pid)
            continue;
        if (WIFSIGNALED(status))
            snprintf(why, sizeof(why), "signal %d", WTERMSIG(status));
        else
            snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
        lost(GUEST_BROWSER_GONE, why);
    }
}

static void on_children_event(struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    while (read(w->fd, &info, sizeof(info)) > 0)
        ;
    reap();
}

static void on_output_event(struct watch *w, uint32_t events)
{
    (void)events;
    if (browser_output(&browser) != 0) {
        close(w->fd);
        w->fd = -1;
    }
}

/* ---- restore ---- */

/* NULL, or what failed: the host ends the machine then, with whatever is open in it. */
static const char *restore(const struct guest_restore *r)
{
    static char why[GUEST_WHY_MAX];
    struct sockaddr_in target = {
        .sin_family = AF_INET, .sin_port = htons(CDP_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int asked = -1, fd;

    steps_begin();
    if (identity_seed(r->entropy, r->entropy_size) != 0)
        return "entropy";
    step("entropy");
    if (identity_clock(r->time_ns) != 0)
        return "clock";
    step("clock");
    if (!r->fresh_renderer && (asked = cdp_ask()) < 0) /* its answer takes longest, and another processor */
        return "no connection to the browser";
    if (identity_set(r->hostname, r->id) != 0)
        return "identity";
    step("identity");
    if (net_mac(r->mac) != 0 || net_address(r->address, r->prefix) != 0 || net_gateway(r->gateway) != 0 ||
        net_resolver(r->dns) != 0)
        return "network";
    step("network");
    if (r->fresh_renderer && cdp_renew(browser.path, why, sizeof(why)) != 0)
        return why;
    step("renderer");
    if (!r->fresh_renderer && cdp_answered(asked, why, sizeof(why)) != 0)
        return why;
    relay.peer = r->gateway; /* the host, however it got here */
    fd = net_listen(GUEST_CDP_PORT);
    if (fd < 0 || relay_init(&relay, &loop, fd, target) != 0)
        return "relay";
    step("cdp");
    steps_add("total", steps.last - steps.start);
    return NULL;
}

/* The guest stood still, and its clock with it. */
static const char *set_clock(const struct guest_message *m)
{
    const char *text = guest_message_get(m, "time_ns");
    char *end;
    uint64_t time_ns;

    if (m->count != 1 || !text || *text < '0' || *text > '9')
        return "clock";
    errno = 0;
    time_ns = strtoull(text, &end, 10);
    if (*end || errno)
        return "clock";
    return identity_clock(time_ns) == 0 ? NULL : "clock";
}

static void on_control_line(void *arg, char *line, unsigned long length)
{
    struct guest_message message;
    struct guest_restore order;
    const char *why = NULL;
    char value[GUEST_WHY_MAX];

    (void)arg;
    if (guest_message_parse(line, length, &message) != 0)
        why = "no message";
    else if (strcmp(message.word, GUEST_CLOCK) == 0 && state == GUEST_IS_READY) {
        why = set_clock(&message);
        if (!why)
            return;
    } else if (strcmp(message.word, GUEST_RESTORE) != 0)
        why = "unknown word";
    else if (state != GUEST_IS_SETTLED)
        why = "not now";
    else if (guest_restore_parse(&message, &order, &why) == 0)
        why = NULL;
    if (why) {
        guest_value(why, value, sizeof(value));
        control_say(&control, GUEST_REFUSED " why=%s", value);
        return;
    }
    why = restore(&order);
    explicit_bzero(&order, sizeof(order));
    explicit_bzero(line, length);
    if (why) {
        lost(GUEST_RESTORE_FAILED, why);
        return;
    }
    state = GUEST_IS_READY;
    control_say(&control, GUEST_READY "%s", steps.text);
}

/* ---- boot ---- */

static void boot_network(void)
{
    char text[64];
    struct in_addr address, gateway;
    int prefix = GUEST_PREFIX;

    if (net_loopback() != 0)
        boot_fail("loopback");
    if (boot_option("berth.address", text, sizeof(text)) != 0)
        strcpy(text, GUEST_ADDRESS);
    char *slash = strchr(text, '/');
    if (slash) {
        *slash = '\0';
        prefix = atoi(slash + 1);
    }
    errno = EINVAL;
    if (inet_pton(AF_INET, text, &address) != 1 || prefix < 1 || prefix > 32)
        boot_fail("berth.address");
    if (boot_option("berth.gateway", text, sizeof(text)) != 0)
        strcpy(text, GUEST_GATEWAY);
    if (inet_pton(AF_INET, text, &gateway) != 1)
        boot_fail("berth.gateway");
    if (net_address(address, prefix) != 0 || net_up() != 0 || net_gateway(gateway) != 0 ||
        net_resolver(gateway) != 0)
        boot_fail(NET_IF);
}

static void boot(void)
{
    sigset_t chld;

    steps_begin();
    steps_add("kernel", steps.start);
    boot_modules();
    step("modules");
    boot_root();
    boot_ready();
    if (identity_prepare() != 0)
        boot_fail("identity");
    step("root");
    boot_network();
    step("network");
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    signal(SIGPIPE, SIG_IGN);
    children.fd = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
    children.on_event = on_children_event;
    control.on_line = on_control_line;
    if (loop_init(&loop) != 0 || children.fd < 0 || loop_watch(&loop, &children, EPOLLIN) != 0)
        boot_fail("event loop");
    if (control_init(&control, &loop) != 0)
        boot_fail("control channel");
    step("control");
    steps_add("total", steps.last);
    control_say(&control, GUEST_BOOTED " protocol=%d%s", GUEST_PROTOCOL, steps.text);
}

/* At rest, with one renderer for the one page: a clone that keeps it has no other out of the snapshot.
 * *quiet: whether it came to rest in time. 0, or -1 with why. */
static int rest(int *quiet, char *why, size_t size)
{
    struct guard g;

    for (int renewed = 0;; renewed = 1) {
        *quiet = quiet_wait(GUEST_QUIET_MS);
        if (guard_look(PROCESSES_PROC, &g) == 0 && g.count == 1)
            return 0;
        if (renewed) {
            snprintf(why, size, "%d renderers for one page", g.count);
            return -1;
        }
        if (cdp_renew(browser.path, why, size) != 0)
            return -1;
    }
}

static void settle(char *const *flags)
{
    char why[GUEST_WHY_MAX];
    int quiet;

    steps_begin();
    if (browser_start(&browser, flags) != 0)
        boot_fail("starting the browser");
    if (browser_wait(&browser, BROWSER_UP_MS, why, sizeof(why)) != 0) {
        lost(GUEST_BROWSER_GONE, why);
        return;
    }
    step("browser");
    if (cdp_warm(browser.path, why, sizeof(why)) != 0) {
        lost(GUEST_BROWSER_GONE, why);
        return;
    }
    step("warm");
    if (rest(&quiet, why, sizeof(why)) != 0) {
        lost(GUEST_BROWSER_GONE, why);
        return;
    }
    step("quiet");
    output.fd = browser.output;
    output.on_event = on_output_event;
    if (loop_watch(&loop, &output, EPOLLIN | EPOLLET) != 0)
        boot_fail("event loop");
    steps_add("total", steps.last);
    state = GUEST_IS_SETTLED;
    control_say(&control, GUEST_SETTLED "%s quiet=%d", steps.text, quiet);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getpid() != 1) {
        fprintf(stderr, "init is the first process of a microVM, nothing else\n");
        return 2;
    }
    boot();
    settle(argv + 1);
    for (;;)
        if (loop_once(&loop, -1) != 0)
            boot_fail("event loop");
}
