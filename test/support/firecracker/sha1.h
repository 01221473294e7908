/* sha1.h: the one hash a WebSocket needs. */
#ifndef FAKE_SHA1_H
#define FAKE_SHA1_H
#include <stddef.h>

void sha1_base64(const char *data, size_t len, char out[29]); /* len: at most 119 */

#endif
