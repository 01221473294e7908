/* json.c: json_parse on any bytes. What it takes has to print and parse again to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[128] = "", *text, *again;
    cJSON *v = json_parse((const char *)data, size, err, sizeof(err));

    if (!v) {
        if (err[0] == '\0')
            abort();
        return 0;
    }
    text = json_print(v);
    cJSON_Delete(v);
    v = json_parse(text, strlen(text), err, sizeof(err));
    if (!v)
        abort();
    again = json_print(v);
    if (strcmp(text, again) != 0)
        abort();
    free(text);
    free(again);
    cJSON_Delete(v);
    return 0;
}
