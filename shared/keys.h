/* keys.h: every Redis key that C code names itself; scripts have lua/include/keys.lua. docs/protocol.md
 * describes them. Each writes into out (KEYS_MAX bytes) and returns out. */
#ifndef BERTH_KEYS_H
#define BERTH_KEYS_H

#define KEYS_MAX         256
#define KEYS_ID_MAX      64 /* longest worker, project or profile name */
#define KEYS_SESSION_MAX 48

const char *keys_prefix(char *out, const char *cell); /* berth:{c0} */
const char *keys_jobs(char *out, const char *cell, const char *worker);
const char *keys_berths(char *out, const char *cell, const char *worker);
const char *keys_worker(char *out, const char *cell, const char *worker);
const char *keys_workers(char *out, const char *cell);
const char *keys_profiles(char *out, const char *cell);
const char *keys_queue(char *out, const char *cell, const char *profile);
const char *keys_warm(char *out, const char *cell, const char *profile);
const char *keys_projects(char *out, const char *cell);
const char *keys_project(char *out, const char *cell, const char *project);
const char *keys_changed(char *out, const char *cell, const char *session);
/* A new session id for the cell; out has KEYS_SESSION_MAX bytes. */
void keys_new_session(char *out, const char *cell);
/* 1 if id has the form of a session id of this cell. */
int keys_is_session(const char *id, const char *cell);
/* 1 if s is a legal worker, project or profile name: 1 to 64 of A-Za-z0-9._- */
int keys_is_name(const char *s);
/* 1 if s is a legal cell name: 1 to 16 of a-z0-9 */
int keys_is_cell(const char *s);

#endif
