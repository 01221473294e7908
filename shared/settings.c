/* settings.c: see settings.h. */
#include "settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys.h"

enum type { TYPE_str, TYPE_num, TYPE_dur };

struct setting {
    int program;
    enum type type;
    size_t offset; /* in struct settings */
    const char *name;
    const char *def;
    long min, max;
    const char *help;
};

static const struct setting table[] = {
#define SETTING(program, type, field, name, def, min, max, help)                                             \
    {SETTINGS_##program, TYPE_##type, offsetof(struct settings, field), name, def, min, max, help},
#include "settings.def"
#undef SETTING
};
#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

/* Settings that take one of a few words. */
static const struct {
    const char *name;
    const char *words[5];
} choices[] = {
    {"BERTH_LOG_LEVEL", {"debug", "info", "warn", "error"}},
    {"BERTH_LOG_FORMAT", {"text", "json"}},
    {"BERTH_PLACEMENT", {"spread", "pack"}},
    {"BERTH_CONNECT", {"direct", "relay"}},
    {"BERTH_VM_ACCEL", {"auto", "kvm", "tcg"}},
    {"BERTH_VM_WARM", {"running", "paused"}},
    {"BERTH_VM_RENDERER", {"fresh", "keep"}},
    {"BERTH_VM_PREFETCH", {"on", "off"}},
    {"BERTH_VM_MEMORY", {"file", "uffd"}},
    {"BERTH_VM_HUGE_PAGES", {"off", "on"}},
};

/* ---- values ---- */

static int parse_num(const char *s, long *out)
{
    char *end;

    if (*s != '-' && (*s < '0' || *s > '9'))
        return -1;
    errno = 0;
    *out = strtol(s, &end, 10);
    return errno || *end || end == s ? -1 : 0;
}

/* Digits, perhaps with a fraction, then perhaps a unit; seconds without one. */
static int parse_dur(const char *s, long *out)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double value = 0, scale = 1;
    const char *p = s;

    for (; *p >= '0' && *p <= '9'; p++)
        value = value * 10 + (*p - '0');
    if (p == s || p - s > 15)
        return -1;
    if (*p == '.') {
        const char *fraction = ++p;
        for (; *p >= '0' && *p <= '9'; p++)
            value += (*p - '0') * (scale /= 10);
        if (p == fraction)
            return -1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(p, units[i].unit) == 0) {
            value = value * units[i].ms + 0.5;
            *out = value < 1e15 ? (long)value : (long)1e15;
            return 0;
        }
    }
    return -1;
}

/* 90000 → "90s", 3600000 → "1h"; the largest unit that divides it. */
static const char *dur_text(long ms, char out[32])
{
    if (ms == 0)
        snprintf(out, 32, "0");
    else if (ms % 3600000 == 0)
        snprintf(out, 32, "%ldh", ms / 3600000);
    else if (ms % 60000 == 0)
        snprintf(out, 32, "%ldm", ms / 60000);
    else if (ms % 1000 == 0)
        snprintf(out, 32, "%lds", ms / 1000);
    else
        snprintf(out, 32, "%ldms", ms);
    return out;
}

/* Stores a checked value. Returns -1 with what was expected. */
static int store(const struct setting *t, void *field, const char *value, char *expected, size_t n)
{
    char low[32], high[32];
    long number = 0;

    switch (t->type) {
    case TYPE_str:
        memcpy(field, &value, sizeof(value));
        return 0;
    case TYPE_num:
        snprintf(expected, n, "a whole number from %ld to %ld", t->min, t->max);
        if (parse_num(value, &number) < 0 || number < t->min || number > t->max)
            return -1;
        break;
    case TYPE_dur:
        snprintf(expected, n, "a duration such as %s (%s to %s)", t->def, dur_text(t->min, low),
                 dur_text(t->max, high));
        if (parse_dur(value, &number) < 0 || number < t->min || number > t->max)
            return -1;
        break;
    }
    memcpy(field, &number, sizeof(number));
    return 0;
}

/* 1 if a text is one that its setting takes, else 0 with what was expected. */
static int check_text(const struct setting *t, const char *value, char *expected, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (strcmp(t->name, choices[i].name) != 0)
            continue;
        for (int w = 0; choices[i].words[w]; w++) {
            if (strcmp(value, choices[i].words[w]) == 0)
                return 1;
            len += (size_t)snprintf(expected + len, n - len, "%s%s",
                                    w ? (choices[i].words[w + 1] ? ", " : " or ") : "", choices[i].words[w]);
        }
        return 0;
    }
    if (strcmp(t->name, "BERTH_CELL") == 0 && !keys_is_cell(value)) {
        snprintf(expected, n, "1 to 16 of a-z and 0-9");
        return 0;
    }
    return 1;
}

/* ---- names ---- */

static int min3(int a, int b, int c)
{
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Edits (insert, delete, replace, swap of neighbours) that make a into b. Names longer than 63 are as good as
 * far. */
static int edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    int d[3][64], *older = d[0], *old = d[1], *now = d[2], *spare;

    if (n > 63 || m > 63)
        return 64;
    for (size_t j = 0; j <= m; j++)
        old[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = min3(old[j] + 1, now[j - 1] + 1, old[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && older[j - 2] + 1 < now[j])
                now[j] = older[j - 2] + 1;
        }
        spare = older, older = old, old = now, now = spare;
    }
    return old[m];
}

/* The setting that an unknown name (of length n) is probably a slip of, or NULL. Short names are allowed one
 * edit only: two would make BERTH_TEST a slip of BERTH_NET. */
static const char *slip_of(const char *name, size_t n)
{
    const char *best = NULL;
    int least = 3;

    for (size_t i = 0; i < TABLE_LEN; i++) {
        size_t m = strlen(table[i].name), shorter = (n < m ? n : m) - strlen("BERTH_");
        int d = edit_distance(name, n, table[i].name, m);
        if (d == 0)
            return NULL;
        if (d < least && d <= (shorter > 4 ? 2 : 1)) {
            least = d;
            best = table[i].name;
        }
    }
    return best;
}

static int check_names(char *err, size_t errlen)
{
    for (char **e = environ; e && *e; e++) {
        size_t n = strcspn(*e, "=");
        const char *meant;
        if (strncmp(*e, "BERTH_", 6) != 0 || !(meant = slip_of(*e, n)))
            continue;
        snprintf(err, errlen, "%.*s is not a setting: did you mean %s?", (int)n, *e, meant);
        return -1;
    }
    return 0;
}

int settings_load(struct settings *s, enum settings_program program, char *err, unsigned errlen)
{
    char expected[128];

    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < TABLE_LEN; i++) {
        const struct setting *t = &table[i];
        const char *value = t->program & (int)program ? getenv(t->name) : NULL;
        if (!value || !*value)
            value = t->def;
        if (store(t, (char *)s + t->offset, value, expected, sizeof(expected)) < 0 ||
            (t->type == TYPE_str && !check_text(t, value, expected, sizeof(expected)))) {
            snprintf(err, errlen, "%s=%s: expected %s", t->name, value, expected);
            return -1;
        }
    }
    return check_names(err, errlen);
}

void settings_help(enum settings_program program)
{
    for (size_t i = 0; i < TABLE_LEN; i++)
        if (table[i].program & (int)program)
            printf("  %-26s %s%s%s%s\n", table[i].name, table[i].help, *table[i].def ? " [" : "",
                   table[i].def, *table[i].def ? "]" : "");
}
