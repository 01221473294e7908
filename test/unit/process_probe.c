/* links: worker/driver/process_probe.c worker/child.c worker/child_exec.c worker/child_run.c */
/* Tests of the look at what jail is possible: a bubblewrap that fails becomes a sentence, whatever it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/driver/process_probe.h"

/* ---- in jail.c's place: a program that ends like this ---- */

static const char *script;

int jail_prepare(struct jail *j, const struct jail_args *args, struct child_spec *spec)
{
    static char *argv[] = {(char *)"/bin/sh", (char *)"-c", NULL, NULL};

    (void)j;
    (void)args;
    argv[2] = (char *)script;
    spec->argv = argv;
    spec->pid_ns = spec->user_ns = 0;
    spec->uid = -1;
    return 0;
}

void jail_release(struct child_spec *spec)
{
    (void)spec;
}

static int probe(const char *with, char why[400])
{
    int own_sandbox = -1;

    script = with;
    return process_probe_jail(NULL, -1, 0, &own_sandbox, why, 400);
}

static void test_failures(void **state)
{
    char why[400] = "";

    (void)state;
    assert_int_equal(probe("echo 'bwrap: no namespaces'; echo more; exit 1", why), -1);
    assert_non_null(strstr(why, "(bwrap: no namespaces)"));
    assert_int_equal(probe("exit 1", why), -1);
    assert_non_null(strstr(why, "(no message)"));
    assert_int_equal(probe("exit 0", why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failures)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
