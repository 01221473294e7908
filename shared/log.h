/* log.h: one line an event, key=value or JSON, on stderr.
 *
 *   log_info("session_created", "session=%s worker=%s wait_ms=%.1f", id, worker, ms);
 *
 * The format is a list of key=<one conversion>, parted by single spaces; conversions %s %d %u %ld %lu %lld
 * %llu %zu %f (with precision). Values are quoted and escaped as needed, so a hostile string cannot forge a
 * line. Values whose key is "secret" or "key" are never logged in full. */
#ifndef BERTH_LOG_H
#define BERTH_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* program: "berth-api" or "berth-worker"; level: "debug", "info", "warn", "error"; format: "text" or "json".
 * Returns 0, or -1 when a word is unknown (the defaults, info and text, then hold). */
int log_init(const char *program, const char *level, const char *format);
int log_enabled(enum log_level level);
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Logs the event at error level, then exits with status 1. For start-up and out of memory only. */
void log_fatal(const char *event, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

#define log_debug(...) (log_enabled(LOG_LEVEL_DEBUG) ? log_event(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
