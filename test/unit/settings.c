/* settings.c: defaults, forms and bounds, slips of names, and that docs/settings.md has the table of
 * settings.def. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/settings.h"

static struct settings settings;
static char err[256];

static int set_up(void **state)
{
    (void)state;
    clearenv();
    err[0] = '\0';
    return 0;
}

static int load(const char *name, const char *value)
{
    clearenv();
    setenv(name, value, 1);
    err[0] = '\0';
    return settings_load(&settings, SETTINGS_BOTH, err, sizeof(err));
}

static void refused(const char *name, const char *value, const char *message)
{
    assert_int_equal(load(name, value), -1);
    assert_string_equal(err, message);
}

static void has_defaults(void **state)
{
    (void)state;
    for (int program = SETTINGS_API; program <= SETTINGS_BOTH; program++) {
        memset(&settings, 0xFF, sizeof(settings));
        assert_int_equal(settings_load(&settings, (enum settings_program)program, err, sizeof(err)), 0);
        assert_string_equal(settings.redis_url, "redis://127.0.0.1:6379/0");
        assert_string_equal(settings.listen, "127.0.0.1:3000");
        assert_int_equal(settings.session_timeout, 900000);
        assert_int_equal(settings.session_timeout_max, 6 * 3600000);
        assert_int_equal(settings.sim_start, 50);
        assert_int_equal(settings.berths, 8);
        assert_string_equal(settings.worker_id, "");
    }
}

static void every_default_is_legal(void **state)
{
    (void)state;
#define SETTING(program, type, field, name, def, min, max, help)                                             \
    clearenv();                                                                                              \
    setenv(name, def, 1);                                                                                    \
    assert_int_equal(settings_load(&settings, SETTINGS_BOTH, err, sizeof(err)), 0);
#include "shared/settings.def"
#undef SETTING
}

static void reads_durations(void **state)
{
    static const struct {
        const char *text;
        long ms;
    } good[] = {{"1", 1000},     {"10", 10000},     {"1.5", 1500},  {"250ms", 250},
                {"0.25s", 250},  {"0", 0},          {"60s", 60000}, {"2m", 120000},
                {"1h", 3600000}, {"0.5h", 1800000}, {"007s", 7000}, {"0.0001ms", 0}};
    static const char *const bad[] = {"abc", "-1",     "+1", " 1",  "1 ",   "1 s",  "1d",
                                      "1S",  "s",      ".5", "1.",  "1e3",  "0x10", "1s2m",
                                      "ms",  "1h 30m", "2h", "61m", "3601", "1\n",  "99999999999999999999",
                                      "nan", "inf"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(load("BERTH_DISCONNECT_GRACE", good[i].text), 0);
        assert_int_equal(settings.disconnect_grace, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(load("BERTH_DISCONNECT_GRACE", bad[i]), -1);
    refused("BERTH_LEASE", "abc", "BERTH_LEASE=abc: expected a duration such as 10s (1s to 5m)");
    refused("BERTH_LEASE", "999ms", "BERTH_LEASE=999ms: expected a duration such as 10s (1s to 5m)");
    assert_int_equal(load("BERTH_LEASE", "1000ms"), 0);
    assert_int_equal(load("BERTH_LEASE", "5m"), 0);
    refused("BERTH_LEASE", "301", "BERTH_LEASE=301: expected a duration such as 10s (1s to 5m)");
    refused("BERTH_SIM_START", "1h", "BERTH_SIM_START=1h: expected a duration such as 50ms (0 to 10m)");
}

static void reads_numbers(void **state)
{
    static const char *const bad[] = {
        "0", "4097", "-1", "1.5", "8x", " 8", "+8", "0x8", "99999999999999999999", "8\n", "-"};

    (void)state;
    assert_int_equal(load("BERTH_BERTHS", "1"), 0);
    assert_int_equal(settings.berths, 1);
    assert_int_equal(load("BERTH_BERTHS", "4096"), 0);
    assert_int_equal(settings.berths, 4096);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(load("BERTH_BERTHS", bad[i]), -1);
    refused("BERTH_BERTHS", "many", "BERTH_BERTHS=many: expected a whole number from 1 to 4096");
}

static void reads_words(void **state)
{
    (void)state;
    assert_int_equal(load("BERTH_PLACEMENT", "pack"), 0);
    assert_string_equal(settings.placement, "pack");
    refused("BERTH_PLACEMENT", "Pack", "BERTH_PLACEMENT=Pack: expected spread or pack");
    refused("BERTH_LOG_LEVEL", "loud", "BERTH_LOG_LEVEL=loud: expected debug, info, warn or error");
    refused("BERTH_LOG_FORMAT", "xml", "BERTH_LOG_FORMAT=xml: expected text or json");
    refused("BERTH_CONNECT", "x", "BERTH_CONNECT=x: expected direct or relay");
    refused("BERTH_VM_RENDERER", "Fresh", "BERTH_VM_RENDERER=Fresh: expected fresh or keep");
    refused("BERTH_VM_MEMORY", "ufd", "BERTH_VM_MEMORY=ufd: expected file or uffd");
    refused("BERTH_VM_HUGE_PAGES", "1", "BERTH_VM_HUGE_PAGES=1: expected off or on");
    refused("BERTH_CELL", "C 0", "BERTH_CELL=C 0: expected 1 to 16 of a-z and 0-9");
    assert_int_equal(load("BERTH_CELL", "west1"), 0);
}

static void an_empty_value_is_none(void **state)
{
    (void)state;
    assert_int_equal(load("BERTH_LEASE", ""), 0);
    assert_int_equal(settings.lease, 10000);
    assert_int_equal(load("BERTH_LISTEN", ""), 0);
    assert_string_equal(settings.listen, "127.0.0.1:3000");
}

static void leaves_the_other_program_alone(void **state)
{
    (void)state;
    setenv("BERTH_BERTHS", "many", 1);
    assert_int_equal(settings_load(&settings, SETTINGS_API, err, sizeof(err)), 0);
    assert_int_equal(settings.berths, 8);
    assert_int_equal(settings_load(&settings, SETTINGS_WORKER, err, sizeof(err)), -1);
}

static void points_out_slips(void **state)
{
    static const char *const unrelated[] = {
        "BERTH_RANDOM_STEPS", "BERTH_FIRECRACKER", "BERTH_BUILD", "BERTH_TEST",
        "BERTH_SEED",         "BERTH_URL",         "BERTH_KEY",   "BERTH_",
        "BERTH_VERSION",      "BERTHS_LEASE_X",    "BIRTH_LEASE"};
    char name[128];

    (void)state;
    refused("BERTH_LEASES", "1", "BERTH_LEASES is not a setting: did you mean BERTH_LEASE?");
    refused("BERTH_LAESE", "1", "BERTH_LAESE is not a setting: did you mean BERTH_LEASE?");
    refused("BERTH_REDISURL", "1", "BERTH_REDISURL is not a setting: did you mean BERTH_REDIS_URL?");
    refused("BERTH_SESION_TIMOUT", "1",
            "BERTH_SESION_TIMOUT is not a setting: did you mean BERTH_SESSION_TIMEOUT?");
    refused("BERTH_WRAM", "1", "BERTH_WRAM is not a setting: did you mean BERTH_WARM?");
    refused("BERTH_API_KEY", "1", "BERTH_API_KEY is not a setting: did you mean BERTH_API_KEYS?");
    refused("BERTH_lEASE", "1", "BERTH_lEASE is not a setting: did you mean BERTH_LEASE?");
    for (size_t i = 0; i < sizeof(unrelated) / sizeof(unrelated[0]); i++)
        assert_int_equal(load(unrelated[i], "1"), 0);
    memset(name, 'X', sizeof(name) - 1);
    memcpy(name, "BERTH_", 6);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(load(name, "1"), 0);
    /* The names of the other program are names, not slips. */
    clearenv();
    setenv("BERTH_WARM", "1", 1);
    setenv("BERTH_LISTEN", "x", 1);
    assert_int_equal(settings_load(&settings, SETTINGS_API, err, sizeof(err)), 0);
    assert_int_equal(settings_load(&settings, SETTINGS_WORKER, err, sizeof(err)), 0);
}

static void keeps_messages_in_bounds(void **state)
{
    char small[16], value[5000];

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    setenv("BERTH_LEASE", value, 1);
    assert_int_equal(settings_load(&settings, SETTINGS_API, small, sizeof(small)), -1);
    assert_string_equal(small, "BERTH_LEASE=xxx");
}

/* ---- docs/settings.md ---- */

static const char *duration(long ms, char out[32])
{
    if (ms == 0)
        return strcpy(out, "0");
    if (ms % 3600000 == 0)
        snprintf(out, 32, "%ldh", ms / 3600000);
    else if (ms % 60000 == 0)
        snprintf(out, 32, "%ldm", ms / 60000);
    else if (ms % 1000 == 0)
        snprintf(out, 32, "%lds", ms / 1000);
    else
        snprintf(out, 32, "%ldms", ms);
    return out;
}

static void format_row(char *out, size_t n, const char *type, const char *name, const char *def, long min,
                       long max, const char *help)
{
    char bounds[80], low[32], high[32];

    if (strcmp(type, "str") == 0)
        snprintf(bounds, sizeof(bounds), "text");
    else if (strcmp(type, "dur") == 0)
        snprintf(bounds, sizeof(bounds), "%s to %s", duration(min, low), duration(max, high));
    else
        snprintf(bounds, sizeof(bounds), "%ld to %ld", min, max);
    snprintf(out, n, "| `%s` | %s | %s%s%s | %s |\n", name, bounds, *def ? "`" : "", def, *def ? "`" : "",
             help);
}

static void the_document_has_the_table(void **state)
{
    static const struct {
        const char *program, *type, *name, *def;
        long min, max;
        const char *help;
    } table[] = {
#define SETTING(program, type, field, name, def, min, max, help) {#program, #type, name, def, min, max, help},
#include "shared/settings.def"
#undef SETTING
    };
    char line[1024], expected[1024], part[16] = "";
    FILE *f = fopen("docs/settings.md", "r");
    size_t row = 0;

    (void)state;
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "## ", 3) == 0)
            snprintf(part, sizeof(part), "%s",
                     strstr(line, "Both")  ? "BOTH"
                     : strstr(line, "API") ? "API"
                                           : "WORKER");
        if (strncmp(line, "| `BERTH_", 9) != 0)
            continue;
        assert_true(row < sizeof(table) / sizeof(table[0]));
        format_row(expected, sizeof(expected), table[row].type, table[row].name, table[row].def,
                   table[row].min, table[row].max, table[row].help);
        assert_string_equal(line, expected); /* else: scripts/settings-doc > docs/settings.md */
        assert_string_equal(part, table[row].program);
        row++;
    }
    fclose(f);
    assert_int_equal(row, sizeof(table) / sizeof(table[0]));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(has_defaults),
        TEST(every_default_is_legal),
        TEST(reads_durations),
        TEST(reads_numbers),
        TEST(reads_words),
        TEST(an_empty_value_is_none),
        TEST(leaves_the_other_program_alone),
        TEST(points_out_slips),
        TEST(keeps_messages_in_bounds),
        TEST(the_document_has_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
