/* microvm_host.h: a host that has what a microVM driver asks for: networks, cgroups, connections. In the
 * place of the worker's own; what does not work is said here. */
#ifndef BERTH_TEST_MICROVM_HOST_H
#define BERTH_TEST_MICROVM_HOST_H

struct microvm_host {
    int tap_error;    /* of a template's network; 0: none */
    int busy_cgroups; /* so often one cannot be removed */
};

extern struct microvm_host microvm_host;

#endif
