/* image.c: see image.h. */
#include "image.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../shared/json.h"
#include "guest/protocol.h"

#define TEXT_MAX (64 * 1024)

static const char *const part_names[IMAGE_PARTS] = {"kernel", "initrd", "root"};

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A whole number within bounds, or -1. */
static long long number(const cJSON *object, const char *name, double max)
{
    const cJSON *v = member(object, name);

    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 1 && v->valuedouble <= max) ||
        v->valuedouble != (double)(long long)v->valuedouble)
        return -1;
    return (long long)v->valuedouble;
}

static int is_digest(const char *s)
{
    return s && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* A name in the image's folder, nothing that leads out of it. */
static int is_file_name(const char *s)
{
    return s && *s && *s != '.' && strlen(s) < 128 && !strchr(s, '/');
}

static const char *take_part(struct image *image, const char *folder, const cJSON *part, enum image_part i,
                             long long *size)
{
    const char *file = cJSON_GetStringValue(member(part, "file"));

    *size = number(part, "size", 1e12);
    if (!is_file_name(file) || *size < 0 || !is_digest(cJSON_GetStringValue(member(part, "sha256"))))
        return "lacks file, size or sha256 of a part";
    if (snprintf(image->paths[i], sizeof(image->paths[i]), "%s/%s", folder, file) >=
        (int)sizeof(image->paths[i]))
        return "is in a folder whose path is too long";
    return NULL;
}

static int take_address(const cJSON *root, const char *name, struct in_addr *out)
{
    const char *text = cJSON_GetStringValue(member(root, name));

    return text && inet_pton(AF_INET, text, out) == 1 ? 0 : -1;
}

static const char *take(struct image *image, const char *folder, const cJSON *root, long long *sizes)
{
    const char *cmdline = cJSON_GetStringValue(member(root, "cmdline"));
    const char *key = cJSON_GetStringValue(member(root, "key"));

    if (number(root, "protocol", 1e6) != GUEST_PROTOCOL)
        return "speaks another version of the control protocol: build it anew";
    for (int i = 0; i < IMAGE_PARTS; i++) {
        const char *wrong =
            take_part(image, folder, member(root, part_names[i]), (enum image_part)i, &sizes[i]);

        if (wrong)
            return wrong;
    }
    if (!is_digest(key))
        return "lacks its key";
    if (!cmdline || strlen(cmdline) >= sizeof(image->cmdline))
        return "lacks a command line, or has one that is too long";
    image->cdp_port = (int)number(root, "cdpPort", 65535);
    image->prefix = (int)number(root, "prefix", 30);
    if (image->cdp_port < 0 || image->prefix < 0 || take_address(root, "address", &image->address) != 0 ||
        take_address(root, "gateway", &image->gateway) != 0)
        return "lacks cdpPort, address, prefix or gateway";
    strcpy(image->key, key);
    strcpy(image->cmdline, cmdline);
    return NULL;
}

int image_parse(struct image *image, const char *folder, const char *text, size_t len,
                long long sizes[IMAGE_PARTS], char *err, size_t errlen)
{
    char what[160];
    cJSON *root = json_parse(text, len, what, sizeof(what));
    const char *wrong;

    memset(image, 0, sizeof(*image));
    if (!root) {
        snprintf(err, errlen, "%.300s/image.json is no JSON: %s", folder, what);
        return -1;
    }
    wrong = take(image, folder, root, sizes);
    if (wrong)
        snprintf(err, errlen, "%.300s/image.json %s", folder, wrong);
    cJSON_Delete(root);
    return wrong ? -1 : 0;
}

int image_load(struct image *image, const char *folder, char *err, size_t errlen)
{
    static char text[TEXT_MAX];
    char path[600];
    long long sizes[IMAGE_PARTS];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%.512s/image.json", folder);
    f = fopen(path, "re");
    if (!f) {
        snprintf(err, errlen, "there is no image for microVMs: %s: %s (scripts/image builds one)", path,
                 strerror(errno));
        return -1;
    }
    n = fread(text, 1, sizeof(text), f);
    fclose(f);
    if (image_parse(image, folder, text, n, sizes, err, errlen) != 0)
        return -1;
    for (int i = 0; i < IMAGE_PARTS; i++) {
        struct stat st;

        if (stat(image->paths[i], &st) != 0 || st.st_size != sizes[i]) {
            snprintf(err, errlen, "%s is missing or not as long as image.json says: build the image anew",
                     image->paths[i]);
            return -1;
        }
    }
    return 0;
}
