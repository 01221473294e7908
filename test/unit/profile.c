/* links: worker/profile.c worker/egress.c */
/* Unit tests of profiles: the built-in one, files, and every way a file can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/profile.h"

static struct settings base(const char *profiles)
{
    struct settings s = {0};

    s.driver = "process";
    s.warm = 3;
    s.browser = "";
    s.egress_allow = "host, 10.1.0.0/16";
    s.profiles = profiles;
    s.sim_start = 70;
    s.sim_fail = 5;
    return s;
}

/* Loads a file with this text; the message in err. */
static int load(const char *text, struct profile_set *set, char err[300])
{
    char path[] = "/tmp/berth-profile-XXXXXX";
    int fd = mkstemp(path), result;
    struct settings s = base(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    *err = '\0';
    result = profile_set_load(set, &s, err, 300);
    unlink(path);
    return result;
}

static void test_built_in(void **state)
{
    struct settings s = base("");
    struct profile_set set;
    char err[300];
    const struct profile *p;

    (void)state;
    assert_int_equal(profile_set_load(&set, &s, err, sizeof(err)), 0);
    p = profile_find(&set, "default");
    assert_non_null(p);
    assert_int_equal(set.count, 1);
    assert_string_equal(p->driver, "process");
    assert_int_equal(p->warm, 3);
    assert_null(p->browser);
    assert_null(p->args[0]);
    assert_string_equal(p->egress_allow[0], "host");
    assert_string_equal(p->egress_allow[1], "10.1.0.0/16");
    assert_null(p->egress_allow[2]);
    assert_int_equal(p->sim_start_ms, 70);
    assert_null(profile_find(&set, "other"));
    profile_set_cleanup(&set);
}

static void test_file(void **state)
{
    struct profile_set set;
    char err[300];
    const struct profile *p;

    (void)state;
    assert_int_equal(load("{\"profiles\":[{\"name\":\"default\"},{\"name\":\"big\",\"driver\":\"sim\","
                          "\"warm\":1,\"memoryMb\":4096,"
                          "\"cpus\":0.5,\"pids\":99,\"shmMb\":7,\"tmpMb\":9,\"browser\":\"/"
                          "b\",\"args\":[\"--x=1\",\"--y\"],"
                          "\"downloadMbps\":20,\"uploadMbps\":0.5,\"diskMiBps\":0.1,\"diskIops\":10000000,"
                          "\"egressAllow\":[\"10.2.0.0/16\"],\"simStartMs\":1,\"simFailPercent\":2}]}",
                          &set, err),
                     0);
    assert_int_equal(profile_find(&set, "default")->warm, 3);
    p = profile_find(&set, "big");
    assert_string_equal(p->driver, "sim");
    assert_int_equal(p->warm, 1);
    assert_int_equal(p->memory_mb, 4096);
    assert_true(p->cpus == 0.5);
    assert_int_equal(p->pids, 99);
    assert_true(p->download_mbps == 20 && p->upload_mbps == 0.5);
    assert_true(profile_find(&set, "default")->download_mbps == 0);
    assert_true(p->disk.mib_s == 0.1 && p->disk.iops == 10000000);
    assert_true(profile_find(&set, "default")->disk.mib_s == 0);
    assert_int_equal(profile_find(&set, "default")->disk.iops, 0);
    assert_int_equal(p->shm_mb, 7);
    assert_int_equal(p->tmp_mb, 9);
    assert_string_equal(p->browser, "/b");
    assert_string_equal(p->args[1], "--y");
    assert_null(p->args[2]);
    assert_string_equal(p->egress_allow[2], "10.2.0.0/16"); /* after BERTH_EGRESS_ALLOW */
    assert_int_equal(p->sim_start_ms, 1);
    assert_int_equal(p->sim_fail_percent, 2);
    profile_set_cleanup(&set);
}

static void test_wrong(void **state)
{
    static const char *const wrong[][2] = {
        {"", "BERTH_PROFILES"},
        {"[]", "nothing else"},
        {"{\"profiles\":[]}", "1 to 16"},
        {"{\"profiles\":[{\"name\":\"a\"}],\"more\":1}", "nothing else"},
        {"{\"profiles\":[1]}", "profiles[0]"},
        {"{\"profiles\":[{}]}", "name"},
        {"{\"profiles\":[{\"name\":\"a b\"}]}", "name"},
        {"{\"profiles\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", "twice"},
        {"{\"profiles\":[{\"name\":\"a\",\"memroyMb\":1}]}", "memroyMb is not a member"},
        {"{\"profiles\":[{\"name\":\"a\",\"memoryMb\":1.5}]}", "\"a\": memoryMb has to be a whole number"},
        {"{\"profiles\":[{\"name\":\"a\",\"memoryMb\":1}]}", "from 64"},
        {"{\"profiles\":[{\"name\":\"a\",\"pids\":\"many\"}]}", "pids"},
        {"{\"profiles\":[{\"name\":\"a\",\"cpus\":0}]}", "cpus"},
        {"{\"profiles\":[{\"name\":\"a\",\"downloadMbps\":0}]}", "downloadMbps has to be a number from 0.1"},
        {"{\"profiles\":[{\"name\":\"a\",\"downloadMbps\":\"fast\"}]}", "downloadMbps"},
        {"{\"profiles\":[{\"name\":\"a\",\"uploadMbps\":10001}]}", "uploadMbps has to be a number from 0.1"},
        {"{\"profiles\":[{\"name\":\"a\",\"uploadMbps\":-1}]}", "uploadMbps"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskMiBps\":0.05}]}", "diskMiBps has to be a number from 0.1"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskMiBps\":100001}]}", "diskMiBps has to be a number from 0.1"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskMiBps\":\"fast\"}]}", "diskMiBps"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskIops\":0}]}", "diskIops has to be a whole number from 1"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskIops\":1.5}]}", "diskIops has to be a whole number"},
        {"{\"profiles\":[{\"name\":\"a\",\"diskIops\":10000001}]}", "to 10000000"},
        {"{\"profiles\":[{\"name\":\"a\",\"driver\":\"vax\"}]}", "driver"},
        {"{\"profiles\":[{\"name\":\"a\",\"browser\":\"chromium\"}]}", "absolute"},
        {"{\"profiles\":[{\"name\":\"a\",\"args\":\"--x\"}]}", "args"},
        {"{\"profiles\":[{\"name\":\"a\",\"args\":[\"--no-sandbox\"]}]}", "args"},
        {"{\"profiles\":[{\"name\":\"a\",\"args\":[\"--remote-debugging-address=0.0.0.0\"]}]}", "args"},
        {"{\"profiles\":[{\"name\":\"a\",\"args\":[\"http://x\"]}]}", "args"},
        {"{\"profiles\":[{\"name\":\"a\",\"egressAllow\":[\"10.0.0.0/33\"]}]}", "10.0.0.0/33"},
        {"{\"profiles\":[{\"name\":\"a\",\"egressAllow\":[\"fd00::/8\"]}]}", "IPv6"},
        {"{\"profiles\":[{\"name\":\"a\",\"warm\":1e999}]}", "BERTH_PROFILES"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct profile_set set;
        char err[300];

        if (load(wrong[i][0], &set, err) == 0 || !strstr(err, wrong[i][1]))
            fail_msg("%s gave \"%s\", not \"…%s…\"", wrong[i][0], err, wrong[i][1]);
        assert_int_equal(set.count, 0);
    }
}

static void test_settings(void **state)
{
    struct settings s = base("/nonexistent/file");
    struct profile_set set;
    char err[300];

    (void)state;
    assert_int_equal(profile_set_load(&set, &s, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "/nonexistent/file"));
    s = base("");
    s.egress_allow = "10.0.0.0/8,nonsense";
    assert_int_equal(profile_set_load(&set, &s, err, sizeof(err)), -1);
    assert_non_null(strstr(err, "BERTH_EGRESS_ALLOW: \"nonsense\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
