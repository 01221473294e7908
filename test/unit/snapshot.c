/* links: worker/snapshot.c worker/snapshot_build.c worker/working_set.c worker/image.c */
/* Unit tests of snapshots on disk: keys, publication, refusal with its reason, sealed memory; of working sets
 * and of image.json. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
    close(open(path, O_WRONLY | O_CREAT, 0600));
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

static void test_publish_and_check(void **state)
{
    struct snapshot s, other;
    char path[600];

    (void)state;
    make(&s, "qemu 7.2\n");
    make(&other, "qemu 8.0\n");
    assert_int_equal(snapshot_check(&s, why, sizeof(why)), 0);
    publish(&s);
    assert_int_equal(snapshot_check(&s, why, sizeof(why)), 1);
    /* Another version finds none of its own, and is told what the one that is there was made with. */
    assert_int_equal(snapshot_check(&other, why, sizeof(why)), 0);
    assert_non_null(strstr(why, "it has \"qemu 7.2\", wanted is \"qemu 8.0\""));
    /* Cut short. */
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_MEMORY, s.folder);
    chmod(path, 0600);
    assert_int_equal(truncate(path, MB), 0);
    assert_int_equal(snapshot_check(&s, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "another size"));
    publish(&s); /* in its place */
    assert_int_equal(snapshot_check(&s, why, sizeof(why)), 1);
    snprintf(path, sizeof(path), "%s/snapshot.json", s.folder);
    assert_int_equal(truncate(path, 5), 0);
    assert_int_equal(snapshot_check(&s, why, sizeof(why)), -1);
    snapshot_cleanup(&s);
    snapshot_cleanup(&other);
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
    int fd, more;

    (void)state;
    make(&s, "x\n");
    publish(&s);
    do {
        more = snapshot_load(&s, why, sizeof(why));
    } while (more > 0);
    assert_int_equal(more, 0);
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
    int more;

    (void)state;
    make(&s, "by file\n");
    s.by_file = 1;
    publish(&s);
    do {
        more = snapshot_load(&s, why, sizeof(why));
    } while (more > 0);
    assert_int_equal(more, 0);
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
    assert_non_null(strstr(why, "cannot open"));
    snapshot_cleanup(&s);
}

static void test_working_set(void **state)
{
    int memory = memfd_create("guest", 0);
    struct working_set_walk walk;
    struct working_set set, again;
    char path[100], *own;

    (void)state;
    assert_int_equal(ftruncate(memory, 16 * MB), 0);
    own = mmap(NULL, 16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory, 0);
    own[3 * 4096] = own[4 * 4096] = own[100 * 4096] = 1;
    assert_int_equal(working_set_find(getpid(), memory, &walk), 0);
    assert_true(walk.base == (unsigned long long)(size_t)own);
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
    static const char *const bad[] = {"x",       "5 0\n", "5 2\n6 1\n", "4095 2\n", "4294967295 2\n",
                                      "1 2 3\n", "-5 1\n"};
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
        cmocka_unit_test_setup_teardown(test_publish_and_check, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_builder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sealed_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_by_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_working_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_working_sets, set_up, tear_down),
        cmocka_unit_test(test_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
