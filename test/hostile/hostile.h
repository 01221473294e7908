/* hostile.h: what a compromised browser, or machine monitor, would try, from native code inside a berth. Only
 * tests build it.
 *
 * Each attack prints lines "key value…" for the test to judge; what is allowed is the test's business.
 * Attacks that use something up take their bound as an argument and give back what they took. */
#ifndef HOSTILE_H
#define HOSTILE_H

typedef void hostile_attack(int argc, char **argv);

void hostile_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "key: yes" for a result that is not negative, "key: no ERRNO-NAME" for one that is. */
void hostile_outcome(const char *key, long result);
double hostile_now(void); /* seconds, monotonic */

/* reach.c */
hostile_attack attack_tcp;   /* address port, pairs: "tcp A P: yes | no ERRNO" */
hostile_attack attack_udp;   /* address port, pairs: one datagram each; who got it is the test's to see */
hostile_attack attack_unix;  /* paths, "@name" abstract */
hostile_attack attack_files; /* read PATH… */
hostile_attack attack_write; /* tries to make, or open for writing, each PATH */
hostile_attack attack_held;  /* tries to change each file that it was started with */
hostile_attack attack_mounts;
hostile_attack attack_shm; /* System V ids */
hostile_attack attack_processes;
hostile_attack attack_listen; /* port: answers everybody from now on */
hostile_attack attack_hold;   /* address port: connects, and keeps it with children that do not want to end */
/* kernel.c */
hostile_attack attack_syscalls;
hostile_attack attack_privileges;
hostile_attack attack_namespaces;
/* use.c */
hostile_attack attack_forks;       /* most */
hostile_attack attack_memory;      /* most, MB */
hostile_attack attack_fill;        /* folder, most MB */
hostile_attack attack_descriptors; /* most */
hostile_attack attack_output;      /* MB */
hostile_attack attack_burn;        /* processes, CPU seconds */

#endif
