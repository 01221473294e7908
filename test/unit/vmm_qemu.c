/* links: worker/vmm_qemu_args.c worker/vmm_qemu_open.c worker/vmm_process.c worker/vmm_tail.c */
/* links: worker/child.c worker/child_exec.c worker/child_run.c */
/* Unit tests of QEMU's version and arguments: the cache of translated code, huge pages, and that neither is
 * part of a snapshot's identity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/buf.h"
#include "worker/image.h"
#include "worker/vmm_qemu.h"

static const struct image image = {.paths = {"/images/vmlinux", "/images/initrd", "/images/root.erofs"},
                                   .cmdline = "quiet rdinit=/init"};

static struct vmm_host a_host(int tcg_mb)
{
    return (struct vmm_host){.program = "/usr/bin/qemu-system-x86_64",
                             .bwrap = "/usr/bin/bwrap",
                             .version = "7.2.22",
                             .tcg_mb = tcg_mb,
                             .tsc_khz = 2000000};
}

/* Whether one of the arguments is this, for a machine of 512 MB. */
static int says(const struct vmm_host *h, enum vmm_kind kind, const char *accel, int huge_pages,
                const char *wanted)
{
    struct vmm_spec spec = {.kind = kind,
                            .machine = {&image, 512, 2, accel, huge_pages},
                            .place = {.mac = "02:00:00:00:00:07"},
                            .folder = ""};
    char **args = vmm_qemu_args(h, &spec, "");
    int found = 0;

    for (char **arg = args; *arg; arg++)
        found |= strcmp(*arg, wanted) == 0;
    vmm_qemu_args_free(args);
    return found;
}

static void test_translated_code(void **state)
{
    const struct vmm_host normal = a_host(VMM_TCG_MB), small = a_host(32), own = a_host(0);
    const struct vmm_machine tcg = {&image, 512, 2, "tcg", 0}, kvm = {&image, 512, 2, "kvm", 0};

    (void)state;
    assert_true(says(&normal, VMM_CLONE, "tcg", 0, "tcg,thread=multi,tb-size=128"));
    assert_true(says(&small, VMM_CLONE, "tcg", 0, "tcg,thread=multi,tb-size=32"));
    assert_true(says(&own, VMM_CLONE, "tcg", 0, "tcg,thread=multi"));
    assert_true(says(&small, VMM_CLONE, "kvm", 0, "kvm"));
    assert_int_equal(vmm_qemu_overhead_mb(&normal, &tcg), 96 + 192);
    assert_int_equal(vmm_qemu_overhead_mb(&small, &tcg), 96 + 96);
    assert_int_equal(vmm_qemu_overhead_mb(&own, &tcg), 96 + 64 + 1024);
    assert_int_equal(vmm_qemu_overhead_mb(&small, &kvm), 96);
}

#define BACKEND "memory-backend-file,id=mem,size=512M,mem-path=/proc/self/fd/6,share="

static void test_memory(void **state)
{
    const struct vmm_host h = a_host(VMM_TCG_MB);

    (void)state;
    assert_true(says(&h, VMM_CLONE, "kvm", 0, BACKEND "off,reserve=off,merge=off,dump=off"));
    assert_true(says(&h, VMM_CLONE, "kvm", 1, BACKEND "off,merge=off,dump=off"));
    assert_true(says(&h, VMM_TEMPLATE, "kvm", 0, BACKEND "on,merge=off,dump=off"));
    assert_true(says(&h, VMM_TEMPLATE, "kvm", 1, BACKEND "on,merge=off,dump=off"));
}

static char *identity_of(int tcg_mb, int huge_pages, int memory_mb)
{
    const struct vmm_host h = a_host(tcg_mb);
    const struct vmm_machine m = {&image, memory_mb, 2, "tcg", huge_pages};
    struct buf out = {0};

    vmm_qemu_identify(&h, &m, &out);
    return buf_take(&out);
}

static void test_identity(void **state)
{
    char *normal = identity_of(VMM_TCG_MB, 0, 512), *larger = identity_of(VMM_TCG_MB, 0, 1024);
    char *small = identity_of(32, 0, 512), *own = identity_of(0, 0, 512),
         *huge = identity_of(VMM_TCG_MB, 1, 512);

    (void)state;
    assert_int_equal(strncmp(normal, "qemu 7.2.22\n", 12), 0);
    assert_non_null(strstr(normal, "\ntcg,thread=multi,tb-size=128\n"));
    assert_non_null(strstr(normal, "\n" BACKEND "on,merge=off,dump=off\n"));
    assert_string_not_equal(normal, larger);
    assert_string_equal(normal, small);
    assert_string_equal(normal, own);
    assert_string_equal(normal, huge);
    free(normal);
    free(larger);
    free(small);
    free(own);
    free(huge);
}

static void test_version(void **state)
{
    static const char *const bad[] = {"", "QEMU emulator version ", "QEMU emulator version 7",
                                      "QEMU emulator version .7.2", "qemu-img version 7.2.22"};
    char out[40];

    (void)state;
    assert_int_equal(vmm_qemu_parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n", out), 0);
    assert_string_equal(out, "7.2.22");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(vmm_qemu_parse_version(bad[i], out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_translated_code),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
