/* Memory of one request: allocated by moving a mark, given back all at once. The first page belongs to the owner of the arena;
 * further ones come from a bounded store that keeps a few for reuse. */
#pragma once
#ifndef MG_CDEF
#include <stdint.h>
#endif

struct arena_page;

struct arena_store {
    struct arena_page *kept;
    uint32_t kept_count;
    uint64_t bytes, bytes_max; /* in use by all arenas of this store, and the bound */
};

struct arena {
    struct arena_store *store;
    struct arena_page *pages; /* newest first */
    char *at, *end;           /* free bytes of the current page */
    char *first;              /* the owner's page */
    uint32_t first_bytes;
};

void arena_init(struct arena *arena, struct arena_store *store, char *first, uint32_t first_bytes);
/* Aligned to 8. NULL: the store's bound is reached. */
void *arena_get(struct arena *arena, uint32_t bytes);
/* A copy of bytes; NULL as above. */
char *arena_copy(struct arena *arena, const char *bytes, uint32_t count);
void arena_reset(struct arena *arena);
void arena_store_fini(struct arena_store *store);
