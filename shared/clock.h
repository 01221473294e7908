/* clock.h: the two clocks. Monotonic for intervals, wall for what people and Redis see. */
#ifndef BERTH_CLOCK_H
#define BERTH_CLOCK_H
#include <stdint.h>

int64_t clock_mono_us(void);
double clock_mono_ms(void);
int64_t clock_wall_ms(void);
/* "2026-11-22T00:44:02.123Z"; out has at least 25 bytes. */
void clock_iso8601(int64_t wall_ms, char out[32]);

#endif
