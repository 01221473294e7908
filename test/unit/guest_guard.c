/* guest_guard.c: which processes of a guest are renderers, whether any of them outlived a restore, and their
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/fake_proc.h"
#include "worker/guest/guard.h"
#include "worker/guest/processes.h"
/* links: worker/guest/guard.c worker/guest/processes.c test/support/fake_proc.c */

static const char *proc;

#define ADD(pid, name, state, flags, start, cmdline)                                                         \
    fake_proc_put(                                                                                           \
        &(struct fake_process){pid, name, state, flags, 30, 12, start, cmdline, sizeof(cmdline) - 1})
/* A program's own arguments, and what Chromium's zygote writes over them in a child. */
#define BROWSER  "/usr/lib/chromium/chromium-headless-shell\0--remote-debugging-port=9222\0about:blank\0"
#define ZYGOTE   "/usr/lib/chromium/chromium-headless-shell --type=zygote --headless=old "
#define GPU      "/usr/lib/chromium/chromium-headless-shell --type=gpu-process --headless=old"
#define RENDERER "/usr/lib/chromium/chromium-headless-shell --type=renderer --headless=old --lang=en-US "

static int make_guest(void **state)
{
    (void)state;
    proc = fake_proc_open();
    ADD(1, "init", 'S', 0x400100, 1, "/init\0");
    ADD(2, "kthreadd", 'S', PROCESS_KERNEL, 1, "");
    ADD(40, "chromium-headle", 'S', 0x400100, 100, BROWSER);
    ADD(41, "chromium-headle", 'S', 0x400100, 101, ZYGOTE);
    ADD(42, "chromium-headle", 'S', 0x400100, 102, GPU);
    ADD(50, "chromium-headle", 'S', 0x400140, 110, RENDERER);
    return 0;
}

static int remove_guest(void **state)
{
    (void)state;
    fake_proc_close();
    return 0;
}

static void test_who_is_a_renderer(void **state)
{
    struct guard g;

    (void)state;
    assert_int_equal(guard_look(proc, &g), 0);
    assert_int_equal(g.count, 1);
    assert_int_equal(g.renderers[0].pid, 50);
    assert_int_equal(g.renderers[0].start, 110);
    assert_true(guard_has(&g, 50));
    assert_false(guard_has(&g, 5));
    /* Arguments between NULs; at the end; a name with brackets and blanks. */
    ADD(51, "a) R 1 (b", 'R', 0, 111, "chromium\0--type=renderer\0--lang=en\0");
    ADD(52, "c", 'S', 0, 112, "chromium --type=renderer");
    /* Almost. */
    ADD(53, "d", 'S', 0, 113, "chromium --type=rendererx --no--type=renderer");
    ADD(54, "e", 'S', 0, 114, "chromium --type=utility --sub=x--type=renderer");
    ADD(55, "f", 'Z', 0, 115, RENDERER); /* dead, not reaped */
    ADD(56, "--type=renderer", 'S', 0, 116, "");
    assert_int_equal(guard_look(proc, &g), 0);
    assert_int_equal(g.count, 3);
    assert_true(guard_has(&g, 50) && guard_has(&g, 51) && guard_has(&g, 52));
    for (int pid = 51; pid <= 56; pid++)
        fake_proc_remove(pid);
}

static void test_what_is_no_process(void **state)
{
    struct guard g;

    (void)state;
    ADD(60, "x", 'S', 0, 120, RENDERER);
    fake_proc_write("60/stat", "60 (x) S 1 1"); /* cut short */
    assert_int_equal(guard_look(proc, &g), 0);
    assert_int_equal(g.count, 1);
    fake_proc_write("60/stat", ""); /* it ends while it is looked at */
    assert_int_equal(guard_look(proc, &g), 0);
    assert_int_equal(g.count, 1);
    fake_proc_remove(60);
    assert_int_equal(guard_look("/nowhere", &g), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_who_outlived(void **state)
{
    struct guard then, now;

    (void)state;
    assert_int_equal(guard_look(proc, &then), 0);
    assert_int_equal(guard_look(proc, &now), 0);
    assert_int_equal(guard_left(&then, &now), 1);
    ADD(51, "r", 'S', 0, 130, RENDERER); /* a new one besides the old one */
    assert_int_equal(guard_look(proc, &now), 0);
    assert_int_equal(now.count, 2);
    assert_int_equal(guard_left(&then, &now), 1);
    fake_proc_remove(50);
    assert_int_equal(guard_look(proc, &now), 0);
    assert_int_equal(guard_left(&then, &now), 0);
    ADD(50, "r", 'S', 0, 140, RENDERER); /* the same pid, another process */
    assert_int_equal(guard_look(proc, &now), 0);
    assert_int_equal(now.count, 2);
    assert_int_equal(guard_left(&then, &now), 0);
    fake_proc_remove(51);
    ADD(50, "chromium-headle", 'S', 0, 110, RENDERER);
}

static void test_more_than_it_holds(void **state)
{
    struct guard g;

    (void)state;
    for (int i = 0; i < GUARD_MAX; i++)
        ADD(100 + i, "r", 'S', 0, 200, RENDERER);
    assert_int_equal(guard_look(proc, &g), -1);
    assert_int_equal(errno, E2BIG);
    fake_proc_remove(100);
    assert_int_equal(guard_look(proc, &g), 0);
    assert_int_equal(g.count, GUARD_MAX);
    for (int i = 0; i < GUARD_MAX; i++)
        fake_proc_remove(100 + i);
}

static struct guard_renderer start_child(void)
{
    pid_t pid = fork();
    struct process p;

    if (pid == 0)
        for (;;)
            pause();
    assert_true(pid > 0);
    assert_int_equal(process_read(PROCESSES_PROC, pid, &p), 0);
    return (struct guard_renderer){pid, p.start};
}

static void test_their_end(void **state)
{
    struct guard g = {.count = 4};
    int status;

    (void)state;
    for (int i = 0; i < 3; i++)
        g.renderers[i] = start_child();
    g.renderers[1].start++; /* somebody else by now: is spared */
    g.renderers[3] = start_child();
    kill(g.renderers[3].pid, SIGKILL); /* has died and is gone */
    assert_int_equal(waitpid(g.renderers[3].pid, &status, 0), g.renderers[3].pid);
    assert_int_equal(guard_kill(PROCESSES_PROC, &g, 60000), 0);
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(waitpid(g.renderers[i].pid, &status, WNOHANG), g.renderers[i].pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_int_equal(waitpid(g.renderers[1].pid, &status, WNOHANG), 0);
    kill(g.renderers[1].pid, SIGKILL);
    assert_int_equal(waitpid(g.renderers[1].pid, &status, 0), g.renderers[1].pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_a_renderer), cmocka_unit_test(test_what_is_no_process),
        cmocka_unit_test(test_who_outlived),      cmocka_unit_test(test_more_than_it_holds),
        cmocka_unit_test(test_their_end),
    };

    return cmocka_run_group_tests(tests, make_guest, remove_guest);
}
