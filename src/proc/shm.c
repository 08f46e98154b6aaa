/* Maps the shared memory of an instance. */
#include "proc/shm.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

/* A multiple of the two cache lines that processors fetch together. */
enum { STATS_STRIDE = (sizeof(struct mg_stats) + 127) / 128 * 128 };

int shm_open_stats(struct shm *ret_shm, uint32_t workers)
{
    uint64_t bytes = (uint64_t)workers * STATS_STRIDE;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    *ret_shm = (struct shm){ at, bytes, STATS_STRIDE };
    return 0;
}

struct mg_stats *shm_stats(const struct shm *shm, uint32_t worker)
{
    return (struct mg_stats *)(void *)(shm->at + (uint64_t)worker * STATS_STRIDE);
}

void shm_close(struct shm *shm)
{
    if (shm->at)
        munmap(shm->at, shm->bytes);
    *shm = (struct shm){ 0 };
}

void *shm_map(uint64_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void shm_unmap(void *at, uint64_t bytes)
{
    if (at)
        munmap(at, bytes);
}
