/* clock.c: see clock.h. */
#include "clock.h"

#include <string.h>
#include <time.h>

#include "number.h"

int64_t clock_mono_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double clock_mono_ms(void)
{
    return (double)clock_mono_us() / 1000.0;
}

int64_t clock_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_iso8601(int64_t wall_ms, char out[32])
{
    int64_t ms = wall_ms % 1000;
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;

    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    /* Only years 0 to 9999 have this form; other times come from hostile or broken input. */
    if (!gmtime_r(&seconds, &t) || t.tm_year < -1900 || t.tm_year > 8099) {
        memcpy(out, "0000-00-00T00:00:00.000Z", 25);
        return;
    }
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    number_digits(out, (unsigned)t.tm_year + 1900, 4);
    number_digits(out + 5, (unsigned)t.tm_mon + 1, 2);
    number_digits(out + 8, (unsigned)t.tm_mday, 2);
    number_digits(out + 11, (unsigned)t.tm_hour, 2);
    number_digits(out + 14, (unsigned)t.tm_min, 2);
    number_digits(out + 17, (unsigned)t.tm_sec, 2);
    number_digits(out + 20, (unsigned)ms, 3);
}
