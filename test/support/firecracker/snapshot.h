/* snapshot.h: the state file (magic, version, the machine's devices and its guest, CRC) beside the memory
 * file (memory.h). Both are the fake's own inside; they are refused when, and in the words in which, the real
 * one's are. */
#ifndef FAKE_SNAPSHOT_H
#define FAKE_SNAPSHOT_H
#include "reader.h"
#include "text.h"

#define SNAPSHOT_VERSION "10.0.0"

int snapshot_create(const struct value *v, struct fault *f); /* 0, or -1 with the whole fault */
/* 0 with a paused machine, or -1 with the whole fault: the process is of no use any more. */
int snapshot_load(const struct value *v, struct fault *f);
/* The version in a state file; 0, or -1 with the fault. */
int snapshot_describe(const char *path, char version[40], struct fault *f);

#endif
