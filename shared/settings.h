/* settings.h: every setting of every program in one table (settings.def), read from the environment.
 * docs/settings.md has each of them; a test compares the two. */
#ifndef BERTH_SETTINGS_H
#define BERTH_SETTINGS_H

/* SETTING(program, type, field, "BERTH_NAME", default text, min, max, "help")
 * program: API, WORKER or BOTH. type: str (min, max unused), num (a whole number), dur (seconds as a
 * number, or with a unit ms, s, m, h; stored in ms, min and max are in ms). */
enum settings_program { SETTINGS_API = 1, SETTINGS_WORKER = 2, SETTINGS_BOTH = 3 };

struct settings {
#define SETTINGS_TYPE_str                                        const char *
#define SETTINGS_TYPE_num                                        long
#define SETTINGS_TYPE_dur                                        long
#define SETTING(program, type, field, name, def, min, max, help) SETTINGS_TYPE_##type field;
#include "settings.def"
#undef SETTING
};

/* Reads the environment. A value of the wrong form or out of bounds, a word that its setting does not know,
 * and an unknown BERTH_* name that looks like a slip of one of these (edit distance 1 or 2) are refused. 0,
 * or -1 with name, value and what would be right in err. Strings point into the environment: keep it. */
int settings_load(struct settings *s, enum settings_program program, char *err, unsigned errlen);
/* Prints the table for `--help`: name, default, text; only that program's. */
void settings_help(enum settings_program program);

#endif
