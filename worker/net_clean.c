/* net_clean.c: see net_clean.h. */
#include "net_clean.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../shared/buf.h"
#include "../shared/log.h"
#include "../shared/random.h"
#include "cgroup.h"
#include "child.h"
#include "egress.h"
#include "host_lock.h"
#include "net_if.h"
#include "net_space.h"

#define FORWARD_NOTE "/run/berth-forwarding" /* interfaces, one a line */
#define UPLINKS_MAX  32
#define LIMIT_MS     60000
#define HASH_CHARS   6
#define ID_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define OTHERS_MAX   64 /* dead workers cleaned up after at one opening */

static const char *const firewall_chains[] = {"FORWARD", "INPUT"};

void net_clean_names(const char *worker_id, char table[96], char if_pattern[16])
{
    char hash[65];

    random_sha256_hex(worker_id, strlen(worker_id), hash);
    snprintf(table, 96, "berth-%.64s", worker_id);
    snprintf(if_pattern, 16, EGRESS_IF_PREFIX "%.*s-*", HASH_CHARS, hash);
}

void net_clean_space_name(const char *worker_id, int berth, char name[96])
{
    snprintf(name, 96, "berth-%.64s-%d", worker_id, berth);
}

static int run_nft(const char *nft, const struct buf *input, struct buf *output)
{
    char *argv[] = {(char *)nft, (char *)"-f", (char *)"-", NULL};

    return child_run(argv, input->data, output, LIMIT_MS);
}

/* ---- the host's firewall ---- */

static int chain_text(const char *nft, const char *chain, struct buf *out)
{
    char *argv[] = {(char *)nft,  (char *)"-a",     (char *)"list", (char *)"chain",
                    (char *)"ip", (char *)"filter", (char *)chain,  NULL};

    return child_run(argv, NULL, out, LIMIT_MS);
}

void net_clean_open_firewall(const char *nft, const char *if_pattern)
{
    for (int i = 0; i < 2; i++) {
        const char *chain = firewall_chains[i];
        struct buf text = {0}, rules = {0};

        if (chain_text(nft, chain, &text) == 0 && text.data && strstr(text.data, "policy drop")) {
            buf_addf(&rules, "insert rule ip filter %s iifname \"%s\" counter accept\n", chain, if_pattern);
            if (i == 0)
                buf_addf(&rules, "insert rule ip filter %s oifname \"%s\" counter accept\n", chain,
                         if_pattern);
            text.len = 0;
            if (run_nft(nft, &rules, &text) == 0)
                log_info("firewall_opened", "chain=%s interfaces=%s", chain, if_pattern);
            else
                log_warn("firewall_closed", "chain=%s interfaces=%s", chain, if_pattern);
        }
        buf_cleanup(&text);
        buf_cleanup(&rules);
    }
}

static void close_firewall(const char *nft, const char *if_pattern)
{
    for (int i = 0; i < 2; i++) {
        struct buf text = {0}, rules = {0};
        char *save = NULL, *line;

        if (chain_text(nft, firewall_chains[i], &text) == 0 && text.data) {
            for (line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *handle = strstr(line, "# handle ");

                if (handle && strstr(line, if_pattern))
                    buf_addf(&rules, "delete rule ip filter %s handle %d\n", firewall_chains[i],
                             atoi(handle + 9));
            }
        }
        if (rules.len)
            run_nft(nft, &rules, NULL);
        buf_cleanup(&text);
        buf_cleanup(&rules);
    }
}

/* ---- one worker ---- */

/* n of "berth-<worker>-<n>", or -1; the worker's id goes to id. */
static long parse_namespace(const char *name, char id[65])
{
    const char *dash = strrchr(name, '-');
    char *end;
    long n;

    if (strncmp(name, "berth-", 6) != 0 || dash < name + 7 || dash - (name + 6) > 64 ||
        !isdigit((unsigned char)dash[1]))
        return -1;
    n = strtol(dash + 1, &end, 10);
    if (*end || strspn(name, ID_CHARS) != strlen(name))
        return -1;
    snprintf(id, 65, "%.*s", (int)(dash - (name + 6)), name + 6);
    return n;
}

/* Both: the names are taken first, since removing changes what is being listed. */
static void remove_links(const char *if_pattern)
{
    struct if_nameindex *list = if_nameindex();

    for (struct if_nameindex *i = list; i && i->if_name; i++) {
        if (strncmp(i->if_name, if_pattern, strlen(if_pattern) - 1) == 0 &&
            net_space_unlink(i->if_name) != 0 && errno != ENODEV)
            log_warn("link_not_removed", "interface=%s error=%s", i->if_name, strerror(errno));
    }
    if (list)
        if_freenameindex(list);
}

static void remove_spaces(const char *worker_id)
{
    struct dirent **list = NULL;
    int count = scandir(NET_SPACE_DIR, &list, NULL, NULL);
    char id[65];

    for (int i = 0; i < count; i++) {
        if (parse_namespace(list[i]->d_name, id) >= 0 && strcmp(id, worker_id) == 0 &&
            net_space_remove(list[i]->d_name) != 0)
            log_warn("namespace_not_removed", "name=%s error=%s", list[i]->d_name, strerror(errno));
        free(list[i]);
    }
    free(list);
}

void net_clean_worker(const char *nft, const char *worker_id)
{
    char table[96], pattern[16];
    struct buf rules = {0}, output = {0};

    net_clean_names(worker_id, table, pattern);
    remove_links(pattern);
    close_firewall(nft, pattern);
    egress_rules_delete(&rules, table);
    if (run_nft(nft, &rules, &output) != 0)
        log_warn("nft_table_not_removed", "table=%s output=%s", table,
                 output.data ? output.data : strerror(errno));
    remove_spaces(worker_id);
    buf_cleanup(&rules);
    buf_cleanup(&output);
}

static void clean_if_dead(const char *nft, const char *id)
{
    char name[96];
    int lock;

    snprintf(name, sizeof(name), NET_CLEAN_WORKER_LOCK, id);
    lock = host_lock_take(name, 0);
    if (lock < 0)
        return;
    log_info("dead_worker_cleaned", "worker=%s", id);
    net_clean_worker(nft, id);
    cgroup_remove_leftover(id);
    close(lock);
}

void net_clean_dead_workers(const char *nft, const char *own_id)
{
    DIR *d = opendir(NET_SPACE_DIR);
    struct dirent *e;
    char ids[OTHERS_MAX][65];
    int count = 0;

    net_clean_worker(nft, own_id);
    while (d && count < OTHERS_MAX && (e = readdir(d))) {
        int known;

        if (parse_namespace(e->d_name, ids[count]) < 0)
            continue;
        known = strcmp(ids[count], own_id) == 0;
        for (int i = 0; i < count; i++)
            known |= strcmp(ids[i], ids[count]) == 0;
        count += !known;
    }
    if (d)
        closedir(d);
    for (int i = 0; i < count; i++)
        clean_if_dead(nft, ids[i]);
}

/* ---- forwarding ---- */

void net_clean_forward(void)
{
    char uplinks[UPLINKS_MAX][16];
    int count = net_if_uplinks(uplinks, UPLINKS_MAX);
    FILE *note = fopen(FORWARD_NOTE, "ae");

    for (int i = 0; i < count; i++) {
        if (net_if_get_sysctl("ipv4/conf/%s/forwarding", uplinks[i]) == 1)
            continue;
        if (net_if_sysctl("ipv4/conf/%s/forwarding", uplinks[i], 1) != 0) {
            log_warn("forwarding_failed", "interface=%s error=%s", uplinks[i], strerror(errno));
            continue;
        }
        log_info("forwarding_on", "interface=%s", uplinks[i]);
        if (note)
            fprintf(note, "%s\n", uplinks[i]);
    }
    if (note && (fclose(note) != 0))
        log_warn("forwarding_not_noted", "path=%s error=%s", FORWARD_NOTE, strerror(errno));
}

static int any_interfaces(void)
{
    DIR *d = opendir("/sys/class/net");
    struct dirent *e;
    int n = 0;

    while (d && (e = readdir(d)))
        n += strncmp(e->d_name, EGRESS_IF_PREFIX, strlen(EGRESS_IF_PREFIX)) == 0;
    if (d)
        closedir(d);
    return n;
}

void net_clean_unforward(void)
{
    char name[32];
    FILE *note = any_interfaces() ? NULL : fopen(FORWARD_NOTE, "re");

    if (!note)
        return;
    while (fgets(name, sizeof(name), note)) {
        name[strcspn(name, "\n")] = '\0';
        if (*name && !strchr(name, '/'))
            net_if_sysctl("ipv4/conf/%s/forwarding", name, 0);
    }
    fclose(note);
    unlink(FORWARD_NOTE);
}
