/* reader.h: JSON read into a table of typed fields, as strictly as the real one's deserializer: unknown and
 * duplicate fields, missing ones, wrong types, numbers out of range; errors in its words, with line and
 * column. */
#ifndef FAKE_READER_H
#define FAKE_READER_H
#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_BOOL,
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_STRING,
    FIELD_PATH,
    FIELD_MAC,
    FIELD_ENUM,   /* one of variants */
    FIELD_STRUCT, /* table */
    FIELD_LIST,   /* of table; of strings if NULL */
    FIELD_ANY     /* read over */
};

/* optional: may be null or missing; defaulted: may be missing; required: neither. */
enum field_need { FIELD_REQUIRED, FIELD_DEFAULTED, FIELD_OPTIONAL };

struct field {
    const char *name;
    enum field_type type;
    enum field_need need;
    const struct table *table;
    const char *const *variants; /* ended by NULL */
    int since;                   /* minor version of Firecracker 1 that brought it */
};

struct table {
    const char *name;
    const struct field *fields; /* ended by one without a name */
    int lax;                    /* unknown fields are ignored */
};

struct value {
    int set; /* given, and not null */
    uint64_t number;
    char *text;
    int variant, boolean;
    struct value *fields; /* in the table's order; of a list: count values */
    int count;
};

/* Which version the tables are to be those of (fields.since). */
extern int reader_minor;

/* 0 with values for the table's fields in *out (reader_free), or -1 with the error's words in err. */
int reader_parse(const struct table *table, const char *text, size_t len, struct value *out, char *err,
                 size_t errlen);
void reader_free(struct value *v);
/* Of a struct's value; the name must be the table's. */
const struct value *reader_get(const struct table *table, const struct value *v, const char *name);

#endif
