/* redis_fixture.h: a Redis of a test's own, on a unix socket in a new directory, and a loop to wait in.
 *
 * It dies with the test (also when that is killed); a failed wait prints Redis' log. */
#ifndef BERTH_TEST_REDIS_FIXTURE_H
#define BERTH_TEST_REDIS_FIXTURE_H
#include <ev.h>
#include <hiredis/hiredis.h>
#include <sys/types.h>

struct redis_address;

struct redis_fixture {
    char dir[64];
    char path[96];  /* of its socket */
    char url[128];  /* unix://… */
    int port;       /* on 127.0.0.1 too; 0: no */
    pid_t pid;      /* 0 while it does not run */
    char *extra[8]; /* further arguments, up to NULL; set before redis_fixture_run */
    struct ev_loop *loop;
    struct redis_address *address; /* of url */
    ev_timer guard;
};

/* Makes the directory and the loop, starts no Redis. cleanup ends everything and removes the directory. */
void redis_fixture_init(struct redis_fixture *f);
void redis_fixture_cleanup(struct redis_fixture *f);
/* Starts Redis (AOF on, every write synced) and waits for its PONG. After a stop or kill it has its data
 * again. */
void redis_fixture_run(struct redis_fixture *f);
void redis_fixture_stop(struct redis_fixture *f);  /* TERM, then KILL */
void redis_fixture_kill(struct redis_fixture *f);  /* kill -9 */
void redis_fixture_pause(struct redis_fixture *f); /* SIGSTOP: it takes connections and answers nothing */
void redis_fixture_resume(struct redis_fixture *f);
/* A free port of 127.0.0.1. */
int redis_fixture_free_port(void);
/* A command on a connection of its own, its reply as text (integers in decimal, arrays joined by spaces);
 * caller frees. */
char *redis_fixture_ask(struct redis_fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Asks and compares. */
#define ASK(f, expected, ...)                                                                                \
    do {                                                                                                     \
        char *answer_ = redis_fixture_ask(f, __VA_ARGS__);                                                   \
        assert_string_equal(answer_, expected);                                                              \
        free(answer_);                                                                                       \
    } while (0)

/* Runs the loop until the condition holds; the test fails after ten seconds. */
void redis_fixture_wait_begin(struct redis_fixture *f);
void redis_fixture_wait_step(struct redis_fixture *f, const char *condition, const char *file, int line);
#define UNTIL(f, condition)                                                                                  \
    do {                                                                                                     \
        redis_fixture_wait_begin(f);                                                                         \
        while (!(condition))                                                                                 \
            redis_fixture_wait_step(f, #condition, __FILE__, __LINE__);                                      \
    } while (0)
/* Runs what is due now, without waiting. */
void redis_fixture_turn(struct redis_fixture *f);

#endif
