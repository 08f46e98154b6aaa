/* Fault points: the environment read once, and a count for each point. */
#include "base/fault.h"

#ifdef MG_FAULTS
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { POINTS_MAX = 16 };

static struct point {
    const char *name; /* in the environment */
    size_t name_bytes;
    uint64_t every, passed;
} points[POINTS_MAX];

static void read_environment(void)
{
    const char *at = getenv("MG_FAULTS");
    for (int i = 0; at && *at; i++) {
        size_t bytes = strcspn(at, ":,");
        must(i < POINTS_MAX && bytes > 0 && at[bytes] == ':');
        char *end;
        points[i] = (struct point){ at, bytes, strtoull(at + bytes + 1, &end, 10), 0 };
        must(points[i].every > 0 && (*end == ',' || !*end));
        at = *end ? end + 1 : end;
    }
}

int fault_hit(const char *point)
{
    static int is_read;
    if (!is_read)
        read_environment();
    is_read = 1;
    size_t bytes = strlen(point);
    for (int i = 0; i < POINTS_MAX && points[i].name; i++)
        if (points[i].name_bytes == bytes && memcmp(points[i].name, point, bytes) == 0)
            return ++points[i].passed % points[i].every == 0;
    return 0;
}
#endif
