/* Descriptors of the processes as a whole: the standard three, the limit, and what a child may keep. */
#pragma once
#include <stdint.h>

enum { DESCRIPTORS_KEPT_MAX = 80 };

/* Opens /dev/null in the place of closed standard descriptors, so that no socket ever becomes standard error. */
void descriptors_open_standard(void);
/* Raises the limit of open files to the highest allowed; what it is now. */
uint64_t descriptors_raise(void);
/* Closes everything but the standard three and `keep` (`count` ≤ DESCRIPTORS_KEPT_MAX; entries < 3 are passed over). */
void descriptors_close_others(const int *keep, uint32_t count);
