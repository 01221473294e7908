/* script_stubs.c: a library for the tests of shared/redis*.c, in place of that of lua/ (whose object the
 * linker then leaves out). */
#include "shared/redis.h"

#define FUNCTION(verb, body)                                                                                 \
    "redis.register_function('berth_stub_" verb "', function(KEYS, ARGV) " body " end)\n"
/* The arguments back, after the code. */
#define ECHO(verb) FUNCTION(verb, "return {'ok', KEYS[1], unpack(ARGV)}")

const char *const scripts_library_text[] = {
    "#!lua name=berth_stub\n"
    /* Notes its first argument in a list; the reply's second element is the list's length. */
    FUNCTION("register", "return {'ok', redis.call('RPUSH', KEYS[1] .. ':log', ARGV[2])}")
        FUNCTION("heartbeat", "return {'stale_epoch', 'heartbeat'}")
            FUNCTION("failed", "return redis.error_reply('ERR it failed')")
                FUNCTION("get", "return {'not_found'}") ECHO("reserve") ECHO("offer") ECHO("withdraw")
                    ECHO("admit") ECHO("ready") ECHO("freed") ECHO("release") ECHO("cancel") ECHO("drain")
                        ECHO("limits") ECHO("list") ECHO("sweep") ECHO("audit"),
};
