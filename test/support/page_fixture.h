/* page_fixture.h: page servers under test, in a loop, with a snapshot's memory to serve; their monitors are
 * children (page_monitor.h). A wait turns the loop until something is there, no fixed time. */
#ifndef BERTH_TEST_PAGE_FIXTURE_H
#define BERTH_TEST_PAGE_FIXTURE_H
#include <sys/types.h>

#include "shared/clock.h"
#include "worker/page_server.h"

#define PAGE_FIXTURE_SERVERS     2
#define PAGE_FIXTURE_PATIENCE_MS 90000

struct page_fixture {
    struct ev_loop *loop;
    int memory; /* the file, whose page n is of page_monitor_content(n) */
    char folder[64], paths[PAGE_FIXTURE_SERVERS][256];
    struct page_server *servers[PAGE_FIXTURE_SERVERS];
    char failures[PAGE_FIXTURE_SERVERS][200]; /* the last one */
    int failed[PAGE_FIXTURE_SERVERS];         /* how often */
    const char *refused;                      /* why there are no userfaultfds here; NULL: there are */
};
extern struct page_fixture page_fixture;

/* cmocka's: of each test, and of all of them. */
int page_fixture_set_up(void **state);
int page_fixture_tear_down(void **state);
int page_fixture_set_up_all(void **state);
int page_fixture_tear_down_all(void **state);
#define PAGE_TEST(name) cmocka_unit_test_setup_teardown(name, page_fixture_set_up, page_fixture_tear_down)

void page_fixture_start(int n, const struct working_set *set);
void page_fixture_stop(int n);

/* A child that is this monitor, of server n. */
pid_t page_fixture_fork(void (*monitor)(int n), int n);
int page_fixture_reap(pid_t pid); /* its exit status; -1: a signal */
void page_fixture_kill(pid_t pid);

/* Turns the loop once, for 5 ms at most; the test fails when it is too long since. */
void page_fixture_turn(double since);
#define UNTIL(condition)                                                                                     \
    do                                                                                                       \
        for (double since_ = clock_mono_ms(); !(condition);)                                                 \
            page_fixture_turn(since_);                                                                       \
    while (0)

/* Entries of a folder. */
int page_fixture_entries(const char *path);
/* Descriptors and threads of this process; one that has been joined may be seen for another moment. */
void page_fixture_expect_as_before(int fds, int threads);

#endif
