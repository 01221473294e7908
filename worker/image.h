/* image.h: what a guest boots from: a folder with kernel, initrd, root and image.json, made by scripts/image
 * (docs/microvm.md). */
#ifndef BERTH_IMAGE_H
#define BERTH_IMAGE_H
#include <netinet/in.h>
#include <stddef.h>

#include "../shared/errors.h"

enum image_part { IMAGE_KERNEL, IMAGE_INITRD, IMAGE_ROOT, IMAGE_PARTS };

struct image {
    char paths[IMAGE_PARTS][512];
    char key[65];       /* hash over the three files and the command line */
    char cmdline[1024]; /* of the kernel, without what depends on the machine monitor */
    int cdp_port;
    struct in_addr address, gateway; /* of the guest's network */
    int prefix;
};

/* Reads the folder's image.json and holds the files against their sizes. 0, or -1 with a sentence. */
int image_load(struct image *image, const char *folder, char *err, size_t errlen) MUST_USE;
/* The text of image.json, apart for tests; does not look at the files. sizes: of each part. */
int image_parse(struct image *image, const char *folder, const char *text, size_t len,
                long long sizes[IMAGE_PARTS], char *err, size_t errlen) MUST_USE;

#endif
