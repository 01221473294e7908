/* links: worker/vmm_process.c worker/vmm_tail.c worker/child.c worker/child_exec.c worker/child_run.c */
/* Tests of a monitor's process: what it leaves to say, and that nothing of it is left when its end is told.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/mem.h"
#include "worker/vmm_process.h"

struct vmm {
    struct vmm_process process;
};

static struct ev_loop *loop;
static char order[64], why[400];

static void release(struct vmm *v)
{
    (void)v;
    strcat(order, "release ");
}

static void on_step(void *arg, enum vmm_step step, const char *error)
{
    (void)arg, (void)step, (void)error;
}

static void on_exit_(void *arg, const char *reason)
{
    assert_ptr_equal(arg, order);
    strcat(order, "exit ");
    strcpy(why, reason);
    ev_break(loop, EVBREAK_ALL);
}

static struct vmm *start(const char *script)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};
    struct child_spec spec = {.argv = argv, .fd_count = 3, .uid = -1};
    struct vmm_events events = {on_step, on_exit_, order};
    struct vmm_place place = {.net_ns = -1};
    struct vmm *v = mem_alloc(sizeof(*v));

    order[0] = why[0] = '\0';
    vmm_process_init(&v->process, "The monitor", &events, release);
    if (vmm_process_start(&v->process, loop, &place, &spec) != 0) {
        vmm_process_release(v);
        print_message("skipped: no PID namespaces here\n");
        skip();
    }
    return v;
}

/* Whoever hears of the end may start another one in the same place: nothing of the former is taken away then.
 */
static void test_end(void **state)
{
    (void)state;
    start("echo first; echo the reason >&2; exit 3");
    ev_run(loop, 0);
    assert_string_equal(order, "release exit ");
    assert_string_equal(why, "The monitor exited with status 3: the reason");
}

static void test_kill(void **state)
{
    struct vmm *v;

    (void)state;
    v = start("sleep 600");
    vmm_process_step(&v->process, VMM_LOAD, "no such snapshot");
    vmm_process_kill(v);
    ev_run(loop, 0);
    assert_string_equal(order, "release exit ");
    assert_non_null(strstr(why, "was killed by signal 9"));
    assert_non_null(strstr(why, "load: no such snapshot"));
    v = start("sleep 600");
    assert_int_equal(vmm_process_finish(v, 60000), 0);
    assert_string_equal(order, "release ");
}

/* A worker with many berths and clients has more descriptors than it grants to a monitor. */
static void test_many_descriptors(void **state)
{
    static int fds[3000];
    struct rlimit before, more;
    int count = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    more = (struct rlimit){before.rlim_max, before.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &more);
    while (count < 3000 && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    start("exit 3");
    ev_run(loop, 0);
    while (count > 0)
        close(fds[--count]);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    assert_string_equal(why, "The monitor exited with status 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_end), cmocka_unit_test(test_kill),
                                       cmocka_unit_test(test_many_descriptors)};

    loop = ev_default_loop(EVFLAG_AUTO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
