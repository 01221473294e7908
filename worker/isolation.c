/* isolation.c: see isolation.h. */
#include "isolation.h"

#include <stdio.h>
#include <string.h>

#include "../shared/log.h"

void isolation_reduced(char *record, unsigned len, const char *word, const char *why)
{
    size_t used = strlen(record);

    snprintf(record + used, len - used, "%s%s", used ? "," : "", word);
    log_warn("isolation_reduced", "missing=%s why=%s", word, why);
}
