/* page_monitor.h: a machine's monitor as a page server knows it, played by a child process with a real
 * userfaultfd: it registers memory of its own, sends what a monitor sends (or nonsense), and looks at what it
 * finds in its pages. None of this may assert: a child's verdict is its exit status. 90 to 99: it could not
 * be played. */
#ifndef BERTH_TEST_PAGE_MONITOR_H
#define BERTH_TEST_PAGE_MONITOR_H
#include <stddef.h>
#include <stdint.h>

#define PAGE_MONITOR_PAGE    4096u
#define PAGE_MONITOR_HUGE    (2u << 20)
#define PAGE_MONITOR_MAP_2MB (21 << 26) /* of mmap, with MAP_HUGETLB */
#define PAGE_MONITOR_PAGES   2048u      /* of the snapshot's memory */
#define PAGE_MONITOR_SIZE    ((size_t)PAGE_MONITOR_PAGES * PAGE_MONITOR_PAGE)
#define PAGE_MONITOR_HALF    (PAGE_MONITOR_SIZE / 2)

struct page_monitor {
    int uffd, connection;
    unsigned char *mem;
};

extern unsigned page_monitor_unit; /* the pages of its memory; inherited by the child */

/* What page n of the snapshot has in all of its words. */
uint64_t page_monitor_content(unsigned n);
int page_monitor_is(const unsigned char *page, uint64_t word);
/* Where page n of the file is in the monitor's memory. */
unsigned char *page_monitor_place(const struct page_monitor *m, unsigned n);

int page_monitor_userfaultfd(void); /* -1 with errno */
/* To server n of the fixture's (page_fixture.h). */
int page_monitor_connect(int n);
int page_monitor_send(int connection, const char *text, size_t len, const int *fds, int count);
/* What it sends of its memory, two halves that lie the other way round than in the file. */
void page_monitor_regions(char *out, size_t size, const struct page_monitor *m);
void page_monitor_open(struct page_monitor *m, int n);  /* all but the message */
void page_monitor_begin(struct page_monitor *m, int n); /* that too */
/* Ends with 1 unless every page is there. */
void page_monitor_expect_all(const struct page_monitor *m);

/* Whole lives of one, for page_fixture_fork. */
void page_monitor_reads_all(int n);
void page_monitor_waits(int n); /* to be killed, after its first page */

#endif
