/* process_fixture.h: the process driver under test with a real Chromium: its events counted in a loop, and a
 * look at what is left of it on the host. As root: networks, cgroups and rules are real too. */
#ifndef BERTH_TEST_PROCESS_FIXTURE_H
#define BERTH_TEST_PROCESS_FIXTURE_H
#include <ev.h>

#include "shared/settings.h"
#include "worker/driver.h"
#include "worker/profile.h"

#define PROCESS_FIXTURE_BERTHS 2

struct process_fixture {
    struct ev_loop *loop;
    struct driver *driver;
    char worker_id[64], isolation[128], why[400]; /* why: of the last on_down */
    long uid_base;
    int ups, downs, cleans; /* events, since the driver was opened */
    struct settings settings;
    struct profile profile;
    const struct profile_set *profiles; /* what the driver is told of them: nothing, most of the time */
};
extern struct process_fixture process_fixture;

/* Names, settings and a profile of this program's own; before the tests. */
void process_fixture_init(void);
/* 0, or -1 with err. */
int process_fixture_open(char err[400]);
/* Skips the test without root or a browser. */
void process_fixture_open_or_skip(void);
/* Nothing of it is left then. */
void process_fixture_close(void);
/* Runs the loop until the counter has this value. */
void process_fixture_wait(const int *counter, int value);
void process_fixture_stop(int berth); /* until it is clean */
/* Processes of this test's users that are not just waiting to be reaped. */
int process_fixture_processes(void);
/* Entries of a folder with this in their names; 0 where there is no folder. */
int process_fixture_names(const char *folder, const char *part);

#endif
