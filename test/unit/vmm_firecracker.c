/* links: worker/vmm_firecracker.c worker/vmm_firecracker_api.c worker/vmm_firecracker_jail.c */
/* links: worker/vmm_firecracker_open.c worker/vmm_process.c worker/vmm_tail.c worker/vsock_link.c */
/* links: worker/child.c worker/child_exec.c worker/child_run.c worker/host_lock.c */
/* links: worker/page_server.c worker/page_server_hello.c worker/page_server_io.c */
/* links: worker/vmm_firecracker_wait.c worker/working_set.c */
/* Unit tests of Firecracker's monitor: versions, what the API is told, what its refusals become, a jail's
 * layout and how nothing in it is followed, the vsock handshake. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "shared/settings.h"
#include "worker/host_lock.h"
#include "worker/image.h"
#include "worker/vmm_firecracker.h"
#include "worker/vsock_link.h"
#include "worker/working_set.h"

static const struct image image = {.paths = {"/images/vmlinux", "/images/initrd", "/images/root.erofs"},
                                   .cmdline = "quiet rdinit=/init"};

static struct vmm_spec a_spec(enum vmm_kind kind)
{
    return (struct vmm_spec){.kind = kind,
                             .machine = {&image, 512, 2, "kvm", 0},
                             .place = {.mac = "02:00:00:00:00:07", .uid = 213004},
                             .folder = "/state/snapshots/key"};
}

/* ---- versions ---- */

static void test_version(void **state)
{
    struct fc_version v;

    (void)state;
    assert_int_equal(fc_version_parse("Firecracker v1.16.1\n\n", "Firecracker", &v), 0);
    assert_int_equal(v.major * 10000 + v.minor * 100 + v.patch, 11601);
    assert_int_equal(fc_version_parse("Jailer v1.17.0-dev", "Jailer", &v), 0);
    assert_int_equal(v.minor, 17);
    assert_int_equal(fc_version_parse("Jailer v1.16.1", "Firecracker", &v), -1);
    assert_int_equal(fc_version_parse("Firecracker 1.16.1", "Firecracker", &v), -1);
    assert_int_equal(fc_version_parse("Firecracker v1.16", "Firecracker", &v), -1);
    assert_int_equal(fc_version_parse("Firecracker v1.-6.1", "Firecracker", &v), -1);
    assert_int_equal(fc_version_parse("", "Firecracker", &v), -1);
}

static void test_gate(void **state)
{
    const struct fc_version old = {1, 16, 0}, good = {1, 16, 1}, next = {1, 17, 0}, far = {2, 0, 0};
    const struct vmm_host before = {.version = {1, 16, 1}}, after = {.version = {1, 17, 0}};

    (void)state;
    assert_non_null(strstr(fc_versions_refuse(&old, &old), "too old"));
    assert_null(fc_versions_refuse(&good, &good));
    assert_null(fc_versions_refuse(&far, &far));
    assert_non_null(strstr(fc_versions_refuse(&next, &good), "different"));
    assert_int_equal(fc_can_pause(&before), 0);
    assert_int_equal(fc_can_pause(&after), 1);
}

/* Firecracker cannot restore huge pages from a file. */
static void test_huge_pages_need_uffd(void **state)
{
    struct settings s = {.vm_accel = "auto",
                         .vm_memory = "file",
                         .vm_prefetch = "on",
                         .vm_huge_pages = "on",
                         .firecracker = "/nowhere/firecracker"};
    struct vmm_host_config config = {NULL, &s, "w"};
    char why[300] = "";

    (void)state;
    assert_null(fc_open(&config, why, sizeof(why)));
    assert_non_null(strstr(why, "BERTH_VM_HUGE_PAGES"));
    assert_non_null(strstr(why, "BERTH_VM_MEMORY has to be uffd"));
    s.vm_memory = "uffd";
    assert_null(fc_open(&config, why, sizeof(why)));
    assert_non_null(strstr(why, "cannot be run"));
}

/* BERTH_VM_PREFETCH=off: pages come as they are asked for. */
static void test_prefetch(void **state)
{
    const struct working_set set = {.count = 1};
    const struct vmm_host on = {.uffd = 1, .prefetch = 1}, off = {.uffd = 1};
    struct vmm_spec spec = a_spec(VMM_CLONE);

    (void)state;
    assert_null(fc_ahead(&on, &spec));
    spec.set = &set;
    assert_ptr_equal(fc_ahead(&on, &spec), &set);
    assert_null(fc_ahead(&off, &spec));
}

/* ---- requests ---- */

/* All requests as lines, freed. */
static char *text_of(struct fc_request *requests, int count)
{
    struct buf out = {0};

    for (int i = 0; i < count; i++) {
        buf_addf(&out, "%s %s %s\n", requests[i].method, requests[i].path, requests[i].json);
        fc_request_free(&requests[i]);
    }
    return buf_take(&out);
}

static void check(struct fc_request *requests, int count, const char *expected)
{
    char *text = text_of(requests, count);

    assert_string_equal(text, expected);
    free(text);
}

static void test_boot(void **state)
{
    struct fc_request requests[FC_REQUESTS_MAX];
    struct vmm_spec spec = a_spec(VMM_TEMPLATE);

    (void)state;
    check(requests, fc_boot_requests(&spec, requests),
          "PUT /machine-config {\"vcpu_count\":2,\"mem_size_mib\":512}\n"
          "PUT /boot-source {\"kernel_image_path\":\"/kernel\",\"initrd_path\":\"/initrd\",\"boot_args\":"
          "\"quiet rdinit=/init pci=off i8042.noaux i8042.nomux i8042.dumbkbd\"}\n"
          "PUT /drives/root {\"drive_id\":\"root\",\"path_on_host\":\"/root.image\","
          "\"is_root_device\":false,\"is_read_only\":true}\n"
          "PUT /network-interfaces/eth0 {\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\","
          "\"guest_mac\":\"02:00:00:00:00:07\"}\n"
          "PUT /vsock {\"guest_cid\":3,\"uds_path\":\"/run/control.vsock\"}\n"
          "PUT /entropy {}\n"
          "PUT /actions {\"action_type\":\"InstanceStart\"}\n");
}

static void test_other_steps(void **state)
{
    struct fc_request requests[FC_REQUESTS_MAX];

    (void)state;
    check(requests, fc_save_requests(requests),
          "PATCH /vm {\"state\":\"Paused\"}\n"
          "PUT /snapshot/create {\"snapshot_type\":\"Full\",\"snapshot_path\":\"/state\","
          "\"mem_file_path\":\"/memory\"}\n");
    check(requests, fc_load_requests(0, requests),
          "PUT /snapshot/load {\"snapshot_path\":\"/state\",\"mem_backend\":{\"backend_type\":\"File\","
          "\"backend_path\":\"/memory\"},\"resume_vm\":true}\n");
    check(requests, fc_load_requests(1, requests),
          "PUT /snapshot/load {\"snapshot_path\":\"/state\",\"mem_backend\":{\"backend_type\":\"Uffd\","
          "\"backend_path\":\"/run/pages.socket\"},\"resume_vm\":true}\n");
    check(requests, fc_state_request(1, requests), "PATCH /vm {\"state\":\"Paused\"}\n");
    check(requests, fc_state_request(0, requests), "PATCH /vm {\"state\":\"Resumed\"}\n");
}

static void test_identity(void **state)
{
    const struct vmm_host a = {.version = {1, 16, 1}}, b = {.version = {1, 17, 0}};
    struct vmm_machine m = {&image, 512, 2, "kvm", 0}, larger = {&image, 1024, 2, "kvm", 0};
    struct vmm_machine huge = {&image, 512, 2, "kvm", 1};
    struct buf one = {0}, two = {0}, three = {0}, four = {0};

    (void)state;
    fc_identify(&a, &m, &one);
    fc_identify(&a, &huge, &four);
    fc_identify(&b, &m, &two);
    fc_identify(&a, &larger, &three);
    assert_int_equal(strncmp(one.data, "firecracker 1.16.1\n", 19), 0);
    assert_non_null(strstr(one.data, "quiet rdinit=/init"));
    assert_non_null(strstr(one.data, "host "));
    assert_string_not_equal(one.data, two.data);
    assert_string_not_equal(one.data, three.data);
    assert_null(strstr(one.data, "huge_pages"));
    assert_non_null(strstr(
        four.data, "PUT /machine-config {\"vcpu_count\":2,\"mem_size_mib\":512,\"huge_pages\":\"2M\"}\n"));
    buf_cleanup(&four);
    buf_cleanup(&one);
    buf_cleanup(&two);
    buf_cleanup(&three);
}

static void describe(int status, const char *body, const char *words, const char *expected)
{
    char why[FC_WHY_MAX];

    fc_describe("/snapshot/load", status, body, strlen(body), words, why);
    assert_string_equal(why, expected);
}

static void test_refusals(void **state)
{
    char body[2000], why[FC_WHY_MAX];

    (void)state;
    describe(400, "{\"fault_message\":\"Load snapshot error: no\\nand more\"}", "",
             "/snapshot/load: Firecracker (400): Load snapshot error: no");
    describe(400, "{\"fault_message\":\"a\\u0001b\"}", "", "/snapshot/load: Firecracker (400): a?b");
    describe(400, "{\"fault_message\":7}", "", "/snapshot/load: Firecracker (400): it did not say why");
    describe(500, "<html>", "", "/snapshot/load: Firecracker (500): it did not say why");
    describe(0, "", "Server returned nothing",
             "/snapshot/load: no reply from Firecracker: Server returned nothing");
    snprintf(body, sizeof(body), "{\"fault_message\":\"%01500d\"}", 0);
    fc_describe("/vm", 400, body, strlen(body), "", why);
    assert_int_equal(strlen(why), FC_WHY_MAX - 1);
}

/* ---- jails ---- */

struct place {
    char folder[64];
    struct vmm_host host;
    struct fc_jail jail;
};

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    struct vmm_spec spec = a_spec(VMM_CLONE);

    strcpy(p->folder, "/tmp/berth-jail-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->host.base, sizeof(p->host.base), "%s", p->folder);
    strcpy(p->host.program, "/opt/firecracker-v1.16.1");
    strcpy(p->host.jailer, "/opt/jailer");
    assert_int_equal(fc_jail_make(&p->jail, &p->host, &spec), 0);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fc_jail_remove(&p->jail);
    assert_int_equal(fc_jail_clear(p->folder), 0);
    assert_int_equal(access(p->folder, F_OK), -1);
    free(p);
    return 0;
}

static void test_layout(void **state)
{
    struct place *p = *state;
    struct vmm_spec template = a_spec(VMM_TEMPLATE), clone = a_spec(VMM_CLONE);
    const char *args[FC_ARGS_MAX];
    struct working_set set = {0};
    struct fc_jail jail;
    char text[256], folder[200];

    snprintf(folder, sizeof(folder), "%s/firecracker-v1.16.1/%s", p->folder, p->jail.id);
    assert_string_equal(p->jail.folder, folder);
    assert_int_equal(p->jail.bind_count, 3);
    assert_string_equal(p->jail.binds[0].from, "/images/root.erofs");
    assert_string_equal(p->jail.binds[1].from, "/state/snapshots/key/memory");
    assert_string_equal(p->jail.binds[1].to + strlen(folder), "/root/memory");
    assert_string_equal(p->jail.binds[2].to + strlen(folder), "/root/state");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p->jail.binds[i].writable, 0);
        assert_int_equal(access(p->jail.binds[i].to, F_OK), 0);
    }
    fc_jail_args(&p->jail, &p->host, &clone, args, text);
    assert_string_equal(args[0], "/bin/sh");
    assert_string_equal(args[4], "/opt/jailer");
    assert_string_equal(args[6], p->jail.id);
    assert_string_equal(args[10], "213004");
    assert_string_equal(args[14], p->folder);
    assert_int_equal(strncmp(args[18], "fsize=", 6), 0);
    assert_null(args[19]);

    assert_int_equal(fc_jail_make(&jail, &p->host, &template), 0);
    assert_string_not_equal(jail.id, p->jail.id);
    assert_int_equal(jail.bind_count, 5);
    assert_int_equal(jail.paged, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(jail.binds[i].writable, i == 1 || i == 2);
    fc_jail_args(&jail, &p->host, &template, args, text);
    assert_null(args[17]);
    fc_jail_remove(&jail);

    /* Served its pages, a clone has no use for the file; the first one does, to be looked at. */
    p->host.uffd = 1;
    clone.set = &set;
    assert_int_equal(fc_jail_make(&jail, &p->host, &clone), 0);
    assert_int_equal(jail.paged, 1);
    assert_int_equal(jail.bind_count, 2);
    fc_jail_remove(&jail);
    clone.set = NULL;
    assert_int_equal(fc_jail_make(&jail, &p->host, &clone), 0);
    assert_int_equal(jail.paged, 0);
    fc_jail_remove(&jail);
    clone.machine.huge_pages = 1; /* which no file can be restored into */
    assert_int_equal(fc_jail_make(&jail, &p->host, &clone), 0);
    assert_int_equal(jail.paged, 1);
    assert_int_equal(jail.bind_count, 2);
    fc_jail_remove(&jail);
    assert_int_equal(access(folder, F_OK), 0);
}

/* A listening socket at path, below the jail's root. */
static int listen_at(const struct fc_jail *j, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", j->root, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_sockets(void **state)
{
    struct place *p = *state;
    int listener, found, fd;
    pid_t pid = -1;

    assert_int_equal(fc_jail_find(&p->jail, FC_API_SOCKET), -1);
    assert_int_equal(errno, ENOENT);
    listener = listen_at(&p->jail, FC_API_SOCKET);
    found = fc_jail_find(&p->jail, FC_API_SOCKET);
    assert_true(found >= 0);
    fd = fc_jail_connect(found, geteuid(), &pid);
    assert_true(fd >= 0);
    assert_int_equal(pid, getpid());
    close(fd);
    assert_int_equal(fc_jail_connect(found, (long)geteuid() + 1, &pid), -1);
    assert_int_equal(errno, EACCES);
    close(listener);
    assert_int_equal(fc_jail_connect(found, geteuid(), &pid), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(found);

    /* What a monitor that was broken into could lay there. */
    assert_int_equal(symlinkat(FC_API_SOCKET, p->jail.root, "link"), 0);
    assert_int_equal(fc_jail_find(&p->jail, "link"), -1);
    assert_int_equal(symlinkat("/run", p->jail.root, "run2"), 0);
    assert_int_equal(fc_jail_find(&p->jail, "run2/firecracker.socket"), -1);
    assert_int_equal(fc_jail_find(&p->jail, "../root/" FC_API_SOCKET), -1);
    assert_int_equal(fc_jail_find(&p->jail, "memory"), -1);
    assert_int_equal(errno, ENOTSOCK);
}

static void test_clear_follows_nothing(void **state)
{
    struct place *p = *state;
    char outside[100], path[140];

    snprintf(outside, sizeof(outside), "%s/outside", p->folder);
    assert_int_equal(mkdir(outside, 0700), 0);
    snprintf(path, sizeof(path), "%s/kept", outside);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(symlinkat(outside, p->jail.root, "link"), 0);
    assert_int_equal(mkdirat(p->jail.root, "a", 0700), 0);
    assert_int_equal(mkdirat(p->jail.root, "a/b", 0700), 0);
    fc_jail_remove(&p->jail);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_dead_workers(void **state)
{
    struct place *p = *state;
    char dead[100], alive[100], err[200];
    int lock = host_lock_take_worker("unit-fc-alive", err, sizeof(err));

    assert_true(lock >= 0);
    snprintf(dead, sizeof(dead), "%s/unit-fc-dead", p->folder);
    snprintf(alive, sizeof(alive), "%s/unit-fc-alive", p->folder);
    assert_int_equal(mkdir(dead, 0700), 0);
    assert_int_equal(mkdir(alive, 0700), 0);
    fc_jail_clear_dead(p->folder);
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(access(alive, F_OK), 0);
    close(lock);
}

/* ---- vsock ---- */

static void test_handshake(void **state)
{
    size_t used = 0;

    (void)state;
    assert_int_equal(vsock_link_parse("", 0, &used), 0);
    assert_int_equal(vsock_link_parse("O", 1, &used), 0);
    assert_int_equal(vsock_link_parse("OK 1073741", 10, &used), 0);
    assert_int_equal(vsock_link_parse("OK 1073741824\nready", 19, &used), 1);
    assert_int_equal(used, 14);
    assert_int_equal(vsock_link_parse("NO 1\n", 5, &used), -1);
    assert_int_equal(vsock_link_parse("OK \n", 4, &used), -1);
    assert_int_equal(vsock_link_parse("OK 1x\n", 6, &used), -1);
    assert_int_equal(vsock_link_parse("OK 12345678901", 14, &used), -1);
}

struct far {
    int sockets[4], opened; /* the monitor's ends, in order */
};

static int open_far(void *arg)
{
    struct far *f = arg;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(f->opened < 4);
    f->sockets[f->opened++] = pair[1];
    return pair[0];
}

/* Runs the loop until fd has the text. */
static void expect(struct ev_loop *loop, int fd, const char *text)
{
    char got[200] = "";
    size_t len = 0;

    while (len < strlen(text)) {
        ssize_t n = recv(fd, got + len, strlen(text) - len, MSG_DONTWAIT);

        if (n > 0)
            len += (size_t)n;
        else
            ev_run(loop, EVRUN_ONCE);
    }
    assert_string_equal(got, text);
}

static void test_link(void **state)
{
    struct ev_loop *loop = ev_loop_new(0);
    struct far far = {.opened = 0};
    struct vsock_link *l;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    l = vsock_link_new(loop, pair[1], 5200);
    assert_int_equal(send(pair[0], "restore\n", 8, 0), 8); /* before anybody is there */
    vsock_link_start(l, open_far, &far);
    expect(loop, far.sockets[0], "CONNECT 5200\n");
    close(far.sockets[0]); /* nobody listens in the guest */
    while (far.opened < 2)
        ev_run(loop, EVRUN_ONCE);
    expect(loop, far.sockets[1], "CONNECT 5200\n");
    assert_int_equal(send(far.sockets[1], "OK 107", 6, 0), 6);
    ev_run(loop, EVRUN_ONCE);
    assert_int_equal(send(far.sockets[1], "4\nsettled\n", 10, 0), 10); /* answer and first words at once */
    expect(loop, pair[0], "settled\n");
    expect(loop, far.sockets[1], "restore\n");
    close(far.sockets[1]);
    for (;;) {
        char byte;

        if (recv(pair[0], &byte, 1, MSG_DONTWAIT) == 0)
            break;
        ev_run(loop, EVRUN_ONCE);
    }
    vsock_link_free(l);
    close(pair[0]);
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_huge_pages_need_uffd),
        cmocka_unit_test(test_prefetch),
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_other_steps),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_setup_teardown(test_layout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sockets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clear_follows_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dead_workers, set_up, tear_down),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
