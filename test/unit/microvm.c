/* links: worker/driver/microvm.c worker/driver/microvm_accel.c worker/driver/microvm_build.c */
/* links: worker/driver/microvm_cdp.c worker/driver/microvm_end.c worker/driver/microvm_machine.c */
/* links: worker/driver/microvm_park.c worker/driver/microvm_prepare.c worker/driver/microvm_ready.c */
/* links: worker/driver/microvm_snapshot.c worker/background.c worker/guest_link.c worker/guest/protocol.c */
/* links: worker/snapshot.c worker/snapshot_build.c worker/snapshot_load.c worker/snapshot_prune.c */
/* links: worker/snapshot_record.c worker/working_set.c test/support/fake_vmm.c test/support/microvm_host.c */
/* Tests of a microVM driver's berths over a monitor that does what a test says, when it says so: what order
 * things happen in, and whatever else may come between. Snapshots are real files. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "shared/mem.h"
#include "test/support/fake_vmm.h"
#include "test/support/microvm_host.h"
#include "worker/driver/microvm.h"

#define BERTHS  2
#define LIMIT_S 60.0

/* ---- the driver and its owner ---- */

static struct ev_loop *loop;
static struct driver *d;
static struct settings settings;
static struct profile profile = {.name = (char *)"default", .driver = (char *)"qemu", .memory_mb = 1};
static char state_folder[64], why[400];
static int ups, downs, cleans;

static void on_up(void *arg, int berth, const char *path, const struct driver_timings *t)
{
    (void)arg, (void)berth, (void)path, (void)t;
    ups++;
}

static void on_down(void *arg, int berth, const char *reason)
{
    (void)arg, (void)berth;
    snprintf(why, sizeof(why), "%s", reason);
    downs++;
}

static void on_clean(void *arg, int berth)
{
    (void)arg, (void)berth;
    cleans++;
}

static void on_prepare(void *arg, const struct profile *p, enum driver_readiness readiness, const char *text)
{
    (void)arg, (void)p, (void)readiness, (void)text;
}

static void on_too_long(struct ev_loop *l, ev_timer *w, int revents)
{
    (void)l, (void)revents;
    *(int *)w->data = 1;
}

/* Runs the loop until the counter is there. Machines that were killed end meanwhile. */
static void wait_for(const int *counter, int value)
{
    int late = 0;
    ev_timer limit;

    ev_timer_init(&limit, on_too_long, LIMIT_S, 0);
    limit.data = &late;
    ev_now_update(loop);
    ev_timer_start(loop, &limit);
    while (*counter < value && !late) {
        fake_vmm_end_killed();
        if (*counter < value)
            ev_run(loop, EVRUN_ONCE);
    }
    ev_timer_stop(loop, &limit);
    if (*counter != value)
        fail_msg("waited in vain for %d, it is %d; last reason: %s", value, *counter, why);
}

/* What is there to be done now. */
static void let_run(void)
{
    for (int i = 0; i < 20; i++) {
        ev_now_update(loop);
        ev_run(loop, EVRUN_NOWAIT);
    }
}

static int set_up(void **state)
{
    struct driver_events events = {
        .on_up = on_up, .on_down = on_down, .on_clean = on_clean, .on_prepare = on_prepare};

    (void)state;
    strcpy(state_folder, "/tmp/berth-microvm-XXXXXX");
    assert_non_null(mkdtemp(state_folder));
    settings = (struct settings){.state = state_folder,
                                 .vm_warm = "paused",
                                 .vm_renderer = "keep",
                                 .vm_prefetch = "off",
                                 .vm_huge_pages = "off"};
    loop = ev_default_loop(EVFLAG_AUTO);
    ups = downs = cleans = 0;
    memset(&microvm_host, 0, sizeof(microvm_host));
    *why = '\0';
    d = mem_alloc(sizeof(*d));
    d->loop = loop;
    d->events = events;
    d->settings = &settings;
    d->ops = &fake_vmm_ops;
    d->lock = -1;
    d->image.prefix = GUEST_PREFIX;
    d->image.address.s_addr = inet_addr(GUEST_ADDRESS);
    d->image.gateway.s_addr = inet_addr(GUEST_GATEWAY);
    d->uid_base = (long)geteuid() - BERTHS; /* the template's is this one's own */
    d->count = BERTHS;
    d->berths = mem_alloc(BERTHS * sizeof(*d->berths));
    for (int i = 0; i < BERTHS; i++)
        microvm_berth_init(&d->berths[i], d, i);
    microvm_ready_init(d);
    microvm_prepare_init(d);
    microvm_accel_init(d);
    return 0;
}

static int tear_down(void **state)
{
    char command[100];

    (void)state;
    d->closing = 1;
    ev_timer_stop(loop, &d->ready_timer);
    ev_timer_stop(loop, &d->prepare_timer);
    microvm_build_end(d);
    for (int i = 0; i < d->count; i++)
        microvm_berth_end(&d->berths[i]);
    microvm_snapshots_free(d);
    fake_vmm_free_all();
    free(d->berths);
    free(d);
    snprintf(command, sizeof(command), "rm -rf %s", state_folder);
    return system(command); // NOLINT(cert-env33-c)
}

static struct microvm_snapshot *snapshot(void)
{
    struct microvm_snapshot *s = microvm_snapshot_of(d, &profile, why, sizeof(why));

    assert_non_null(s);
    return s;
}

/* Lays the snapshot on the disk, as if it had been built before. */
static void publish(void)
{
    const struct snapshot *s = &snapshot()->snapshot;
    char folder[400];
    int lock, fd;

    assert_int_equal(snapshot_begin(s, folder, &lock, why, sizeof(why)), 0);
    fd = snapshot_memory_file(s, folder, (long)geteuid());
    assert_true(fd >= 0);
    close(fd);
    fake_vmm_write(folder, "state", "devices");
    assert_int_equal(snapshot_complete(s, folder, why, sizeof(why)), 0);
    assert_int_equal(snapshot_publish(s, folder, why, sizeof(why)), 0);
    close(lock);
    *why = '\0';
}

/* Begins a start; it is at the loading of a machine that has just been spawned. */
static struct vmm *start_until_load(int berth)
{
    struct vmm *v;
    int before = fake_vmms.count;

    microvm_start(d, berth, &profile);
    wait_for(&fake_vmms.count, before + 1);
    /* Its browser's path is known, so it is not asked. */
    strcpy(snapshot()->ws_path, "/devtools/browser/1");
    v = fake_vmm();
    fake_vmm_step(v, VMM_SPAWN, NULL);
    assert_string_equal(v->steps, "load ");
    return v;
}

static struct vmm *start_until_up(int berth)
{
    struct vmm *v = start_until_load(berth);

    fake_vmm_step(v, VMM_LOAD, NULL);
    assert_non_null(strstr(fake_vmm_heard(v), GUEST_RESTORE " "));
    fake_vmm_says(v, GUEST_READY " total_ms=1\n");
    wait_for(&ups, ups + 1);
    return v;
}

static void stop(int berth)
{
    microvm_stop(d, berth);
    wait_for(&cleans, cleans + 1);
}

/* ---- tests ---- */

static void test_course(void **state)
{
    struct vmm *v;

    (void)state;
    publish();
    v = start_until_up(0);
    assert_int_equal(d->berths[0].state, MICROVM_UP);
    stop(0);
    assert_true(v->killed);
    assert_int_equal(downs, 0);
}

/* A monitor may end where another says what is wrong: a clone that did not come up is one either way. */
static void test_clones_that_end(void **state)
{
    struct microvm_snapshot *s;

    (void)state;
    publish();
    s = snapshot();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(access(s->snapshot.folder, F_OK), 0);
        fake_vmm_end(start_until_load(0), "QEMU exited with status 1: load of migration failed");
        wait_for(&downs, i + 1);
        assert_non_null(strstr(why, "load of migration failed"));
        stop(0);
    }
    assert_int_equal(s->state, MICROVM_SNAPSHOT_NONE);
    assert_int_equal(access(s->snapshot.folder, F_OK), -1);
}

/* Whatever goes wrong after the first thing that did. */
static void test_down_once(void **state)
{
    struct vmm *v;

    (void)state;
    publish();
    v = start_until_load(0);
    fake_vmm_says(v, GUEST_RESTORE_FAILED " why=clock\n");
    while (d->berths[0].state == MICROVM_LOADING)
        ev_run(loop, EVRUN_ONCE);
    fake_vmm_step(v, VMM_LOAD, "QMP: the connection was closed");
    wait_for(&downs, 1);
    assert_non_null(strstr(why, "restore-failed: clock"));
    if (!v->gone)
        fake_vmm_step(v, VMM_LOAD, "QMP: the connection was closed");
    let_run();
    assert_int_equal(downs, 1);
    stop(0);
}

/* A step at a time: who is woken while it is being paused runs again once it has been. */
static void test_woken_while_pausing(void **state)
{
    struct vmm *v;
    int fd;

    (void)state;
    publish();
    v = start_until_up(0);
    microvm_park(d, 0);
    assert_string_equal(v->steps, "load pause ");
    fd = microvm_connect(d, 0);
    assert_true(fd >= 0);
    close(fd);
    microvm_set_active(d, 0, 1);
    assert_string_equal(v->steps, "load pause ");
    fake_vmm_step(v, VMM_PAUSE, NULL);
    assert_string_equal(v->steps, "load pause resume ");
    assert_int_equal(strncmp(fake_vmm_heard(v), GUEST_CLOCK " time_ns=", 14), 0);
    /* And the other way round. */
    microvm_park(d, 0);
    assert_string_equal(v->steps, "load pause resume ");
    fake_vmm_step(v, VMM_RESUME, NULL);
    assert_string_equal(v->steps, "load pause resume pause ");
    fake_vmm_step(v, VMM_PAUSE, NULL);
    microvm_set_active(d, 0, 1);
    assert_string_equal(v->steps, "load pause resume pause resume ");
    fake_vmm_step(v, VMM_RESUME, NULL);
    stop(0);
}

/* The reason is the guest's, not that its machine was killed for it. */
static void test_nonsense(void **state)
{
    struct vmm *v;

    (void)state;
    publish();
    v = start_until_up(0);
    fake_vmm_says(v, "A guest that was broken into\n");
    wait_for(&downs, 1);
    assert_non_null(strstr(why, "the guest talks nonsense"));
    stop(0);
    /* What its template may have said comes before `ready`, and never after it. */
    v = start_until_load(0);
    fake_vmm_step(v, VMM_LOAD, NULL);
    fake_vmm_says(v, GUEST_SETTLED " quiet=1\n" GUEST_READY " total_ms=1\n");
    wait_for(&ups, 2);
    fake_vmm_says(v, GUEST_BOOTED " protocol=1\n");
    wait_for(&downs, 2);
    assert_non_null(strstr(why, "the guest says booted"));
    stop(0);
    v = start_until_up(0);
    fake_vmm_end(v, "QEMU was killed by signal 11 (Segmentation fault)");
    wait_for(&downs, 3);
    assert_string_equal(why, "the microVM ended: QEMU was killed by signal 11 (Segmentation fault)");
    stop(0);
}

/* Nothing is waited for that cannot come. */
static void test_odd_image(void **state)
{
    (void)state;
    publish();
    d->image.prefix = 0;
    fake_vmm_step(start_until_load(0), VMM_LOAD, NULL);
    wait_for(&downs, 1);
    assert_non_null(strstr(why, "image.json"));
    stop(0);
}

/* Only what runs a template can be blamed on the accelerator. */
static void test_accelerator(void **state)
{
    (void)state;
    microvm_host.tap_error = ENOSPC;
    microvm_start(d, 0, &profile);
    wait_for(&downs, 1);
    assert_non_null(strstr(why, "cannot prepare a template: No space left on device"));
    assert_string_equal(d->accel, "kvm");
    stop(0);
    microvm_host.tap_error = 0;
    microvm_start(d, 0, &profile);
    wait_for(&fake_vmms.count, 1);
    fake_vmm_end(fake_vmm(), "QEMU exited with status 1: no KVM here");
    wait_for(&fake_vmms.count, 2);
    assert_string_equal(d->accel, "tcg");
    assert_int_equal(downs, 1);
    stop(0);
}

static void take_away(const struct vmm_spec *spec)
{
    (void)spec;
    fake_vmms.on_spawn = NULL;
    snapshot_remove(&snapshot()->snapshot);
}

/* It is lost while the first of those who waited for it is served: the others go on waiting. */
static void test_lost_while_served(void **state)
{
    (void)state;
    publish();
    fake_vmms.on_spawn = take_away;
    microvm_start(d, 0, &profile);
    microvm_start(d, 1, &profile);
    wait_for(&fake_vmms.count, 2); /* a clone in vain, and the template of another */
    assert_int_equal(fake_vmm()->kind, VMM_TEMPLATE);
    assert_int_equal(downs, 0);
    assert_int_equal(d->berths[1].state, MICROVM_SNAPSHOT);
}

/* One that waited and ended: what it leaves is removed without complaints about a start of long ago, and
 * another takes its place after a while, also if nothing else happens. */
static void test_waiting_one_ends(void **state)
{
    struct microvm_berth *b = &d->berths[0];

    (void)state;
    publish();
    d->cgroups = (struct cgroup_tree *)&microvm_host;
    settings.vm_ready = 1;
    start_until_up(0);
    stop(0);
    wait_for(&fake_vmms.count, 2);
    fake_vmm_step(fake_vmm(), VMM_SPAWN, NULL);
    b->began -= 3600000;
    microvm_host.busy_cgroups = 2;
    d->berths[1].retry_after = clock_mono_ms() + 3600000; /* it is not the one */
    fake_vmm_end(fake_vmm(), "QEMU was killed by signal 9 (Killed)");
    b->retry_after = clock_mono_ms() + 200;
    wait_for(&fake_vmms.count, 3);
    assert_int_equal(b->warnings, 0);
    assert_true(clock_mono_ms() >= b->retry_after);
}

/* One that is ended because its snapshot was lost has done nothing wrong: the next need not wait. */
static void test_waiting_one_is_thrown_away(void **state)
{
    struct microvm_berth *b = &d->berths[0];

    (void)state;
    publish();
    settings.vm_ready = 1;
    start_until_up(0);
    stop(0);
    wait_for(&fake_vmms.count, 2);
    fake_vmm_step(fake_vmm(), VMM_SPAWN, NULL);
    snapshot_remove(&snapshot()->snapshot);
    assert_int_equal(microvm_snapshot_verify(snapshot()), 0);
    assert_true(fake_vmm()->killed);
    fake_vmm_end_killed();
    assert_true(b->retry_after <= clock_mono_ms());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_course),           TEST(test_clones_that_end),
        TEST(test_down_once),        TEST(test_woken_while_pausing),
        TEST(test_nonsense),         TEST(test_odd_image),
        TEST(test_accelerator),      TEST(test_lost_while_served),
        TEST(test_waiting_one_ends), TEST(test_waiting_one_is_thrown_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
