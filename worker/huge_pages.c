/* huge_pages.c: see huge_pages.h. */
#include "huge_pages.h"

#include <stdio.h>

/* -1: it cannot be read. */
static long read_count(const char *folder, const char *name)
{
    char path[300];
    long n = -1;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "re");
    if (!f)
        return -1;
    if (fscanf(f, "%ld", &n) != 1)
        n = -1;
    fclose(f);
    return n;
}

long huge_pages_available(const char *folder)
{
    long unused = read_count(folder, "free_hugepages"), promised = read_count(folder, "resv_hugepages");
    long more = read_count(folder, "nr_overcommit_hugepages"), made = read_count(folder, "surplus_hugepages");

    if (unused < 0 || promised < 0)
        return -1;
    if (more > 0 && made >= 0 && more > made)
        unused += more - made;
    return unused > promised ? unused - promised : 0;
}

int huge_pages_check(const char *folder, int memory_mb, char *err, size_t errlen)
{
    long have = huge_pages_available(folder), need = 2L * memory_mb / HUGE_PAGES_MB;

    if (memory_mb % HUGE_PAGES_MB != 0) {
        snprintf(err, errlen, "BERTH_VM_HUGE_PAGES: memoryMb has to be even, not %d", memory_mb);
        return -1;
    }
    if (have < 0) {
        snprintf(err, errlen, "BERTH_VM_HUGE_PAGES: this kernel has no pages of 2 MB (%s)", folder);
        return -1;
    }
    if (have < need) {
        snprintf(
            err, errlen,
            "BERTH_VM_HUGE_PAGES: a snapshot and one microVM of %d MB need %ld free pages of 2 MB, there "
            "are %ld: set more aside (vm.nr_hugepages)",
            memory_mb, need, have);
        return -1;
    }
    return 0;
}
