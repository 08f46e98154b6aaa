/* The end of a worker whose own claims do not hold: say which, and stop before harm is done. */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void must_fail(const char *claim, const char *file, int line)
{
    fprintf(stderr, "moongate: %s:%d: must hold, does not: %s\n", file, line, claim);
    abort();
}
