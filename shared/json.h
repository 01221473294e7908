/* json.h: cJSON for hostile input: a checked parse and typed member access. */
#ifndef BERTH_JSON_H
#define BERTH_JSON_H
#include <cjson/cJSON.h>
#include <stddef.h>

#include "errors.h"

/* Parses exactly one value. Refuses: invalid UTF-8, nesting over 32, duplicate keys in an object, bytes after
 * the value, raw control characters, NUL in strings (\u0000), numbers that are not finite. NULL with a
 * message (with the byte's offset) in err. */
cJSON *json_parse(const char *text, size_t len, char *err, size_t errlen) MUST_USE;
/* Text without white space; caller frees with free(). */
char *json_print(const cJSON *v) MUST_USE;

#endif
