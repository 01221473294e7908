/* report.h: what the worker tells the scripts about its berths' turns. Reports of one berth arrive in the
 * order in which they were made, over lost connections too (redis_script_retry); each carries the epoch it
 * was made under. Answers that matter go to turn.c. */
#ifndef BERTH_REPORT_H
#define BERTH_REPORT_H

struct berth;
struct report;
struct worker;

struct reports {
    struct report *first; /* without an answer yet */
    int count, freed;     /* of these, so many say `freed` */
};

/* The berth is warm: its secret and timings are published. */
void report_offer(struct berth *b);
/* The berth's session has its browser. */
void report_ready(struct berth *b);
/* The browser of this turn did not come up, or broke. */
void report_failed(struct berth *b, const char *why);
/* Nothing is left of this turn. */
void report_freed(struct berth *b, long long turn);
/* The session on this berth is over, for a reason of the worker's own. */
void report_release(struct berth *b, const char *reason);
/* May the warm berth be taken back? */
void report_withdraw(struct berth *b);
/* Reports without an answer. */
int report_pending(const struct worker *w);
/* After redis_free, which drops them. */
void report_cleanup(struct worker *w);

#endif
