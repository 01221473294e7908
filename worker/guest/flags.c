/* flags.c: see flags.h. */
#include "flags.h"

#include <stdio.h>
#include <string.h>

#define DISABLE "--disable-features="

static int add_features(struct flags *f, const char *names)
{
    size_t used = strlen(f->features), room = sizeof(f->features) - used;
    int n = snprintf(f->features + used, room, "%s%s", used ? "," : DISABLE, names);

    return n < 0 || (size_t)n >= room ? -1 : 0;
}

static int put(struct flags *f, const char *flag)
{
    if (f->count + 1 >= FLAGS_MAX)
        return -1;
    f->argv[f->count++] = flag;
    f->argv[f->count] = NULL;
    return 0;
}

int flags_add(struct flags *f, const char *flag)
{
    if (strncmp(flag, DISABLE, strlen(DISABLE)) != 0)
        return put(f, flag);
    flag += strlen(DISABLE);
    return *flag ? add_features(f, flag) : 0;
}

int flags_end(struct flags *f, const char *last)
{
    if (f->features[0] && put(f, f->features) != 0)
        return -1;
    return put(f, last);
}
