/* args.h: command lines as both programs read them: `--name value`, `--flag`, and what follows `--`. */
#ifndef FAKE_ARGS_H
#define FAKE_ARGS_H
#include <stddef.h>

#define ARGS_VALUES 16

enum args_kind { ARGS_FLAG, ARGS_VALUE, ARGS_MANY };

struct arg {
    const char *name; /* NULL ends a list, which is in alphabetical order */
    enum args_kind kind;
    int required;
    const char *fallback;
    int count; /* how often it was given */
    const char *values[ARGS_VALUES];
};

/* 0, with the arguments after `--` in *extra (NULL-terminated, of argv); or -1 with the error's words. */
int args_parse(struct arg *list, char **argv, char ***extra, char *err, size_t errlen);
const char *args_get(const struct arg *list, const char *name); /* the value or its fallback; a flag: "" */
const struct arg *args_find(const struct arg *list, const char *name);

/* 0, or -1 with the words of what is wrong with an instance's id. */
int args_check_id(const char *id, char *err, size_t errlen);

#endif
