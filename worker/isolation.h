/* isolation.h: the host's isolation record: what protects browsers less here than it could, a word each
 * ("no-cgroup,no-memory-limit"); empty where nothing is missing. */
#ifndef BERTH_ISOLATION_H
#define BERTH_ISOLATION_H

/* Adds a word to the record of len bytes and warns of it, with why: nobody should run reduced without
 * knowing. */
void isolation_reduced(char *record, unsigned len, const char *word, const char *why);

#endif
