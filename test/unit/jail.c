/* links: worker/jail.c worker/jail_filter.c worker/child.c worker/child_exec.c worker/child_run.c */
/* Tests of the jail itself: a shell runs in it and says what it sees and what it may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/child.h"
#include "worker/jail.h"

#define UID      987654
#define LIMIT_MS 20000

static struct jail *jail;

static int set_up(void **state)
{
    char err[200];

    (void)state;
    setenv("BERTH_TEST_SECRET", "hunter2", 1);
    jail = jail_new("nameserver 127.0.0.1\n", err, sizeof(err));
    if (!jail)
        print_message("no jail: %s\n", err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    jail_free(jail);
    return 0;
}

/* What the script printed. Its exit status has to be 0. */
static char *run(const char *script)
{
    char *argv[] = {(char *)"-c", (char *)script, NULL};
    struct jail_args args = {"/usr/bin/sh", argv, 2, 4};
    struct child_spec spec = {
        .pid_ns = 1, .user_ns = geteuid() != 0, .net_ns = -1, .uid = geteuid() == 0 ? UID : -1};
    struct buf output = {0};
    int status;

    if (!jail)
        skip();
    assert_int_equal(jail_prepare(jail, &args, &spec), 0);
    status = child_run_spec(&spec, NULL, &output, LIMIT_MS);
    jail_release(&spec);
    if (output.data && strstr(output.data, "bwrap: ")) {
        print_message("no jail: %s", output.data);
        buf_cleanup(&output);
        skip();
    }
    if (status != 0)
        fail_msg("status %d: %s", status, output.data ? output.data : "");
    return buf_take(&output);
}

static void expect(const char *script, const char *output)
{
    char *got = run(script);

    assert_string_equal(got, output);
    free(got);
}

static void test_identity(void **state)
{
    (void)state;
    expect("id -u; id -g; id -un; hostname; pwd", "1000\n1000\nberth\nberth\n/tmp\n");
    expect("cat /etc/resolv.conf; cat /etc/hosts", "nameserver 127.0.0.1\n127.0.0.1 localhost berth\n");
    expect("env | grep -c -e SECRET -e hunter2 || true", "0\n");
    expect("grep -E '^(NoNewPrivs|CapEff|CapBnd|Seccomp):' /proc/self/status | tr -d ' \\t'",
           "CapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n");
}

static void test_sees_only_itself(void **state)
{
    (void)state;
    expect("ls -d /home /root /var/log /mnt /sys /boot /etc/shadow 2>/dev/null | wc -l", "0\n");
    /* bubblewrap's init and the shell */
    expect("set -- /proc/[0-9]*; echo $#", "2\n");
    /* 0, 1, 2 and the folder that ls reads */
    expect("ls /proc/self/fd | wc -l", "4\n");
    expect("ls -A /usr/local/etc /dev/pts 2>/dev/null | grep -v -e : -e '^$' | wc -l", "0\n");
    expect("ls /tmp /dev/shm | wc -w; ls /tmp", "5\ndownloads\nhome\nprofile\n");
}

static void test_writes_only_tmp(void **state)
{
    (void)state;
    expect("for d in / /usr /etc /etc/fonts /dev /run /var /proc; do touch $d/x 2>/dev/null && echo $d; "
           "done; true",
           "");
    expect("(echo x > /etc/hosts; rm -f /etc/passwd; mv /etc/group /tmp) 2>/dev/null; id -un; wc -l < "
           "/etc/hosts",
           "berth\n1\n");
}

static void test_sizes(void **state)
{
    (void)state;
    /* 4 MB and 2 MB: more does not fit. */
    expect("head -c 16M /dev/zero 2>/dev/null > /tmp/x; stat -c %s /tmp/x; head -c 16M /dev/zero 2>/dev/null "
           "> /dev/shm/x; stat -c %s /dev/shm/x",
           "4194304\n2097152\n");
}

static void test_filter(void **state)
{
    (void)state;
    /* AF_VSOCK (40), AF_ALG (38), AF_PACKET (17): not supported; inet and unix: fine. */
    expect("perl -e 'for (40, 38, 17, 2, 1) { print socket(my $s, $_, 1, 0) ? \"yes\" : $!+0, \"\\n\" }'",
           "97\n97\n97\nyes\nyes\n");
    /* Of netlink, NETLINK_ROUTE (0) only; not packet filters (12), IPsec (6), audit (9), generic (16); also
     * with a network of one's own. */
    expect("unshare --user --map-root-user --net perl -e 'for (0, 12, 6, 9, 16) { print socket(my $s, 16, 3, "
           "$_) "
           "? \"yes\" : $!+0, \"\\n\" }'",
           "yes\n93\n93\n93\n93\n");
    expect("mount -t tmpfs x /tmp 2>/dev/null && echo mounted; dmesg >/dev/null 2>&1 && echo dmesg; true",
           "");
    /* Chromium's own sandbox needs these. */
    expect("unshare --user --pid --net --fork id -u", "65534\n");
}

/* What the kernel counts for the whole machine: a jail that takes all of it would take it from everybody. */
static void test_machine_wide_counts(void **state)
{
    (void)state;
    expect("perl -e 'open(my $f, q(+<), $_) ? print q(open) : print $!+0 for q(/dev/ptmx), q(/dev/pts/ptmx)'",
           "22");
    expect("n=206; case $(uname -m) in aarch64) n=0 ;; esac; "
           "perl -e 'my $c = qq(\\0) x 8; print syscall($ARGV[0] + 0, 8, $c) == 0 ? q(aio) : $!+0' $n",
           "1");
}

static void test_ends_with_its_init(void **state)
{
    (void)state;
    /* What it leaves in the background holds the output open: that the run ends at all shows that it was
     * killed. */
    expect("sleep 1000 & setsid sleep 1000 & echo left", "left\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_sees_only_itself),
        cmocka_unit_test(test_writes_only_tmp),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ends_with_its_init),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_machine_wide_counts),
    };

    return cmocka_run_group_tests_name("jail", tests, set_up, tear_down);
}
