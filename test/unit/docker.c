/* links: worker/driver/docker_body.c worker/driver/docker_engine.c worker/driver/docker_stream.c */
/* links: worker/driver/docker_cgroup.c worker/cgroup_find.c */
/* Unit tests of the docker driver's parts: the containers' JSON, what the engine's replies and failures
 * become, the stream's frames, where a container's cgroup is. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "worker/driver/docker_body.h"
#include "worker/driver/docker_cgroup.h"
#include "worker/driver/docker_engine.h"
#include "worker/driver/docker_stream.h"

static const struct docker_abilities all = {1, 1, 1, 1, 1, 1, 1, 0};
static const struct disk_devices no_disks, disks = {{{8, 0, "/dev/sda"}, {8, 16, "/dev/sdb"}}, 2};

static cJSON *parse(char *text)
{
    char err[100];
    cJSON *json = json_parse(text, strlen(text), err, sizeof(err));

    if (!json)
        fail_msg("%s: %s", err, text);
    free(text);
    return json;
}

/* The value at "HostConfig/Memory" as JSON text; "none" if there is none. In a static buffer. */
static const char *at(const cJSON *json, const char *path)
{
    static char out[4096];
    char copy[100], *save = NULL, *text;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save))
        json = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!json)
        return "none";
    text = cJSON_PrintUnformatted(json);
    snprintf(out, sizeof(out), "%s", text);
    free(text);
    return out;
}

static cJSON *browser_body_for(const struct docker_abilities *can, const struct disk_devices *of,
                               struct disk_rates rates)
{
    static char *argv[] = {(char *)"/usr/bin/b", (char *)"--x=\"y z\"", NULL};
    struct profile p = {
        .memory_mb = 512, .cpus = 1.5, .pids = 300, .shm_mb = 64, .tmp_mb = 96, .disk = rates};
    struct docker_container c = {"an-image:1", "w-1", 7, 213007, can, of};

    return parse(docker_body_browser(&c, &p, "berth-w-1-7-net", argv, "{\"a\": \"b\"}"));
}

static cJSON *browser_body(const struct docker_abilities *can)
{
    return browser_body_for(can, &no_disks, (struct disk_rates){0, 0});
}

static void test_browser_body(void **state)
{
    static const char *const expected[][2] = {
        {"Image", "\"an-image:1\""},
        {"User", "\"213007:213007\""},
        {"Labels", "{\"berth.worker\":\"w-1\",\"berth.berth\":\"7\"}"},
        {"Cmd", "[\"/usr/bin/b\",\"--x=\\\"y z\\\"\"]"},
        {"OpenStdin", "true"},
        {"StdinOnce", "true"},
        {"HostConfig/CapDrop", "[\"ALL\"]"},
        {"HostConfig/CapAdd", "none"},
        {"HostConfig/Binds", "none"},
        {"HostConfig/Mounts", "none"},
        {"HostConfig/Devices", "none"},
        {"HostConfig/PidMode", "none"},
        {"HostConfig/Privileged", "false"},
        {"HostConfig/ReadonlyRootfs", "true"},
        {"HostConfig/NetworkMode", "\"container:berth-w-1-7-net\""},
        {"HostConfig/IpcMode", "\"private\""},
        {"HostConfig/Init", "true"},
        {"HostConfig/AutoRemove", "false"},
        {"HostConfig/LogConfig/Type", "\"none\""},
        {"HostConfig/SecurityOpt", "[\"no-new-privileges\",\"seccomp={\\\"a\\\": \\\"b\\\"}\"]"},
        {"HostConfig/Tmpfs", "{\"/tmp\":\"rw,nosuid,nodev,noexec,mode=1777,size=96m\"}"},
        {"HostConfig/ShmSize", "67108864"},
        {"HostConfig/Memory", "536870912"},
        {"HostConfig/MemorySwap", "536870912"},
        {"HostConfig/PidsLimit", "300"},
        {"HostConfig/CpuQuota", "150000"},
        {"HostConfig/CpuShares", "82"},
    };
    cJSON *json = browser_body(&all);

    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_string_equal(at(json, expected[i][0]), expected[i][1]);
    assert_non_null(strstr(at(json, "Entrypoint"), "kill -KILL $$"));
    cJSON_Delete(json);
}

static void assert_disk_rates(const cJSON *json, const char *bytes, const char *operations)
{
    assert_string_equal(at(json, "HostConfig/BlkioDeviceReadBps"), bytes);
    assert_string_equal(at(json, "HostConfig/BlkioDeviceWriteBps"), bytes);
    assert_string_equal(at(json, "HostConfig/BlkioDeviceReadIOps"), operations);
    assert_string_equal(at(json, "HostConfig/BlkioDeviceWriteIOps"), operations);
}

static void test_disk_rates(void **state)
{
    static const char bytes[] = "[{\"Path\":\"/dev/sda\",\"Rate\":1572864},"
                                "{\"Path\":\"/dev/sdb\",\"Rate\":1572864}]";
    static const char operations[] =
        "[{\"Path\":\"/dev/sda\",\"Rate\":99},{\"Path\":\"/dev/sdb\",\"Rate\":99}]";
    struct docker_abilities fewer = all;
    const struct {
        const struct docker_abilities *can;
        const struct disk_devices *of;
        struct disk_rates rates;
        const char *bytes, *operations;
    } cases[] = {
        {&all, &disks, {1.5, 99}, bytes, operations}, {&all, &disks, {1.5, 0}, bytes, "none"},
        {&all, &disks, {0, 99}, "none", operations},  {&all, &disks, {0, 0}, "none", "none"},
        {&all, &no_disks, {1.5, 99}, "none", "none"}, {&fewer, &disks, {1.5, 99}, "none", "none"},
    };

    (void)state;
    fewer.disk_rates = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *json = browser_body_for(cases[i].can, cases[i].of, cases[i].rates);

        assert_disk_rates(json, cases[i].bytes, cases[i].operations);
        cJSON_Delete(json);
    }
}

static void test_disk_warnings(void **state)
{
    static const struct {
        const char *warnings;
        int can;
    } cases[] = {
        {"[]", 1},
        {"null", 1},
        {"[\"WARNING: No swap limit support\",7]", 1},
        {"[\"WARNING: No blkio throttle.read_bps_device support\"]", 0},
        {"[\"WARNING: No swap limit support\",\"WARNING: No io.max (wiops) support\"]", 0},
    };
    struct docker_abilities can;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];
        cJSON *json;

        snprintf(text, sizeof(text), "{\"Warnings\":%s}", cases[i].warnings);
        json = parse(strdup(text));
        docker_body_read_info(json, &can);
        cJSON_Delete(json);
        assert_int_equal(can.disk_rates, cases[i].can);
    }
}

/* What the engine cannot do is not asked for: it would refuse the whole container. */
static void test_fewer_abilities(void **state)
{
    static const char *const missing[] = {"Memory", "MemorySwap", "PidsLimit", "CpuQuota", "CpuShares"};
    struct docker_abilities none = {0};
    cJSON *json = browser_body(&none);
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        snprintf(path, sizeof(path), "HostConfig/%s", missing[i]);
        assert_string_equal(at(json, path), "none");
    }
    assert_string_equal(at(json, "HostConfig/SecurityOpt"), "[\"no-new-privileges\"]");
    cJSON_Delete(json);
}

static void test_holder_body(void **state)
{
    struct docker_container c = {"i", "w", 0, 5000, &all, &disks};
    cJSON *json = parse(docker_body_holder(&c));

    (void)state;
    assert_string_equal(at(json, "Entrypoint"), "[\"/bin/cat\"]");
    assert_string_equal(at(json, "HostConfig/NetworkMode"), "\"none\"");
    assert_string_equal(at(json, "HostConfig/Dns"), "[\"127.0.0.1\"]");
    assert_string_equal(at(json, "HostConfig/CapDrop"), "[\"ALL\"]");
    assert_string_equal(at(json, "HostConfig/ReadonlyRootfs"), "true");
    assert_string_equal(at(json, "HostConfig/AutoRemove"), "true");
    assert_disk_rates(json, "none", "none");
    cJSON_Delete(json);
}

static void test_reading(void **state)
{
    struct docker_abilities can;
    struct docker_state s;
    char how[100];
    cJSON *json =
        parse(strdup("{\"MemoryLimit\":true,\"SwapLimit\":false,\"PidsLimit\":true,\"CpuCfsQuota\":1,"
                     "\"CPUShares\":true,\"SecurityOptions\":[\"name=seccomp,profile=default\",3,"
                     "\"name=rootless\"]}"));

    (void)state;
    docker_body_read_info(json, &can);
    cJSON_Delete(json);
    assert_true(can.memory && !can.swap && can.pids && !can.cpu_quota && can.cpu_shares && can.seccomp &&
                can.rootless);
    json = parse(strdup("{\"State\":{\"Running\":true,\"Pid\":12,\"ExitCode\":0,\"OOMKilled\":false}}"));
    assert_int_equal(docker_body_read_state(json, &s), 0);
    assert_true(s.running && s.pid == 12);
    cJSON_Delete(json);
    json = parse(strdup("{\"State\":\"up\"}"));
    assert_int_equal(docker_body_read_state(json, &s), -1);
    cJSON_Delete(json);
    assert_int_equal(docker_body_read_state(NULL, &s), -1);
    s = (struct docker_state){.exit_code = 137, .oom_killed = 1};
    docker_body_describe_end(&s, how, sizeof(how));
    assert_string_equal(how, "was killed by signal 9 (Killed), out of memory");
    s = (struct docker_state){.exit_code = 127};
    docker_body_describe_end(&s, how, sizeof(how));
    assert_string_equal(how, "exited with status 127");
}

static void test_describe(void **state)
{
    static const char *const cases[][2] = {
        {"{\"message\":\"No such image: x\\nat all\"}", "Docker Engine (404): No such image: x"},
        {"{\"message\":\"bell \\u0007 \\u00e9\"}", "Docker Engine (404): bell ? ??"},
        {"{\"other\":1}", "Docker Engine (404): it did not say why"},
        {"404 page not found\n", "Docker Engine (404): 404 page not found"},
        {"", "Docker Engine (404): it did not say why"},
    };
    char out[DOCKER_WHY_MAX], *many = malloc(5000);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        docker_engine_describe(404, cases[i][0], strlen(cases[i][0]), out);
        assert_string_equal(out, cases[i][1]);
    }
    memset(many, 'x', 5000);
    docker_engine_describe(500, many, 5000, out);
    assert_true(strlen(out) < DOCKER_WHY_MAX);
    free(many);
}

static void test_versions(void **state)
{
    static const struct {
        const char *oldest, *newest, *chosen;
    } cases[] = {{"1.12", "1.41", "1.41"}, {"1.24", "1.47", "1.41"}, {"1.44", "1.51", "1.44"},
                 {"1.12", "1.40", "1.40"}, {"1.12", "1.39", NULL},   {"1.12", "x", NULL},
                 {"1.50", "1.41", NULL},   {"1.12", "1.41a", NULL}};
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int result = docker_engine_choose(cases[i].oldest, cases[i].newest, out);

        assert_int_equal(result, cases[i].chosen ? 0 : -1);
        if (cases[i].chosen)
            assert_string_equal(out, cases[i].chosen);
    }
}

/* ---- frames ---- */

static void on_data(void *arg, const char *data, size_t len)
{
    buf_add(arg, data, len);
}

static void test_frames(void **state)
{
    static const char input[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\6 world";
    size_t len = sizeof(input) - 1;

    (void)state;
    for (size_t cut = 1; cut < len; cut++) {
        struct docker_frames f = {0};
        struct buf out = {0};

        for (size_t i = 0; i < len; i += cut)
            docker_frames_feed(&f, input + i, len - i < cut ? len - i : cut, on_data, &out);
        assert_string_equal(out.data, "hello world");
        buf_cleanup(&out);
    }
}

/* ---- cgroups ---- */

static void test_cgroups(void **state)
{
    static const char v1[] = "1 1 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                             "2 1 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                             "3 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    static const char v2[] = "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    struct docker_cgroup g;

    (void)state;
    docker_cgroup_parse(&g, "5:memory:/docker/a\n4:cpu,cpuacct:/docker/b\n0::/docker/c\n", v1);
    assert_string_equal(g.dirs[CGROUP_MEMORY], "/sys/fs/cgroup/memory/docker/a");
    assert_string_equal(g.dirs[CGROUP_CPU], "/sys/fs/cgroup/cpu,cpuacct/docker/b");
    assert_string_equal(g.dirs[CGROUP_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct/docker/b");
    assert_int_equal(g.v2[CGROUP_MEMORY], 0);
    assert_int_equal(docker_cgroup_parse(&g, "0::/system.slice/docker-x.scope\n", v2), CGROUP_IO);
    assert_string_equal(g.dirs[CGROUP_PIDS], "/sys/fs/cgroup/system.slice/docker-x.scope");
    assert_int_equal(g.v2[CGROUP_PIDS], 1);
    /* Out of sight, or nobody's: never files of the whole machine. */
    assert_int_equal(docker_cgroup_parse(&g, "0::/../x\n", v2), 0);
    assert_int_equal(docker_cgroup_parse(&g, "0::/\n", v2), 0);
    assert_int_equal(docker_cgroup_parse(&g, "", v2), 0);
    assert_true(docker_cgroup_is_gone(&g));
    assert_int_equal(docker_cgroup_set_active(&g, 1), -1);
}

/* ---- an engine that is none ---- */

struct fake {
    char path[100];
    int fd;
    pid_t pid;
};

/* Answers each connection's one request with the reply and closes; "" : never answers. */
static void fake_start(struct fake *f, const char *reply, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    snprintf(f->path, sizeof(f->path), "/tmp/berth-unit-docker-%d.sock", (int)getpid());
    unlink(f->path);
    strcpy(to.sun_path, f->path);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(listen(f->fd, 8), 0);
    f->pid = fork();
    if (f->pid)
        return;
    for (;;) {
        int c = accept(f->fd, NULL, NULL);
        char request[4096];

        if (c >= 0 && read(c, request, sizeof(request)) > 0 && len && write(c, reply, len) == (ssize_t)len)
            close(c);
    }
}

static void fake_end(struct fake *f)
{
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    close(f->fd);
    unlink(f->path);
}

/* The status, and why, of a request to an engine that answers so. */
static int ask(const char *reply, size_t len, char why[DOCKER_WHY_MAX])
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct docker_engine *e;
    struct fake f;
    int status;

    fake_start(&f, reply, len);
    e = docker_engine_new(loop, f.path);
    status = docker_engine_wait(e, "POST", "/x", "{}", 300, NULL, why);
    docker_engine_free(e);
    ev_loop_destroy(loop);
    fake_end(&f);
    return status;
}

#define ASK(reply)        ask(reply, sizeof(reply) - 1, why)
#define HEAD(status, len) "HTTP/1.1 " status "\r\nConnection: close\r\nContent-Length: " len "\r\n\r\n"

static void test_failures(void **state)
{
    char why[DOCKER_WHY_MAX], *large = calloc(1, 2 << 20);
    int n;

    (void)state;
    assert_int_equal(ASK(HEAD("204 No Content", "0")), 204);
    assert_string_equal(why, "");
    assert_int_equal(ASK(HEAD("409 Conflict", "23") "{\"message\":\"it exists\"}"), 409);
    assert_string_equal(why, "Docker Engine (409): it exists");
    assert_int_equal(ASK("SSH-2.0\r\n\r\n"), 0);
    assert_non_null(strstr(why, "no reply from the Docker Engine at /tmp/"));
    assert_int_equal(ASK(""), 0);
    assert_non_null(strstr(why, "Timeout"));
    assert_int_equal(ASK(HEAD("200 OK", "50") "cut"), 0);
    n = snprintf(large, 200, HEAD("200 OK", "2000000"));
    memset(large + n, ' ', 2000000);
    assert_int_equal(ask(large, (size_t)n + 2000000, why), 0);
    free(large);
}

static void test_negotiation(void **state)
{
    static const struct {
        const char *reply, *err;
    } cases[] = {
        {"{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}", NULL},
        {"{\"ApiVersion\":\"1.30\",\"MinAPIVersion\":\"1.12\"}", "this Docker Engine is too old (API 1.30)"},
        {"[]", "is no Docker Engine"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
        struct docker_engine *e;
        struct fake f;
        char reply[300], err[300] = "";
        int n = snprintf(reply, sizeof(reply),
                         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(cases[i].reply), cases[i].reply);

        fake_start(&f, reply, (size_t)n);
        e = docker_engine_new(loop, f.path);
        assert_int_equal(docker_engine_negotiate(e, err, sizeof(err)), cases[i].err ? -1 : 0);
        assert_string_equal(docker_engine_version(e), cases[i].err ? "" : "1.41");
        assert_non_null(strstr(err, cases[i].err ? cases[i].err : ""));
        docker_engine_free(e);
        ev_loop_destroy(loop);
        fake_end(&f);
    }
}

static void on_never(void *arg, const struct docker_reply *reply)
{
    (void)arg, (void)reply;
    fail_msg("a call that was given up has called back");
}

/* An engine that is freed, or a call that is given up, calls nobody and leaks nothing. */
static void test_giving_up(void **state)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct docker_engine *e = docker_engine_new(loop, "/nowhere/at/all");
    struct docker_call *c = docker_engine_call(e, "GET", "/a", NULL, 1000, on_never, NULL);
    char why[DOCKER_WHY_MAX];

    (void)state;
    docker_call_cancel(c);
    assert_int_equal(docker_engine_wait(e, "GET", "/b", NULL, 1000, NULL, why), 0);
    assert_non_null(strstr(why, "/nowhere/at/all"));
    docker_engine_call(e, "GET", "/c", NULL, 1000, on_never, NULL);
    docker_engine_free(e);
    ev_loop_destroy(loop);
}

/* ---- attaching ---- */

struct seen {
    struct ev_loop *loop;
    struct buf data;
    int opened, ended;
    char why[200];
};

static void on_open(void *arg)
{
    ((struct seen *)arg)->opened++;
}

static void on_seen_data(void *arg, const char *data, size_t len)
{
    buf_add(&((struct seen *)arg)->data, data, len);
}

static void on_end(void *arg, const char *why)
{
    struct seen *s = arg;

    s->ended++;
    snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
    ev_break(s->loop, EVBREAK_ALL);
}

static struct seen attach(const char *reply, size_t len)
{
    struct seen s = {.loop = ev_loop_new(EVFLAG_AUTO)};
    struct docker_stream_events events = {on_open, on_seen_data, on_end, &s};
    struct fake f;

    fake_start(&f, reply, len);
    assert_non_null(docker_stream_new(s.loop, f.path, "/v1.41/containers/x/attach", &events));
    ev_run(s.loop, 0);
    ev_loop_destroy(s.loop);
    fake_end(&f);
    assert_int_equal(s.ended, 1);
    return s;
}

#define ATTACH(reply) attach(reply, sizeof(reply) - 1)

static void test_attach(void **state)
{
    struct seen s = ATTACH("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n\1\0\0\0\0\0\0\3yes");

    (void)state;
    assert_true(s.opened == 1 && !*s.why);
    assert_string_equal(s.data.data, "yes");
    buf_cleanup(&s.data);
    s = ATTACH("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_string_equal(s.why, "the Docker Engine did not attach: HTTP/1.1 404 Not Found");
    s = ATTACH("HTTP/1.1 101 UPGR");
    assert_string_equal(s.why, "the Docker Engine closed the connection");
    s = ATTACH("\0\0\0\0");
    assert_string_equal(s.why, "the Docker Engine did not answer in HTTP");
    assert_int_equal(s.opened, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_browser_body),  cmocka_unit_test(test_disk_rates),
        cmocka_unit_test(test_disk_warnings), cmocka_unit_test(test_fewer_abilities),
        cmocka_unit_test(test_holder_body),   cmocka_unit_test(test_reading),
        cmocka_unit_test(test_describe),      cmocka_unit_test(test_versions),
        cmocka_unit_test(test_frames),        cmocka_unit_test(test_cgroups),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_negotiation),
        cmocka_unit_test(test_giving_up),     cmocka_unit_test(test_attach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
