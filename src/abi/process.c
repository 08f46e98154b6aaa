/* The border, continued: process.h. */
#include "abi/process.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <unistd.h>

#include "gate/gate.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int32_t mg_fd_write(int32_t fd, const char *bytes, uint32_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        count -= (uint32_t)n;
    }
    return 0;
}

EXPORT int32_t mg_fd_read(int32_t fd, char *ret, uint32_t count, double offset)
{
    ssize_t n = pread(fd, ret, count, (off_t)offset);
    return n < 0 ? -errno : (int32_t)n;
}

EXPORT int32_t mg_processors(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return 1;
    return CPU_COUNT(&allowed);
}
