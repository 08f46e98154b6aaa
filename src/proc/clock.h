/* The two clocks of the processes. */
#pragma once
#include <stdint.h>

/* Milliseconds of the monotonic clock, the one that workers use for mg_stats.since_ms. */
int64_t clock_ms(void);
/* Seconds since 1970. */
double clock_unix(void);
/* The same as the kernel stamps files with it: it moves in steps of some milliseconds. */
double clock_files(void);
