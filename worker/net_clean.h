/* net_clean.h: the names a worker's networks have on the host, and removing them: at closing, and after
 * workers that died. */
#ifndef BERTH_NET_CLEAN_H
#define BERTH_NET_CLEAN_H

/* host_lock names: held while networks are made or removed, and by each worker as long as it lives. */
#define NET_CLEAN_LOCK        "networks"
#define NET_CLEAN_WORKER_LOCK "worker/%.64s"

/* The nft table and the pattern of the interfaces ("bth1a2b3c-*"). */
void net_clean_names(const char *worker_id, char table[96], char if_pattern[16]);
void net_clean_space_name(const char *worker_id, int berth, char name[96]); /* of a berth's namespace */
/* nft: path of the program. Blocks. Removes interfaces, firewall rules, table and namespaces of this worker,
 * in this order: while anything is left, a namespace says whose it is. */
void net_clean_worker(const char *nft, const char *worker_id);
/* The same for own_id and for every worker that has namespaces but is not alive any more. */
void net_clean_dead_workers(const char *nft, const char *own_id);
/* Turns forwarding on where replies from outside come in (elsewhere the host stays as it is), and notes
 * where, so that it is turned off again when the last worker's networks are gone, also if the one that turned
 * it on was killed. */
void net_clean_forward(void);
void net_clean_unforward(void); /* does nothing while any worker has interfaces */
/* Where the host's own firewall (iptables' chains, as Docker and ufw leave them) drops what it does not know:
 * lets these interfaces pass there. The worker's own table has judged them already. */
void net_clean_open_firewall(const char *nft, const char *if_pattern);

#endif
