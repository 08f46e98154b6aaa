/* Memory that master and workers share: what each worker tells about itself. */
#pragma once
#include <stdint.h>

#include "gate/stats.h"

struct shm {
    char *at;
    uint64_t bytes;
    uint32_t each; /* bytes from one worker's numbers to the next one's */
};

/* Room for the numbers of `workers` workers, all zero. 0 or -errno. */
int shm_open_stats(struct shm *ret_shm, uint32_t workers);
/* Of one worker, on cache lines of its own. */
struct mg_stats *shm_stats(const struct shm *shm, uint32_t worker);
void shm_close(struct shm *shm);
/* Memory of its own, all zero, for those who are born later as well. NULL: there is none. */
void *shm_map(uint64_t bytes);
void shm_unmap(void *at, uint64_t bytes);
