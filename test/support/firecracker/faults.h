/* faults.h: what a test wants to go wrong, in a file named `faults` beside the jailer, or the one that the
 * environment's FAKE_FIRECRACKER_FAULTS names. It is looked at whenever it matters, so a test may change it
 * (in place) while the programs run. A line each:
 *
 *   version 1.15.0      says that it is this version, and knows no newer fields
 *   jailer die          the jailer gives up
 *   spawn die|hang      firecracker ends, or never listens on its API socket
 *   refuse PATH         400 for requests to PATH
 *   hang PATH           never answers it, nor anything after it
 *   die PATH            ends instead of answering
 *   close PATH          closes the connection instead of answering
 *   guest silent        the guest never says anything
 *   guest refuse        it refuses connections to its vsock port
 *   guest fail          it says that it could not be restored
 *   guest crash         its browser dies as it becomes ready
 *   guest nonsense      it talks nonsense
 *   cdp silent          the browser takes connections and never answers */
#ifndef FAKE_FAULTS_H
#define FAKE_FAULTS_H

/* Descriptors that the jailer leaves to firecracker, as nobody inside the jail could make them. */
#define FAKE_FD_FAULTS   50
#define FAKE_FD_TAP      51
#define FAKE_FD_LISTENER 52
#define FAKE_FD_ENV      "FAKE_FIRECRACKER_INHERITED"

void faults_open(const char *path); /* NULL: none; nothing if it cannot be opened */
void faults_inherit(void);
/* The rest of the line that starts with word, valid until the next call; NULL: there is none. */
const char *faults_get(const char *word);
int faults_has(const char *word, const char *value);

#endif
