/* guest.c: see guest.h. */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "browser.h"
#include "faults.h"
#include "loop.h"
#include "machine.h"
#include "memory.h"
#include "net.h"
#include "worker/guest/protocol.h"

#define BOOT_MS   20
#define SETTLE_MS 30
#define CRASH_MS  20

enum guest_life { GUEST_BOOTS, GUEST_IS_UP, GUEST_IS_SETTLED, GUEST_IS_READY, GUEST_IS_LOST };

static struct {
    enum guest_life life;
    unsigned char mac[6];
    char hostname[64], id[33], browser[40];
    uint64_t entropy; /* what the guest's random numbers are made of */
    int tap, listener;
    int64_t clock_ns; /* CLOCK_REALTIME of the guest, as it was at `since` of the host's monotonic clock */
    int64_t since_ns;
    int clock_runs;
    struct watch control;
    struct guest_lines lines;
    struct text said; /* and not yet heard */
    struct alarm alarm;
    struct guest_restore order;
} guest = {.tap = -1, .listener = -1, .control = {.fd = -1}};

/* ---- clock ---- */

static int64_t host_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t clock_now(void)
{
    return guest.clock_ns + (guest.clock_runs ? host_ns(CLOCK_MONOTONIC) - guest.since_ns : 0);
}

static void set_clock(int64_t ns)
{
    guest.clock_ns = ns;
    guest.since_ns = host_ns(CLOCK_MONOTONIC);
}

void guest_stop_clock(void)
{
    guest.clock_ns = clock_now();
    guest.clock_runs = 0;
}

void guest_start_clock(void)
{
    set_clock(guest.clock_ns);
    guest.clock_runs = 1;
}

void guest_set_clock_now(void)
{
    set_clock(host_ns(CLOCK_REALTIME));
}

/* ---- talking ---- */

static void flush(void)
{
    while (guest.control.fd >= 0 && guest.said.len) {
        ssize_t n = send(guest.control.fd, guest.said.data, guest.said.len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* a host that does not read a few lines has gone */
        text_drop(&guest.said, (size_t)n);
    }
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[GUEST_LINE_MAX];
    va_list args;

    if (faults_has("guest", "silent"))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    text_addf(&guest.said, "%s\n", faults_has("guest", "nonsense") ? "<<< nonsense >>>" : line);
    flush();
}

/* ---- becoming somebody ---- */

static void on_crash(struct alarm *a)
{
    (void)a;
    guest.life = GUEST_IS_LOST;
    browser_close();
    say(GUEST_BROWSER_GONE " why=signal_11");
}

static void crash_soon(void)
{
    guest.alarm.on_time = on_crash;
    guest.alarm.guest = 1;
    loop_set(&guest.alarm, CRASH_MS);
}

static void mix_entropy(const struct guest_restore *r)
{
    for (size_t i = 0; i < r->entropy_size; i++)
        guest.entropy = guest.entropy * 1099511628211ULL ^ r->entropy[i];
}

/* Its pages are all there; the order is done. */
static void become(void)
{
    const struct guest_restore *r = &guest.order;
    char address[INET_ADDRSTRLEN], gateway[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &r->address, address, sizeof(address));
    inet_ntop(AF_INET, &r->gateway, gateway, sizeof(gateway));
    if (faults_has("guest", "fail") || strcmp(address, GUEST_ADDRESS) != 0 ||
        strcmp(gateway, GUEST_GATEWAY) != 0 || r->prefix != GUEST_PREFIX) {
        guest.life = GUEST_IS_LOST;
        say(GUEST_RESTORE_FAILED " why=network");
        return;
    }
    mix_entropy(r);
    set_clock((int64_t)r->time_ns);
    memcpy(guest.mac, r->mac, 6);
    net_set_mac(guest.mac);
    strcpy(guest.hostname, r->hostname);
    strcpy(guest.id, r->id);
    if (guest.listener >= 0 && browser_open(guest.listener, r->gateway) != 0) {
        guest.life = GUEST_IS_LOST;
        say(GUEST_RESTORE_FAILED " why=relay");
        return;
    }
    guest.life = GUEST_IS_READY;
    say(GUEST_READY
        " entropy_ms=0.01 clock_ms=0.01 identity_ms=0.01 network_ms=0.10 renderer_ms=1.00 cdp_ms=1.00 "
        "total_ms=2.13");
    if (faults_has("guest", "crash"))
        crash_soon();
}

static const char *take_clock(const struct guest_message *m)
{
    const char *text = guest_message_get(m, "time_ns");
    uint64_t ns;

    if (m->count != 1 || !text || sscanf(text, "%" SCNu64, &ns) != 1)
        return "clock";
    set_clock((int64_t)ns);
    return NULL;
}

static void on_message(char *line, size_t length)
{
    struct guest_message m;
    const char *why = NULL;
    char value[GUEST_WHY_MAX];

    if (guest_message_parse(line, length, &m) != 0)
        why = "no message";
    else if (strcmp(m.word, GUEST_CLOCK) == 0 && guest.life == GUEST_IS_READY)
        why = take_clock(&m);
    else if (strcmp(m.word, GUEST_RESTORE) != 0)
        why = "unknown word";
    else if (guest.life != GUEST_IS_SETTLED)
        why = "not now";
    else if (guest_restore_parse(&m, &guest.order, &why) == 0) {
        why = NULL;
        memory_when_touched(become);
    }
    if (!why)
        return;
    guest_value(why, value, sizeof(value));
    say(GUEST_REFUSED " why=%s", value);
}

/* ---- the control port ---- */

static void hang_up(void)
{
    int fd = guest.control.fd;

    loop_remove(&guest.control);
    if (fd >= 0)
        close(fd);
    memset(&guest.lines, 0, sizeof(guest.lines));
}

static void on_control(struct watch *w, short events)
{
    size_t room, length;
    char *to = guest_lines_room(&guest.lines, &room), *line;
    ssize_t n = read(w->fd, to, room);

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        hang_up();
        return;
    }
    guest_lines_added(&guest.lines, (size_t)n);
    while ((line = guest_lines_next(&guest.lines, &length)))
        on_message(line, length);
    if (length == SIZE_MAX)
        hang_up();
}

int guest_listens(void)
{
    return guest.life >= GUEST_IS_UP;
}

void guest_connected(int fd)
{
    hang_up();
    guest.control.guest = 1;
    guest.control.on_ready = on_control;
    loop_add(&guest.control, fd, POLLIN);
    flush();
}

void guest_deafen(void)
{
    guest.control.events = 0;
}

/* ---- boot ---- */

static void on_settled(struct alarm *a)
{
    (void)a;
    guest.life = GUEST_IS_SETTLED;
    say(GUEST_SETTLED " browser_ms=20.00 warm_ms=10.00 total_ms=%d.00", SETTLE_MS);
}

static void on_booted(struct alarm *a)
{
    guest.life = GUEST_IS_UP;
    say(GUEST_BOOTED " protocol=%d kernel_ms=10.00 total_ms=%d.00", GUEST_PROTOCOL, BOOT_MS);
    a->on_time = on_settled;
    loop_set(a, SETTLE_MS);
}

static uint64_t random_number(void)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof(n), 0) != sizeof(n))
        abort();
    return n;
}

void guest_boot(const unsigned char *mac)
{
    uint64_t a = random_number(), b = random_number();

    guest.life = GUEST_BOOTS;
    guest.entropy = random_number();
    memcpy(guest.mac, &guest.entropy, 6);
    guest.mac[0] = 0x02;
    if (mac)
        memcpy(guest.mac, mac, 6);
    strcpy(guest.hostname, "guest");
    snprintf(guest.id, sizeof(guest.id), "%016" PRIx64 "%016" PRIx64, a, b);
    snprintf(guest.browser, sizeof(guest.browser), "%08x-%04x-4%03x-8%03x-%012" PRIx64, (unsigned)a,
             (unsigned)(a >> 32) & 0xffff, (unsigned)(a >> 48) & 0xfff, (unsigned)b & 0xfff, b >> 16);
    browser_init(guest.browser);
    guest_set_clock_now();
    guest.alarm.guest = 1;
    guest.alarm.on_time = on_booted;
    loop_set(&guest.alarm, BOOT_MS);
}

void guest_inherit(int tap, int listener)
{
    guest.tap = tap;
    guest.listener = listener;
}

int guest_tap(void)
{
    return guest.tap;
}

const unsigned char *guest_mac(void)
{
    return guest.mac;
}

long long guest_clock_ms(void)
{
    return clock_now() / 1000000;
}

void guest_tell(struct text *out)
{
    text_addf(out,
              "\"hostname\":\"%s\",\"machineId\":\"%s\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\","
              "\"clockMs\":%lld,\"random\":\"%016" PRIx64 "\",\"vm\":\"%s\"",
              guest.hostname, guest.id, guest.mac[0], guest.mac[1], guest.mac[2], guest.mac[3], guest.mac[4],
              guest.mac[5], guest_clock_ms(), guest.entropy, machine.id);
    guest.entropy = guest.entropy * 6364136223846793005ULL + 1442695040888963407ULL;
}

/* ---- snapshots ---- */

static const struct field state_fields[] = {{"life", FIELD_U8, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"mac", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"hostname", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"id", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"browser", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"entropy", FIELD_U64, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"clock_ns", FIELD_U64, FIELD_REQUIRED, NULL, NULL, 0},
                                            {"said", FIELD_STRING, FIELD_REQUIRED, NULL, NULL, 0},
                                            {NULL, FIELD_ANY, FIELD_OPTIONAL, NULL, NULL, 0}};
const struct table guest_state = {"GuestState", state_fields, 0};

void guest_save(struct text *out)
{
    text_addf(out,
              "{\"life\":%d,\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"hostname\":\"%s\",\"id\":\"%s\","
              "\"browser\":\"%s\",\"entropy\":%" PRIu64 ",\"clock_ns\":%" PRId64 ",\"said\":",
              (int)guest.life, guest.mac[0], guest.mac[1], guest.mac[2], guest.mac[3], guest.mac[4],
              guest.mac[5], guest.hostname, guest.id, guest.browser, guest.entropy, clock_now());
    text_add_json(out, guest.said.data ? guest.said.data : "");
    text_addf(out, "}");
}

static const char *text_of(const struct value *v, const char *name)
{
    return reader_get(&guest_state, v, name)->text;
}

void guest_load(const struct value *v)
{
    guest.life = (enum guest_life)reader_get(&guest_state, v, "life")->number;
    if (machine_parse_mac(text_of(v, "mac"), guest.mac) != 0)
        abort();
    snprintf(guest.hostname, sizeof(guest.hostname), "%s", text_of(v, "hostname"));
    snprintf(guest.id, sizeof(guest.id), "%s", text_of(v, "id"));
    snprintf(guest.browser, sizeof(guest.browser), "%s", text_of(v, "browser"));
    guest.entropy = reader_get(&guest_state, v, "entropy")->number;
    guest.clock_ns = (int64_t)reader_get(&guest_state, v, "clock_ns")->number;
    text_addf(&guest.said, "%s", text_of(v, "said"));
    browser_init(guest.browser);
    guest.alarm.guest = 1;
}

void guest_browser_died(void)
{
    crash_soon();
}
