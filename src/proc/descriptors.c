/* Opens, limits and closes descriptors in bulk. */
#include "proc/descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/must.h"

void descriptors_open_standard(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            must(open("/dev/null", O_RDWR) == fd);
}

uint64_t descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit highest = { limit.rlim_max, limit.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &highest) == 0)
            limit = highest;
    }
    return limit.rlim_cur;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void descriptors_close_others(const int *keep, uint32_t count)
{
    int sorted[DESCRIPTORS_KEPT_MAX];
    must(count <= DESCRIPTORS_KEPT_MAX);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = keep[i];
    qsort(sorted, count, sizeof *sorted, by_number);
    unsigned from = 3;
    for (uint32_t i = 0; i < count; i++) {
        if (sorted[i] < (int)from)
            continue;
        if ((unsigned)sorted[i] > from)
            close_range(from, (unsigned)sorted[i] - 1, 0);
        from = (unsigned)sorted[i] + 1;
    }
    close_range(from, ~0u, 0);
}
