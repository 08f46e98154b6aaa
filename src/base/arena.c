/* The arena: a page with a mark, and a list of pages to give back. */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { PAGE_BYTES = 8192, KEPT_MAX = 128 };

struct arena_page {
    struct arena_page *next;
    uint64_t bytes; /* of payload */
    char payload[];
};

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)
#define UNPOISON(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#else
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

void arena_init(struct arena *arena, struct arena_store *store, char *first, uint32_t first_bytes)
{
    arena->store = store;
    arena->pages = NULL;
    arena->first = arena->at = first;
    arena->first_bytes = first_bytes;
    arena->end = first + first_bytes;
    POISON(first, first_bytes);
}

static struct arena_page *page_get(struct arena_store *store, uint64_t bytes)
{
    if (store->bytes + bytes > store->bytes_max)
        return NULL;
    struct arena_page *page = store->kept;
    if (bytes == PAGE_BYTES && page) {
        store->kept = page->next;
        store->kept_count--;
    } else {
        page = malloc(sizeof *page + bytes);
        if (!page)
            return NULL;
        page->bytes = bytes;
    }
    store->bytes += bytes;
    return page;
}

static void page_put(struct arena_store *store, struct arena_page *page)
{
    UNPOISON(page->payload, page->bytes);
    store->bytes -= page->bytes;
    if (page->bytes != PAGE_BYTES || store->kept_count >= KEPT_MAX) {
        free(page);
        return;
    }
    page->next = store->kept;
    store->kept = page;
    store->kept_count++;
}

void *arena_get(struct arena *arena, uint32_t bytes)
{
    uint64_t need = ((uint64_t)bytes + 7) & ~UINT64_C(7);
    if ((uint64_t)(arena->end - arena->at) < need) {
        uint64_t page_bytes = need > PAGE_BYTES ? need : PAGE_BYTES;
        struct arena_page *page = page_get(arena->store, page_bytes);
        if (!page)
            return NULL;
        page->next = arena->pages;
        arena->pages = page;
        arena->at = page->payload;
        arena->end = page->payload + page_bytes;
        POISON(page->payload, page_bytes);
    }
    void *at = arena->at;
    arena->at += need;
    UNPOISON(at, need);
    return at;
}

char *arena_copy(struct arena *arena, const char *bytes, uint32_t count)
{
    char *copy = arena_get(arena, count);
    if (copy)
        memcpy(copy, bytes, count);
    return copy;
}

void arena_reset(struct arena *arena)
{
    while (arena->pages) {
        struct arena_page *page = arena->pages;
        arena->pages = page->next;
        page_put(arena->store, page);
    }
    arena->at = arena->first;
    arena->end = arena->first + arena->first_bytes;
    POISON(arena->first, arena->first_bytes);
}

void arena_store_fini(struct arena_store *store)
{
    must(store->bytes == 0);
    while (store->kept) {
        struct arena_page *page = store->kept;
        store->kept = page->next;
        free(page);
    }
}
