/* clang-format off */
/* links: worker/snapshot.c worker/snapshot_record.c worker/snapshot_load.c worker/snapshot_build.c worker/snapshot_prune.c worker/working_set.c worker/image.c */
/* clang-format on */
/* Unit tests of snapshots on disk: keys, publication, refusal with its reason, sealed memory, loss while they
 * are in use, room made on the disk; of working sets and of image.json. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/mem.h"
#include "worker/image.h"
#include "worker/snapshot.h"
#include "worker/working_set.h"

#define MB 1048576LL

static char state_dir[64], why[600];

static int set_up(void **state)
{
    (void)state;
    snprintf(state_dir, sizeof(state_dir), "/tmp/berth-snapshot-XXXXXX");
    return mkdtemp(state_dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", state_dir);
    return system(command);
}

static void make(struct snapshot *s, const char *identity)
{
    snapshot_init(s, state_dir, mem_strdup(identity), 16);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Builds one whose memory has a mark in its tenth megabyte. */
static void publish(const struct snapshot *s)
{
    char folder[400], path[500];
    int lock, memory;

    assert_int_equal(snapshot_begin(s, folder, &lock, why, sizeof(why)), 0);
    memory = snapshot_memory_file(s, folder, (long)geteuid());
    assert_true(memory >= 0);
    assert_int_equal(pwrite(memory, "mark", 4, 10 * MB + 5), 4);
    close(memory);
    snprintf(path, sizeof(path), "%s/state", folder);
    write_file(path, "devices");
    assert_int_equal(snapshot_complete(s, folder, why, sizeof(why)), 0);
    assert_int_equal(snapshot_publish(s, folder, why, sizeof(why)), 0);
    close(lock);
}

static void test_key(void **state)
{
    struct snapshot a, b, c;

    (void)state;
    make(&a, "image x\nvcpus 2\n");
    make(&b, "image x\nvcpus 2\n");
    make(&c, "image x\nvcpus 3\n");
    assert_string_equal(a.key, b.key);
    assert_string_not_equal(a.key, c.key);
    assert_int_equal(strlen(a.key), 32);
    snapshot_cleanup(&a);
    snapshot_cleanup(&b);
    snapshot_cleanup(&c);
}

static void test_difference(void **state)
{
    char out[300];

    (void)state;
    snapshot_difference("qemu 7.2\ncpu a\n", "qemu 7.1\ncpu a\n", out, sizeof(out));
    assert_string_equal(out, "it has \"qemu 7.1\", wanted is \"qemu 7.2\"");
    snapshot_difference("a\n", "a\nb\n", out, sizeof(out));
    assert_string_equal(out, "it has \"b\", wanted is nothing");
}

static const char *in_folder(const struct snapshot *s, const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s/%s", s->folder, name);
    return path;
}

static void test_publish_and_find(void **state)
{
    struct snapshot s, other;

    (void)state;
    make(&s, "qemu 7.2\n");
    make(&other, "qemu 8.0\n");
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 0);
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    assert_int_equal(s.record.count, 2);
    /* Another version finds none of its own, and is told what the one that is there was made with. */
    assert_int_equal(snapshot_find(&other, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "it has \"qemu 7.2\", wanted is \"qemu 8.0\""));
    snapshot_cleanup(&s);
    snapshot_cleanup(&other);
}

/* Whatever is wrong with it, one that is built in its place is right. */
static void assert_refused(struct snapshot *s, const char *reason)
{
    assert_int_equal(snapshot_find(s, why, sizeof(why)), -1);
    assert_non_null(strstr(why, reason));
    assert_int_equal(s->held, -1);
    publish(s);
    assert_int_equal(snapshot_find(s, why, sizeof(why)), 1);
}

static void test_refused(void **state)
{
    struct snapshot s;

    (void)state;
    make(&s, "qemu 7.2\n");
    publish(&s);
    chmod(in_folder(&s, SNAPSHOT_MEMORY), 0600);
    assert_int_equal(truncate(in_folder(&s, SNAPSHOT_MEMORY), MB), 0);
    assert_refused(&s, "its memory has another size than was saved: 1048576 bytes, not 16777216");
    unlink(in_folder(&s, SNAPSHOT_MEMORY));
    assert_refused(&s, "its memory is missing");
    write_file(in_folder(&s, "state"), "devicex");
    assert_refused(&s, "its state is not what was saved");
    write_file(in_folder(&s, "state"), "devices and more");
    assert_refused(&s, "its state has another size");
    unlink(in_folder(&s, "state"));
    assert_refused(&s, "its state is missing");
    assert_int_equal(truncate(in_folder(&s, "snapshot.json"), 5), 0);
    assert_refused(&s, "is no JSON");
    write_file(in_folder(&s, "snapshot.json"), "{\"format\":1,\"identity\":\"qemu 7.2\\n\",\"files\":[]}");
    assert_refused(&s, "not of format 2");
    write_file(in_folder(&s, "snapshot.json"),
               "{\"format\":2,\"identity\":\"qemu 7.2\\n\",\"files\":[{\"name\":\"../x\",\"size\":1,"
               "\"sum\":\"0123456789abcdef\"}]}");
    assert_refused(&s, "not of format 2");
    unlink(in_folder(&s, "snapshot.json"));
    assert_refused(&s, "cannot be read");
    snapshot_cleanup(&s);
}

static int load(struct snapshot *s)
{
    int more;

    do {
        more = snapshot_load(s, why, sizeof(why));
    } while (more > 0);
    return more;
}

/* One bit on the disk: found when the memory is loaded. */
static void test_broken_memory(void **state)
{
    struct snapshot s;
    int fd;

    (void)state;
    make(&s, "x\n");
    publish(&s);
    assert_int_equal(chmod(in_folder(&s, SNAPSHOT_MEMORY), 0600), 0);
    fd = open(in_folder(&s, SNAPSHOT_MEMORY), O_RDWR);
    assert_int_equal(pwrite(fd, "\1", 1, 15 * MB + 77), 1);
    close(fd);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    assert_int_equal(load(&s), -2);
    assert_non_null(strstr(why, "checksum"));
    assert_int_equal(s.memory, -1);
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    assert_int_equal(load(&s), 0);
    snapshot_cleanup(&s);
}

static void test_sum(void **state)
{
    static unsigned char data[100];
    struct snapshot_sum a, b;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 7);
    snapshot_sum_init(&a);
    snapshot_sum_add(&a, data, sizeof(data));
    snapshot_sum_init(&b);
    snapshot_sum_add(&b, data, 64);
    snapshot_sum_add(&b, data + 64, 36);
    assert_true(snapshot_sum_end(&a) == snapshot_sum_end(&b));
    for (size_t i = 0; i < sizeof(data) * 8; i++) {
        data[i / 8] ^= (unsigned char)(1 << i % 8);
        snapshot_sum_init(&b);
        snapshot_sum_add(&b, data, sizeof(data));
        assert_true(snapshot_sum_end(&a) != snapshot_sum_end(&b));
        data[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    snapshot_sum_init(&b);
    snapshot_sum_add(&b, data, sizeof(data) - 1);
    assert_true(snapshot_sum_end(&a) != snapshot_sum_end(&b));
}

static void test_lost_while_used(void **state)
{
    struct snapshot s, other;

    (void)state;
    make(&s, "x\n");
    make(&other, "x\n");
    assert_int_equal(snapshot_is_current(&s, why, sizeof(why)), 0);
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    write_file(in_folder(&s, SNAPSHOT_WORKING_SET), "1 2\n"); /* comes later, and belongs there */
    assert_int_equal(snapshot_is_current(&s, why, sizeof(why)), 1);
    write_file(in_folder(&s, "state"), "devices");
    assert_int_equal(snapshot_is_current(&s, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "/state was removed or changed"));
    publish(&other);
    assert_int_equal(snapshot_is_current(&s, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "was replaced"));
    /* What was found before it was replaced loads from what was found, or not at all. */
    assert_int_equal(load(&s), -1);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    snapshot_remove(&other);
    assert_int_equal(snapshot_is_current(&s, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "is gone"));
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 0);
    snapshot_cleanup(&s);
    snapshot_cleanup(&other);
}

/* ---- room on the disk ---- */

static int is_there(const struct snapshot *s)
{
    return access(s->folder, F_OK) == 0;
}

/* Publishes one that takes a good 4 MB on the disk, used so many seconds after the epoch. */
static void publish_used(struct snapshot *s, const char *identity, time_t used)
{
    struct timespec times[2] = {{used, 0}, {used, 0}};
    char folder[400];
    int lock, memory;

    make(s, identity);
    assert_int_equal(snapshot_begin(s, folder, &lock, why, sizeof(why)), 0);
    memory = snapshot_memory_file(s, folder, (long)geteuid());
    assert_int_equal(posix_fallocate(memory, 0, 4 * MB), 0);
    close(memory);
    assert_int_equal(snapshot_complete(s, folder, why, sizeof(why)), 0);
    assert_int_equal(snapshot_publish(s, folder, why, sizeof(why)), 0);
    assert_int_equal(utimensat(AT_FDCWD, s->folder, times, 0), 0);
    close(lock);
}

static void test_prune(void **state)
{
    struct snapshot old, held, newer, newest;
    long left;

    (void)state;
    publish_used(&newest, "newest\n", 4000);
    publish_used(&old, "old\n", 1000);
    publish_used(&held, "held\n", 2000);
    publish_used(&newer, "newer\n", 3000);
    left = snapshot_prune(state_dir, 0, "");
    assert_true(left >= 16 && left < 20);
    assert_true(snapshot_prune(state_dir, 100, "") == left);
    assert_true(is_there(&old));
    assert_int_equal(snapshot_find(&held, why, sizeof(why)), 1); /* used now: it is the newest */
    left = snapshot_prune(state_dir, 13, "");
    assert_true(left >= 12 && left < 16);
    assert_false(is_there(&old));
    assert_true(is_there(&held) && is_there(&newer) && is_there(&newest));
    /* The one just made stays, and the one in use, whatever they take. */
    left = snapshot_prune(state_dir, 1, newest.key);
    assert_true(left >= 8 && left < 12);
    assert_true(is_there(&held) && is_there(&newest));
    assert_false(is_there(&newer));
    assert_int_equal(snapshot_is_current(&held, why, sizeof(why)), 1);
    snapshot_release(&held);
    assert_true(snapshot_prune(state_dir, 1, newest.key) < 8);
    assert_false(is_there(&held));
    snapshot_cleanup(&old);
    snapshot_cleanup(&held);
    snapshot_cleanup(&newer);
    snapshot_cleanup(&newest);
}

/* Who comes while it is being removed does not take it. */
static void test_find_while_pruned(void **state)
{
    struct snapshot s;
    int fd;

    (void)state;
    publish_used(&s, "x\n", 1000);
    fd = open(s.folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 0);
    close(fd);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    snapshot_cleanup(&s);
}

static void test_one_builder(void **state)
{
    struct snapshot s;
    char folder[400], second[400];
    int lock, other;

    (void)state;
    make(&s, "x\n");
    assert_int_equal(snapshot_begin(&s, folder, &lock, why, sizeof(why)), 0);
    assert_int_equal(snapshot_begin(&s, second, &other, why, sizeof(why)), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    close(lock); /* as when the builder dies: what it left goes */
    assert_int_equal(snapshot_begin(&s, second, &other, why, sizeof(why)), 0);
    assert_int_equal(access(folder, F_OK), -1);
    snapshot_discard(second);
    assert_int_equal(access(second, F_OK), -1);
    close(other);
    snapshot_cleanup(&s);
}

static void test_sealed_memory(void **state)
{
    struct snapshot s;
    char path[64], *own;
    int fd;

    (void)state;
    make(&s, "x\n");
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    assert_int_equal(load(&s), 0);
    /* As a machine monitor opens it: for writing, which it cannot do. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s.memory);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    own = mmap(NULL, 16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(own != MAP_FAILED);
    assert_memory_equal(own + 10 * MB + 5, "mark", 4);
    assert_int_equal(own[12 * MB], 0);
    own[10 * MB + 5] = 'x';
    munmap(own, 16 * MB);
    close(fd);
    snapshot_cleanup(&s);
}

/* For a monitor that maps the file by its path: nothing is copied, and who gets it cannot write. */
static void test_memory_by_file(void **state)
{
    struct snapshot s;
    struct stat file, loaded;
    char path[500];

    (void)state;
    make(&s, "by file\n");
    s.by_file = 1;
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    assert_int_equal(load(&s), 0);
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, s.folder);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(fstat(s.memory, &loaded), 0);
    assert_int_equal(file.st_ino, loaded.st_ino);
    assert_int_equal(file.st_mode & 0777, 0444);
    assert_int_equal(write(s.memory, "x", 1), -1);
    assert_int_equal(unlink(path), 0);
    snapshot_cleanup(&s);

    make(&s, "by file\n");
    s.by_file = 1;
    assert_int_equal(snapshot_load(&s, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "cannot load"));
    snapshot_cleanup(&s);
}

/* Of huge pages the copy has the same seals; without any on the host it is refused and says of what kind. */
static void test_huge_pages(void **state)
{
    struct snapshot s;
    char *own;
    int result;

    (void)state;
    make(&s, "huge\n");
    publish(&s);
    assert_int_equal(snapshot_find(&s, why, sizeof(why)), 1);
    s.huge_pages = 1;
    result = load(&s);
    if (result != 0) {
        assert_int_equal(result, -1);
        assert_non_null(strstr(why, "into huge pages (BERTH_VM_HUGE_PAGES): "));
        assert_int_equal(s.memory, -1);
        print_message("not loaded: %s\n", why);
    } else {
        assert_true((fcntl(s.memory, F_GET_SEALS) & F_SEAL_WRITE) != 0);
        own = mmap(NULL, 16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, s.memory, 0);
        assert_true(own != MAP_FAILED);
        assert_memory_equal(own + 10 * MB + 5, "mark", 4);
        assert_int_equal(own[12 * MB], 0);
        munmap(own, 16 * MB);
    }
    snapshot_cleanup(&s);
}

static void test_working_set(void **state)
{
    int memory = memfd_create("guest", 0);
    struct working_set_walk walk;
    struct working_set set, again;
    char path[100], *own, *other;

    (void)state;
    assert_int_equal(ftruncate(memory, 16 * MB), 0);
    own = mmap(NULL, 16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
    own[3 * 4096] = own[4 * 4096] = own[100 * 4096] = 1;
    /* Programs and libraries are such mappings, too, and may have the same number. */
    other = mmap(own - MB, 4096, PROT_READ, MAP_PRIVATE, memory, 0);
    assert_true(other < own);
    assert_int_equal(working_set_find(getpid(), memory, &walk), 0);
    assert_true(walk.base == (unsigned long long)(size_t)own);
    munmap(other, 4096);
    assert_int_equal(working_set_record(&walk, 16, &set), 0);
    assert_int_equal(set.pages, 3);
    assert_int_equal(set.ranges[0].first, 3);
    assert_int_equal(set.ranges[0].count, 2);
    snprintf(path, sizeof(path), "%s/set", state_dir);
    assert_int_equal(working_set_save(&set, path), 0);
    assert_int_equal(working_set_load(&again, path, 16), 0);
    assert_int_equal(again.pages, 3);
    munmap(own, 16 * MB);
    own = mmap(NULL, 16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
    assert_int_equal(working_set_find(getpid(), memory, &walk), 0);
    while (working_set_map(&again, &walk) > 0)
        ;
    working_set_cleanup(&set);
    assert_int_equal(working_set_record(&walk, 16, &set), 0);
    assert_true(set.pages >= 3);
    munmap(own, 16 * MB);
    assert_int_equal(working_set_find(getpid(), memory, &walk), -1);
    working_set_cleanup(&set);
    working_set_cleanup(&again);
    close(memory);
}

static void test_bad_working_sets(void **state)
{
    static const char *const bad[] = {
        "x", "5 0\n", "5 2\n6 1\n", "4095 2\n", "4294967295 2\n", "1 2 3\n", "-5 1\n", ""};
    struct working_set set;
    char path[100];

    (void)state;
    snprintf(path, sizeof(path), "%s/set", state_dir);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        FILE *f = fopen(path, "w");

        fputs(bad[i], f);
        fclose(f);
        assert_int_equal(working_set_load(&set, path, 16), -1);
    }
}

/* ---- image.json ---- */

#define HASH       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PART(name) "{\"file\":\"" name "\",\"size\":10,\"sha256\":\"" HASH "\"}"
#define REST                                                                                                 \
    "\"cmdline\":\"quiet\",\"cdpPort\":9223,\"address\":\"172.31.255.2\",\"prefix\":30,\"gateway\":\"172."   \
    "31.255.1\""

static int parse_image(const char *text, struct image *image)
{
    long long sizes[IMAGE_PARTS];

    return image_parse(image, "/images", text, strlen(text), sizes, why, sizeof(why));
}

static void test_image(void **state)
{
    static const char good[] = "{\"key\":\"" HASH "\",\"protocol\":1,\"kernel\":" PART(
        "vmlinux") ",\"initrd\":" PART("initrd") ",\"root\":" PART("root.erofs") "," REST "}";
    static const char *const bad[] = {
        "",
        "[]",
        "{\"protocol\":2}",
        "{\"key\":\"" HASH "\",\"protocol\":1,\"kernel\":" PART("../vmlinux") ",\"initrd\":" PART(
            "i") ",\"root\":" PART("r") "," REST "}",
        "{\"key\":\"short\",\"protocol\":1,\"kernel\":" PART("k") ",\"initrd\":" PART("i") ",\"root\":" PART(
            "r") "," REST "}",
        "{\"key\":\"" HASH
        "\",\"protocol\":1,\"kernel\":" PART("k") ",\"initrd\":" PART("i") ",\"root\":" PART("r") "}",
    };
    struct image image;

    (void)state;
    assert_int_equal(parse_image(good, &image), 0);
    assert_string_equal(image.paths[IMAGE_KERNEL], "/images/vmlinux");
    assert_string_equal(image.paths[IMAGE_ROOT], "/images/root.erofs");
    assert_string_equal(image.cmdline, "quiet");
    assert_int_equal(image.cdp_port, 9223);
    assert_int_equal(image.prefix, 30);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_int_equal(parse_image(bad[i], &image), -1);
        assert_string_not_equal(why, "");
    }
    assert_int_equal(image_load(&image, "/nowhere", why, sizeof(why)), -1);
    assert_non_null(strstr(why, "scripts/image"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_key, set_up, tear_down),
        cmocka_unit_test(test_difference),
        cmocka_unit_test_setup_teardown(test_publish_and_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_memory, set_up, tear_down),
        cmocka_unit_test(test_sum),
        cmocka_unit_test_setup_teardown(test_lost_while_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prune, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find_while_pruned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_builder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sealed_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_by_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_huge_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_working_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_working_sets, set_up, tear_down),
        cmocka_unit_test(test_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
