/* boot.h: from the kernel's first process to a guest in which a browser can run: modules, the root, mounts,
 * eth0. Blocking: there is nobody else yet. */
#ifndef BERTH_GUEST_BOOT_H
#define BERTH_GUEST_BOOT_H

#define BROWSER_UID  1000
#define BROWSER_HOME "/home/browser"

/* Says what failed, with errno, on the console, and ends the machine: a guest that cannot boot is of no use.
 */
_Noreturn void boot_fail(const char *what);

double boot_now_ms(void); /* since the kernel started; stands still while the machine is not run */

void boot_modules(void); /* loads what /modules/order names, in that order */
void boot_root(void);    /* the read-only root under a tmpfs overlay becomes / */
void boot_ready(void);   /* mounts and settings that the browser needs */
/* The value of key= on the kernel's command line, in out; 0, or -1: not there or too long. */
int boot_option(const char *key, char *out, unsigned long size);
/* The device node of the virtio-serial port of that name; 0 with its path in out, -1 if there is none. Waits
 * for the driver to find out. */
int boot_find_port(const char *name, char *out, unsigned long size);

#endif
