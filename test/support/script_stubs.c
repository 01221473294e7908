/* script_stubs.c: scripts for the tests of shared/redis*.c, in place of those of lua/ (whose object the
 * linker then leaves out). */
#include "shared/redis.h"

/* The arguments back, after the code. */
#define ECHO "#!lua\nreturn {'ok', KEYS[1], unpack(ARGV)}"

const char *const scripts_text[SCRIPT_COUNT] = {
    /* Notes its first argument in a list; the reply's second element is the list's length. */
    [SCRIPT_register] = "#!lua\nreturn {'ok', redis.call('RPUSH', KEYS[1] .. ':log', ARGV[2])}",
    [SCRIPT_heartbeat] = "#!lua\nreturn {'stale_epoch', 'heartbeat'}",
    [SCRIPT_reserve] = ECHO " -- reserve",
    [SCRIPT_offer] = ECHO " -- offer",
    [SCRIPT_withdraw] = ECHO " -- withdraw",
    [SCRIPT_admit] = ECHO " -- admit",
    [SCRIPT_ready] = ECHO " -- ready",
    [SCRIPT_failed] = "#!lua\nreturn redis.error_reply('ERR it failed')",
    [SCRIPT_freed] = ECHO " -- freed",
    [SCRIPT_release] = ECHO " -- release",
    [SCRIPT_cancel] = ECHO " -- cancel",
    [SCRIPT_drain] = ECHO " -- drain",
    [SCRIPT_limits] = ECHO " -- limits",
    [SCRIPT_get] = "#!lua\nreturn {'not_found'}",
    [SCRIPT_list] = ECHO " -- list",
    [SCRIPT_sweep] = ECHO " -- sweep",
    [SCRIPT_audit] = ECHO " -- audit",
};

const char *const scripts_name[SCRIPT_COUNT] = {
#define SCRIPT(name) #name,
#include "shared/scripts.def"
#undef SCRIPT
};
